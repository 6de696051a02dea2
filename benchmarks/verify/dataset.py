"""Says of a data set's users what the checks of answers need to know."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from prudence.v1 import recommendation_pb2 as pb

from benchmarks.dataset import DataSet
from benchmarks.verify.answers import Asked, check_list
from benchmarks.verify.values import Record

CHANNEL = "app"  # The server's default.


def ask_for(
    dataset: DataSet, user_id: str, catalogue: Mapping[str, Record], policy: Mapping[str, Any]
) -> Asked:
    """Returns what an answer to a user of the data set is checked against.

    Args:
        dataset: the data that the server's store was filled with.
        user_id: one of its users, with or without a profile.
        catalogue: the products that are served, by id.
        policy: the policy in force.
    """
    return Asked(
        user_id=user_id,
        user={**dataset.profiles.get(user_id, {}), "pseudonym": user_id.encode()},
        history=tuple(event.product_id for event in dataset.history(user_id)),
        catalogue=catalogue,
        policy=policy,
        channel=CHANNEL,
    )


def make_check(
    dataset: DataSet, catalogue: Mapping[str, Record], policy: Mapping[str, Any]
) -> Callable[[bytes, bytes], list[str]]:
    """Returns a check of serialized Recommend requests of stored users and their answers."""
    by_user: dict[str, Asked] = {}

    def check(request: bytes, answer: bytes) -> list[str]:
        sent = pb.RecommendRequest.FromString(request)
        user_id = sent.user.user_id
        if user_id not in by_user:
            by_user[user_id] = ask_for(dataset, user_id, catalogue, policy)
        return check_list(pb.RecommendResponse.FromString(answer), replace(by_user[user_id], k=sent.k))

    return check
