"""A version that takes over while a request waits decides it: the answer names one instant and its policy."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server import messages
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.pipeline import Pipeline
from server.snapshot import Snapshot, under_policy
from server.users.directory import Directory
from suitability.policy import load_policy
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.desk import open_tiny
from tests.server.officers import make_policy

START = NOW + timedelta(hours=1)
USER = messages.UserInput("ana", eligible_user(5), ())
NAMED = messages.NamedQuery(USER, ("f000", "f001", "f002", "f003", "f004"), False, None, "test")


@dataclass
class LeapingClock:
    """Reads an instant before the take-over when a request is planned, and the take-over from then on."""

    moment: datetime = START - timedelta(microseconds=1)
    system: bool = True

    def now(self) -> datetime:
        before, self.moment = self.moment, START
        return before


@pytest.fixture(scope="module")
def snapshots(tiny_bundles: Path) -> tuple[Snapshot, Snapshot]:
    """The version in force, and one of a lower cap that takes its place: no instant belongs to both."""
    opened = open_tiny(tiny_bundles)
    early = make_policy(effective_to=START.isoformat())
    late = make_policy(version="2027.1", effective_from=START.isoformat(), level_cap=1)
    first, second = (under_policy(opened, load_policy(document)) for document in (early, late))
    return first, second


@pytest.fixture
def pipeline(snapshots: tuple[Snapshot, Snapshot]) -> Iterator[Pipeline]:
    clock: Any = LeapingClock()
    made = Pipeline(
        ActivePolicy(snapshots, clock), Directory(None), clock=clock, channel=CHANNEL, queue_limit=8
    )
    yield made
    made.close()


def call() -> Call:
    return Call(time.monotonic() + 30.0, lambda: True)


def ask_recommend(pipeline: Pipeline) -> Any:
    query = messages.RecommendQuery(
        *(USER, messages.Domain.BOTH, 20, None, (), (), False, "test"),
        include_trace=True,
        count_whole_domain=True,
    )
    return pipeline.recommend([query], call())[0]


def ask_similar(pipeline: Pipeline) -> Any:
    return pipeline.find_similar(
        messages.SimilarQuery(USER, "f000", messages.Domain.BOTH, 20, None, "test"), call()
    )


ASK: dict[str, Callable[[Pipeline], Any]] = {
    "recommend": ask_recommend,
    "similar": ask_similar,
    "score": lambda pipeline: pipeline.score(NAMED, call()),
    "check": lambda pipeline: pipeline.check(NAMED),
}


@pytest.mark.parametrize("name", sorted(ASK))
def test_a_request_that_waits_past_a_take_over_is_decided_by_the_new_version(
    pipeline: Pipeline, snapshots: tuple[Snapshot, Snapshot], name: str
) -> None:
    answer = ASK[name](pipeline)
    assert answer.decision.decision_time == START
    assert answer.decision.policy_hash == snapshots[1].policy.sha256
    shown = [each for each in answer.products if getattr(each, "eligible", True)]
    rows = [snapshots[1].row_of[each.product_id] for each in shown]
    levels = {snapshots[1].gate.columns.levels[row] for row in rows}
    # The old version is over at that instant and would show nothing at all, a looser one more.
    assert 1 in levels
    assert max(level or 0 for level in levels) == 1
