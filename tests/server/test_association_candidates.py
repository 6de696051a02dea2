"""Rules name candidates beside those of the search; the best of all scores with boosts are listed, gated."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from prudence.v1 import recommendation_pb2

from index.associations import Associations
from index.features import Event
from server.clock import Clock
from server.gate import find_eligible
from server.lists import build_list
from server.messages import ListedProduct, ProductSource
from server.recall_monitor import Sample, measure
from server.render import render_instant, render_product
from server.search import ASSOCIATIONS, Found, Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from tests.server.cases import CHANNEL, NOW
from tests.server.searching import MODES, catalogue_snapshot, found_of, make_job, sparse_products

COUNT = 3001


@pytest.fixture(scope="module")
def plain(tiny_bundles: Path) -> Snapshot:
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=False,
    )


def _with_rules(snapshot: Snapshot, rules: dict[int, dict[int, int]], row_count: int) -> Snapshot:
    """Returns the snapshot with the boost of each consequent by antecedent."""
    counts = [len(rules.get(row, {})) for row in range(row_count)]
    starts = np.concatenate([[0], np.cumsum(counts)])
    pairs = [pair for row in range(row_count) for pair in sorted(rules.get(row, {}).items())]
    consequents, boosts = np.array(pairs, np.int64).reshape(-1, 2).T
    associations = Associations(starts, np.ascontiguousarray(consequents), np.ascontiguousarray(boosts))
    bundle: Any = snapshot.bundle
    if isinstance(bundle, object) and dataclasses.is_dataclass(bundle):
        bundle = dataclasses.replace(bundle, associations=associations)  # type: ignore[type-var]
    else:
        bundle.associations = associations
    return dataclasses.replace(snapshot, bundle=bundle)


def _scores_with_boosts(snapshot: Snapshot, found: Found, boosts: dict[int, int]) -> dict[int, int]:
    rows = np.arange(snapshot.bundle.products.count)
    scores = snapshot.scorer.score(found.vector, rows)
    return {row: int(scores[row]) + boosts.get(row, 0) for row in rows.tolist()}


def _render(product: ListedProduct) -> recommendation_pb2.RecommendedProduct:
    return render_product(product, render_instant(product.valid_until))


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("eligible_count", [40, 900])
def test_the_best_with_their_boosts_are_found_however_far_down_they_were(
    plain: Snapshot, searcher: Searcher, mode: Literal["exact", "faiss", "mixed"], eligible_count: int
) -> None:
    products = sparse_products(COUNT, eligible_count)
    snapshot = catalogue_snapshot(plain, products, mode)
    first = found_of(searcher.run([make_job(snapshot)])[0])
    scores = snapshot.scorer.score(first.vector, np.arange(COUNT))
    spread = int(scores.max() - scores.min())
    random = np.random.default_rng(8)
    rows = random.permutation(COUNT)[:60].tolist()
    boosts = {row: spread // number for number, row in enumerate(rows, start=1)}
    snapshot = dataclasses.replace(_with_rules(snapshot, {7: boosts}, COUNT), row_of={"c001": 7})
    job = make_job(snapshot, "c001")
    found = found_of(searcher.run([job])[0])
    expected = _scores_with_boosts(snapshot, found, boosts)
    assert found.scores.tolist() == [expected[row] for row in found.rows.tolist()]
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert found.retrievers.count(ASSOCIATIONS) == 1
    admitted = found.user
    eligible = np.flatnonzero(find_eligible(snapshot.gate.judge(admitted, np.arange(COUNT)))).tolist()
    best = sorted((expected[row] for row in eligible), reverse=True)[: job.k]
    passing = found.scores[find_eligible(found.masks)]
    assert sorted(passing.tolist(), reverse=True)[: job.k] == best


@pytest.fixture
def ruled(plain: Snapshot) -> Snapshot:
    """The tiny bundle with rules from c001 and c002 to courses, and to a fund of the highest risk."""
    row = plain.row_of
    rules = {
        row["c001"]: {row["c005"]: 10**16, row["c006"]: 5, row["f017"]: 10**17},
        row["c002"]: {row["c005"]: 10**16, row["c006"]: 6},
        row["c009"]: {row["c007"]: 10**16},
    }
    return _with_rules(plain, rules, plain.bundle.products.count)


def _list(snapshot: Snapshot, searcher: Searcher, *names: str, **changes: Any) -> dict[str, Any]:
    job = make_job(snapshot, *names, **changes)
    listing = build_list(job.subject, found_of(searcher.run([job])[0]), job.k)
    return {product.product_id: product for product in listing.products}


def test_a_product_that_a_rule_leads_to_says_so_and_names_a_product_of_the_history(
    ruled: Snapshot, searcher: Searcher
) -> None:
    listed = _list(ruled, searcher, "c001", k=50)
    assert list(listed)[:2] == ["f017", "c005"]
    for name, product in listed.items():
        if name in {"c005", "c006", "f017"}:
            assert product.source is ProductSource.ASSOCIATION
            assert product.antecedent is not None
            assert product.antecedent.product_id == "c001"
        else:
            assert (product.source, product.antecedent) == (ProductSource.MODEL, None)


def test_no_boost_carries_a_product_past_the_gate(ruled: Snapshot, searcher: Searcher) -> None:
    job = make_job(ruled, "c001", k=50, risk_score_limit=100)
    found = found_of(searcher.run([job])[0])
    assert ruled.row_of["f017"] in found.rows.tolist()
    listed = [product.product_id for product in build_list(job.subject, found, 50).products]
    assert "f017" not in listed
    assert "c005" in listed


def test_the_most_confident_rule_gives_the_reason_and_of_equal_ones_what_was_seen_last(
    ruled: Snapshot, searcher: Searcher
) -> None:
    job = make_job(ruled)
    for later, earlier in (("c001", "c002"), ("c002", "c001")):
        history = (Event(earlier, "click", 1.0), Event(later, "click", 2.0), Event(earlier, "view", 0.0))
        subject = dataclasses.replace(job.subject, history=history)
        listing = build_list(subject, found_of(searcher.run([make_job(ruled, subject=subject)])[0]), 50)
        antecedents = {product.product_id: product.antecedent for product in listing.products}
        assert antecedents["c005"] is not None
        assert antecedents["c005"].product_id == later
        assert antecedents["c006"] is not None
        assert antecedents["c006"].product_id == "c002"


def test_rules_stay_within_the_part_asked_for(ruled: Snapshot, searcher: Searcher) -> None:
    left_out = np.array([ruled.row_of["c005"]], np.int64)
    assert "c005" not in _list(ruled, searcher, "c001", k=50, left_out_rows=left_out)
    only = np.array([ruled.row_of["c006"], ruled.row_of["c010"]], np.int64)
    assert set(_list(ruled, searcher, "c001", only_rows=only)) == {"c006", "c010"}
    start = ruled.bundle.learning_count
    assert not {"c005", "c006"} & set(_list(ruled, searcher, "c001", k=50, row_start=start))


def test_nobody_else_gets_a_rule(ruled: Snapshot, plain: Snapshot, searcher: Searcher) -> None:
    job = make_job(ruled, "c001")
    others = [
        make_job(ruled),
        make_job(ruled, "nothing known", "c020"),
        dataclasses.replace(job, like_row=ruled.row_of["c020"]),
        dataclasses.replace(job, subject=dataclasses.replace(job.subject, personalised=False)),
        make_job(plain, "c001"),
    ]
    for other in others:
        found = found_of(searcher.run([other])[0])
        assert found.suggested is None
        assert ASSOCIATIONS not in found.retrievers
        assert found.scores.tolist() == plain.scorer.score(found.vector, found.rows).tolist()


def test_only_the_latest_products_of_a_long_history_count(ruled: Snapshot, searcher: Searcher) -> None:
    others = [name for name in ruled.bundle.product_ids if name not in {"c001", "c002", "c009"}]
    history = [Event(name, "click", 10.0) for name in others[:50]] + [Event("c001", "click", 5.0)]
    subject = dataclasses.replace(make_job(ruled).subject, history=tuple(history))
    assert found_of(searcher.run([make_job(ruled, subject=subject)])[0]).suggested is None
    subject = dataclasses.replace(subject, history=tuple(history[1:]))
    assert found_of(searcher.run([make_job(ruled, subject=subject)])[0]).suggested is not None


def test_the_recall_of_a_list_counts_boosts(ruled: Snapshot, searcher: Searcher) -> None:
    job = make_job(ruled, "c001", k=5)
    found = found_of(searcher.run([job])[0])
    listing = build_list(job.subject, found, job.k)
    eligible = found.rows[find_eligible(found.masks)]
    measured = measure(Sample(job, found, listing), eligible)
    assert measured is not None
    assert measured.recall == 1.0
    without = measure(Sample(job, dataclasses.replace(found, suggested=None), listing), eligible)
    assert without is not None
    assert without.recall < 1.0


def test_the_reason_is_told_in_both_languages(ruled: Snapshot, searcher: Searcher) -> None:
    listed = _list(ruled, searcher, "c001")
    reason = _render(listed["c005"]).source_reason
    assert reason.source == recommendation_pb2.PRODUCT_SOURCE_ASSOCIATION
    assert reason.antecedent_product_id == "c001"
    assert reason.text == "Learners of “Course c001” also took this."
    assert reason.text_zh == "学习《Course c001》的人也学习了本内容。"
    plain_one = next(each for each in listed.values() if each.source is ProductSource.MODEL)
    assert not _render(plain_one).HasField("source_reason")


def test_a_segments_list_says_so_of_each_product(ruled: Snapshot, searcher: Searcher) -> None:
    job = make_job(ruled, "c001")
    found = dataclasses.replace(found_of(searcher.run([job])[0]), stood_in=True, suggested=None)
    for product in build_list(job.subject, found, job.k).products:
        reason = _render(product).source_reason
        assert (reason.source, reason.text) == (recommendation_pb2.PRODUCT_SOURCE_SEGMENT, "")
