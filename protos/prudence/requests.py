"""Requests from command-line arguments and files."""

import argparse
from pathlib import Path

from google.protobuf import json_format

from prudence.errors import InputFileError
from prudence.v1 import admin_pb2, profile_pb2
from prudence.v1 import recommendation_pb2 as pb

DOMAINS = {
    "learning": pb.DOMAIN_LEARNING,
    "financial": pb.DOMAIN_FINANCIAL,
    "both": pb.DOMAIN_BOTH,
}
INTENTS = {
    "recommendation": pb.INTENT_RECOMMENDATION,
    "user-initiated": pb.INTENT_USER_INITIATED,
}


def read_user(user_id: str | None, user_file: Path | None) -> profile_pb2.User:
    """Builds the user of a request.

    Args:
        user_id: id known to the server's store, or the id to give to an inline profile.
        user_file: JSON form of prudence.v1.User: user_id, profile, history. An id given beside it wins.

    Raises:
        InputFileError: the file cannot be read or is not the JSON form of a user.
    """
    user = profile_pb2.User()
    if user_file is not None:
        try:
            json_format.Parse(user_file.read_text(encoding="utf-8"), user)
        except (OSError, UnicodeDecodeError, json_format.ParseError) as error:
            raise InputFileError(
                f"{user_file}: expected the JSON form of prudence.v1.User: {error}"
            ) from error
    if user_id is not None:
        user.user_id = user_id
    return user


def recommend_request(options: argparse.Namespace) -> pb.RecommendRequest:
    """Builds the request of `prudence recommend`."""
    return pb.RecommendRequest(
        user=read_user(options.user, options.user_file),
        domain=DOMAINS[options.domain],
        k=options.k,
        risk_score_limit=options.risk_score_limit,
        include_product_ids=options.include,
        exclude_product_ids=options.exclude,
        allow_seen=options.allow_seen,
        include_trace=options.trace,
        count_whole_domain=options.count_all,
        diversity_trade_off=options.diversity,
    )


def score_request(options: argparse.Namespace) -> pb.ScoreProductsRequest:
    """Builds the request of `prudence score`."""
    return pb.ScoreProductsRequest(
        user=read_user(options.user, options.user_file),
        product_ids=options.product_ids,
        risk_score_limit=options.risk_score_limit,
    )


def eligible_request(options: argparse.Namespace) -> pb.CheckEligibilityRequest:
    """Builds the request of `prudence eligible`."""
    return pb.CheckEligibilityRequest(
        user=read_user(options.user, options.user_file),
        product_ids=options.product_ids,
        intent=INTENTS[options.intent],
        risk_score_limit=options.risk_score_limit,
    )


def similar_request(options: argparse.Namespace) -> pb.SimilarProductsRequest:
    """Builds the request of `prudence similar`."""
    return pb.SimilarProductsRequest(
        user=read_user(options.user, options.user_file),
        product_id=options.product_id,
        k=options.k,
        domain=DOMAINS[options.domain],
        risk_score_limit=options.risk_score_limit,
    )


def overlay_request(options: argparse.Namespace) -> admin_pb2.SetOverlayRequest:
    """Builds the request of `prudence policy overlay`; raises as `read_user` does."""
    return admin_pb2.SetOverlayRequest(
        overlay_document=_read_document(options.file), signature_document=_read_document(options.signatures)
    )


def activate_request(options: argparse.Namespace) -> admin_pb2.ActivatePolicyRequest:
    """Builds the request of `prudence policy activate`; raises as `read_user` does."""
    return admin_pb2.ActivatePolicyRequest(
        policy_document=_read_document(options.file), signature_document=_read_document(options.signatures)
    )


def _read_document(path: Path) -> bytes:
    """Reads a document as it is: what it means, and who signed it, is the server's to say."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}") from error
