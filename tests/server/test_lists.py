"""Response lists: built from the last verdict alone, and what they say about what is not in them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server import native
from server import pipeline as pipeline_module
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.clock import Clock
from server.lists import build_list
from server.messages import (
    UNAVAILABLE,
    Domain,
    ListAnswer,
    NamedQuery,
    RecommendQuery,
    ResponseReason,
    UserInput,
)
from server.pipeline import Pipeline
from server.snapshot import load_fit_policy, open_snapshot
from server.users.directory import Directory
from suitability.overlay import Overlay, load_overlay
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.officers import make_overlay


@pytest.fixture(scope="module")
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


@pytest.fixture(autouse=True)
def no_overlay(pipeline: Pipeline) -> Iterator[None]:
    yield
    pipeline.active.pin().gate.set_overlay(None)


def recommend(pipeline: Pipeline, k: int, profile: dict[str, Any] | None = None, **fields: Any) -> ListAnswer:
    query = {
        "user": UserInput("ana", profile or eligible_user(), ()),
        "domain": Domain.BOTH,
        "k": k,
        "risk_score_limit": None,
        "include_product_ids": (),
        "exclude_product_ids": (),
        "allow_seen": False,
        "request_id": "test",
        "include_trace": False,
        "count_whole_domain": False,
    }
    call = Call(time.monotonic() + 30.0, lambda: True)
    answer = pipeline.recommend([RecommendQuery(**(query | fields))], call)[0]
    assert isinstance(answer, ListAnswer)
    return answer


def check(pipeline: Pipeline, profile: dict[str, Any], product_ids: tuple[str, ...], **fields: Any) -> Any:
    query = {"user_initiated": False, "risk_score_limit": None, "request_id": "test"} | fields
    return pipeline.check(NamedQuery(UserInput("ana", profile, ()), product_ids, **query)).products


def halt_before_lists(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, product_ids: list[str], *, lift: bool
) -> list[int]:
    """Lets a halt come after every search and before its list; counts the lists that were built."""
    gate = pipeline.active.pin().gate
    overlay = load_overlay(make_overlay(1, halted_products=product_ids))
    built: list[int] = []

    def build(*arguments: Any) -> Any:
        gate.set_overlay(overlay)
        listing = build_list(*arguments)
        built.append(len(listing.products))
        if lift:
            gate.set_overlay(None)
        return listing

    monkeypatch.setattr(pipeline_module, "build_list", build)
    return built


def test_a_halt_between_search_and_list_counts_and_the_answer_names_it(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [product.product_id for product in recommend(pipeline, 5).products]
    built = halt_before_lists(pipeline, monkeypatch, before[:2], lift=False)
    answer = recommend(pipeline, 5)
    assert len(answer.products) == 5
    assert [product.product_id for product in answer.products][:3] == before[2:]
    assert answer.decision.overlay is not None
    assert answer.decision.overlay.sequence == 1
    assert built == [5]


def test_a_list_that_a_halt_cut_short_is_searched_for_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [product.product_id for product in recommend(pipeline, 60).products]
    k = len(everything) - 1
    built = halt_before_lists(pipeline, monkeypatch, everything[:2], lift=False)
    answer = recommend(pipeline, k)
    assert len(answer.products) == k - 1
    assert answer.reasons[0] is ResponseReason.FEWER_ELIGIBLE_THAN_K
    assert built == [k - 1, k - 1]


def test_a_list_of_named_products_is_not_searched_for_again(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = halt_before_lists(pipeline, monkeypatch, ["f000"], lift=True)
    answer = recommend(pipeline, 2, include_product_ids=("f000", "f001"))
    assert [product.product_id for product in answer.products] == ["f001"]
    assert answer.reasons[0] is ResponseReason.FEWER_ELIGIBLE_THAN_K
    assert built == [1]


def test_a_list_that_halts_keep_cutting_short_says_so(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = [product.product_id for product in recommend(pipeline, 60).products]
    built = halt_before_lists(pipeline, monkeypatch, everything, lift=True)
    answer = recommend(pipeline, 3)
    assert answer.products == ()
    assert answer.reasons[0] is ResponseReason.RULES_CHANGED
    assert ResponseReason.NOTHING_ELIGIBLE not in answer.reasons
    assert built == [0, 0, 0]


def test_however_many_overlays_come_while_the_gate_judges_the_one_it_read_is_named(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = pipeline.active.pin().gate
    overlays = [
        load_overlay(make_overlay(sequence, halted_products=["f000"] if sequence % 2 else []))
        for sequence in range(1, 10)
    ]
    judge = native.gate
    read: list[Overlay | None] = []

    def judge_between_two_overlays(*arguments: Any, **more: Any) -> Any:
        # Whatever comes from here on is too late for this verdict, which has read what is halted.
        read.append(gate.overlay)
        gate.set_overlay(overlays[len(read)])
        return judge(*arguments, **more)

    gate.set_overlay(overlays[0])
    monkeypatch.setattr(native, "gate", judge_between_two_overlays)
    query = NamedQuery(UserInput("ana", eligible_user(), ()), ("f000",), False, None, "test")
    for _ in range(4):
        answer = pipeline.check(query)
        assert answer.decision.overlay is read[-1]
        halted = answer.decision.overlay.sequence % 2 == 1
        assert [code.name for code in answer.products[0].codes] == ["PRD_HALTED"] * halted


def test_a_hold_is_told_by_one_neutral_code_only(pipeline: Pipeline) -> None:
    held = eligible_user(1) | {"blocked": True}
    free, blocked = (
        {verdict.product_id: verdict for verdict in check(pipeline, user, ("f000", "f004", "c001"))}
        for user in (eligible_user(1), held)
    )
    assert free["f000"].eligible
    assert blocked["f000"].codes == (UNAVAILABLE,)
    assert not blocked["f000"].eligible
    assert UNAVAILABLE in blocked["f004"].codes
    assert set(free["f004"].codes) == set(blocked["f004"].codes) - {UNAVAILABLE} != set()
    assert blocked["c001"].eligible
    assert (UNAVAILABLE.number, UNAVAILABLE.remedy, UNAVAILABLE.basis) == (0, "NONE", "")
    counts = {withheld.code for withheld in recommend(pipeline, 60, held).withheld}
    assert counts
    assert not {"UNAVAILABLE", "USR_RESTRICTED"} & counts


def test_an_unknown_product_is_an_answer_of_its_own(pipeline: Pipeline) -> None:
    unknown, known = check(pipeline, eligible_user(), ("nobody's", "f000"))
    assert (unknown.known, unknown.eligible, unknown.codes) == (False, False, ())
    assert (known.known, known.eligible) == (True, True)


@pytest.mark.parametrize("domain", list(Domain))
@pytest.mark.parametrize("with_trace", [False, True])
def test_counts_over_the_whole_domain_are_those_of_every_product_in_it(
    pipeline: Pipeline, domain: Domain, with_trace: bool
) -> None:
    snapshot, profile = pipeline.active.pin(), eligible_user(1)
    snapshot.gate.set_overlay(load_overlay(make_overlay(1, halted_products=["f000", "c001"])))
    product_ids = tuple(
        name
        for name, family in zip(
            snapshot.bundle.product_ids, (facts.family for facts in snapshot.facts), strict=True
        )
        if domain is Domain.BOTH or (family == "COURSE") == (domain is Domain.LEARNING)
    )
    expected: dict[str, int] = {}
    for verdict in check(pipeline, profile, product_ids):
        for code in verdict.codes:
            expected[code.name] = expected.get(code.name, 0) + 1
    # A list of one product out of what is named looks at that product only, and still counts everything.
    answer = recommend(
        pipeline,
        1,
        profile,
        domain=domain,
        include_product_ids=("c002", "p001"),
        count_whole_domain=True,
        include_trace=with_trace,
    )
    assert {withheld.code: withheld.product_count for withheld in answer.withheld} == expected != {}
    assert all(bool(withheld.example_product_id) == with_trace for withheld in answer.withheld)
    looked_at = recommend(pipeline, 1, profile, domain=domain, include_product_ids=("c002", "p001"))
    assert looked_at.withheld == ()
    assert np.all([withheld.product_count > 0 for withheld in answer.withheld])
