"""Verifies answers of the platform under test by the second reading of the rules."""

import json
from pathlib import Path
from typing import Any

from prudence.v1 import recommendation_pb2 as pb

from benchmarks.verify.answers import Asked, check_list, check_scores, check_verdicts
from server.convert import read_profile
from tests.server.cases import CHANNEL
from tests.server.conftest import Platform

POLICY = json.loads((Path(__file__).resolve().parents[2] / "suitability/policy.default.json").read_bytes())


def asked_of(request: Any, platform: Platform) -> Asked:
    """Returns what a request asks: for its inline profile under the stored holds, or for the stored one."""
    user_id = request.user.user_id
    stored = platform.stored.get(user_id, {})
    user, history = dict(stored), platform.histories.get(user_id, ())
    if request.user.HasField("profile"):
        user = read_profile(request.user.profile) | {"pseudonym": b"made by the server"}
        history = tuple(event.product_id for event in request.user.history)
        if stored.get("blocked") is True:
            user["blocked"] = True
        if stored.get("consent_sensitive") is False:
            user["consent_sensitive"] = False
    return Asked(
        user_id=user_id,
        user=user,
        # Without personalisation nothing that the user did is read, not even for a warning.
        history=() if request.user.personalisation_off else history,
        catalogue=platform.products,
        policy=POLICY,
        channel=CHANNEL,
        limit=request.risk_score_limit if request.HasField("risk_score_limit") else None,
        k=getattr(request, "k", None),
    )


def find_faults(request: Any, answer: Any, platform: Platform) -> list[str]:
    """Returns what is wrong with an answer of any call that shows or judges products."""
    asked = asked_of(request, platform)
    if isinstance(answer, pb.ScoreProductsResponse):
        return check_scores(answer, asked)
    if isinstance(answer, pb.CheckEligibilityResponse):
        return check_verdicts(answer, asked)
    return check_list(answer, asked)
