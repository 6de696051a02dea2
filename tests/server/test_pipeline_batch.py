"""In a batch each request has its own answer or error, whatever fails on the way."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server import pipeline as pipeline_module
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.clock import Clock
from server.family import Family
from server.messages import Domain, ListAnswer, RecommendQuery, UserInput
from server.pipeline import Pipeline
from server.snapshot import load_fit_policy, open_snapshot
from server.users.directory import Directory
from tests.server.cases import CHANNEL, NOW, eligible_user

BAD_K = 3


@pytest.fixture
def pipeline(tiny_bundles: Path) -> Iterator[Pipeline]:
    snapshot = open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="faiss",
        allow_assumed=False,
    )
    clock = Clock(NOW)
    made = Pipeline(
        ActivePolicy([snapshot], clock), Directory(None), clock=clock, channel=CHANNEL, queue_limit=8
    )
    yield made
    made.close()


def make_query(k: int) -> RecommendQuery:
    return RecommendQuery(
        user=UserInput(f"user {k}", eligible_user(), ()),
        domain=Domain.BOTH,
        k=k,
        risk_score_limit=None,
        include_product_ids=(),
        exclude_product_ids=(),
        allow_seen=False,
        request_id=f"request {k}",
        include_trace=False,
        count_whole_domain=False,
    )


@pytest.mark.parametrize("name", ["build_list", "_plan"])
def test_a_request_that_fails_leaves_its_neighbours_their_answers(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    work = getattr(pipeline_module, name)

    def fail_once(*arguments: Any) -> Any:
        if BAD_K in arguments or make_query(BAD_K) in arguments:
            raise RuntimeError("a fault of ours")
        return work(*arguments)

    monkeypatch.setattr(pipeline_module, name, fail_once)
    call = Call(time.monotonic() + 30.0, lambda: True)
    first, second, third = pipeline.recommend([make_query(k) for k in (2, BAD_K, 4)], call)
    assert isinstance(second, RuntimeError)
    assert isinstance(first, ListAnswer)
    assert isinstance(third, ListAnswer)
    assert (len(first.products), first.decision.request_id) == (2, "request 2")
    assert (len(third.products), third.decision.request_id) == (4, "request 4")


def test_a_batch_that_begins_before_a_swap_is_wholly_from_one_bundle(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = pipeline.active.pin()
    manifest = replace(snapshot.bundle.manifest, bundle_version="other")
    other = replace(snapshot, bundle=replace(snapshot.bundle, manifest=manifest))
    plan = pipeline_module._plan

    def swap_and_plan(*arguments: Any) -> Any:
        pipeline.active.family = Family([(other,)], None)
        return plan(*arguments)

    monkeypatch.setattr(pipeline_module, "_plan", swap_and_plan)
    call = Call(time.monotonic() + 30.0, lambda: True)
    answers = pipeline.recommend([make_query(k) for k in (1, 2, 3)], call)
    versions = [answer.decision.bundle_version for answer in answers if isinstance(answer, ListAnswer)]
    assert versions == [snapshot.version] * 3
    (later,) = pipeline.recommend([make_query(4)], call)
    assert isinstance(later, ListAnswer)
    assert later.decision.bundle_version == "other"
