"""Rounds over catalogues of many kinds find what is eligible and best, however rows are searched."""

import itertools
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from server.clock import Clock
from server.messages import Subject
from server.row_bits import RowSet
from server.search import Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from tests.server.cases import (
    CHANNEL,
    NOW,
    draw_users,
    eligible_product,
    eligible_user,
)
from tests.server.searching import (
    MODES,
    assert_nothing_missed,
    catalogue_snapshot,
    found_of,
    is_eligible,
    make_job,
    sparse_products,
)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="faiss",
        allow_assumed=False,
    )


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL)


@pytest.mark.parametrize("mode", MODES)
def test_a_list_is_short_only_where_nothing_else_is_eligible(
    snapshot: Snapshot,
    searcher: Searcher,
    mode: Literal["exact", "faiss", "mixed"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.search.WHOLE_COUNT_MAX", 0)  # Ask the filter, few as the rows are.
    random = np.random.default_rng(6)
    products = sparse_products(240, 3)
    sparse = catalogue_snapshot(snapshot, products, mode)
    jobs = []
    for number, user in enumerate(draw_users(random, 150)):
        named = random.choice(240, 60, replace=False) if number % 5 == 0 else None
        changes = {
            "subject": Subject(user, (), (), known=True),
            "k": (1, 2, 3, 9, 50, 1000)[number % 6],
            "row_start": (0, 8)[number % 2],
            "row_stop": (240, 220)[number % 3 == 0],
            "only_rows": named,
            "left_out_rows": random.choice(240, number % 40, replace=False),
        }
        jobs.append(make_job(sparse, **changes))
    some = 0
    for start in range(0, len(jobs), 16):
        batch = jobs[start : start + 16]
        for job, outcome in zip(batch, searcher.run(batch), strict=True):
            eligible = [is_eligible(product, job.subject.profile) for product in products]
            some += any(eligible)
            assert_nothing_missed(sparse, job, found_of(outcome), eligible)
    assert some > 100


@pytest.mark.parametrize("mode", MODES)
def test_rounds_go_on_while_the_gate_removes_what_the_filter_leaves(
    snapshot: Snapshot, searcher: Searcher, mode: Literal["exact", "faiss", "mixed"]
) -> None:
    good = [eligible_product(f"x{row:04}", "INS_PROTECTION") for row in range(1600)]
    # Premiums are left to the gate, so that the filter leaves every one of these rows.
    products = [
        product | {"annual_premium": 10**15} if row % 100 else product for row, product in enumerate(good)
    ]
    wide = catalogue_snapshot(snapshot, products, mode)
    eligible = [is_eligible(product, eligible_user()) for product in products]
    assert sum(eligible) == 16
    for k, rounds in ((1, {1, 2, 3}), (9, {3}), (16, {3}), (17, {3}), (100, {3}), (1000, {1})):
        job = make_job(wide, k=k)
        found = found_of(searcher.run([job])[0])
        assert_nothing_missed(wide, job, found, eligible)
        assert found.round_count in rounds
        assert len(set(found.retrievers)) == len(found.retrievers) <= found.round_count


@pytest.mark.parametrize("mode", MODES)
def test_long_lists_of_what_to_include_and_exclude_lose_nothing(
    snapshot: Snapshot, searcher: Searcher, mode: Literal["exact", "faiss", "mixed"]
) -> None:
    products = sparse_products(2400, 300)
    long = catalogue_snapshot(snapshot, products, mode)
    eligible = [is_eligible(product, eligible_user()) for product in products]
    random = np.random.default_rng(8)
    jobs = [
        make_job(
            long,
            only_rows=None if included is None else random.choice(2400, included, replace=False),
            left_out_rows=random.choice(2400, excluded, replace=False),
            row_start=9,
            k=k,
        )
        for included, excluded, k in itertools.product((None, 99, 500, 2400), (0, 40, 2000), (1, 5, 60))
    ]
    scanned = 0
    for job, outcome in zip(jobs, searcher.run(jobs), strict=True):
        found = found_of(outcome)
        assert_nothing_missed(long, job, found, eligible)
        scanned += found.rows_scanned_count > len(found.rows)
        allowed = long.filter.allow(job.subject.profile, found.user.arrays, NOW, CHANNEL)
        assert len(found.rows) <= max(100, 4 * job.k) + RowSet(allowed, 2400).count(0, 2400)
        alone = found_of(searcher.run([job])[0])
        assert (alone.rows.tolist(), alone.retrievers) == (found.rows.tolist(), found.retrievers)
    assert scanned > 10


def test_few_rows_within_a_risk_limit_are_looked_at_whole(snapshot: Snapshot, searcher: Searcher) -> None:
    products = [
        eligible_product(f"x{row:04}", "FUND") | {"level_issuer": level, "level_distributor": level}
        for row, level in enumerate([1] * 300 + [5] * 1200)
    ]
    vectors = np.full((1500, snapshot.bundle.manifest.embedding_dim), 9, np.int32)
    vectors[300:] = 99
    rising = catalogue_snapshot(snapshot, products, "exact", vectors)
    limit = rising.gate.columns.risk_scores[0]
    found = found_of(searcher.run([make_job(rising, like_row=1000, risk_score_limit=limit)])[0])
    assert found.retrievers == ("exact", "all rows")
    assert sorted(found.rows[~found.masks.any(axis=1)].tolist()) == list(range(300))


@pytest.mark.parametrize("good_count", [5, 30, 50])
@pytest.mark.parametrize("whole_count_max", [0, 1000])
def test_rounding_to_int8_hides_nothing_that_belongs_into_a_list(
    snapshot: Snapshot,
    searcher: Searcher,
    monkeypatch: pytest.MonkeyPatch,
    good_count: int,
    whole_count_max: int,
) -> None:
    """Candidates end among rows that int8 cannot tell apart, of which the best come last."""
    monkeypatch.setattr("server.search.WHOLE_COUNT_MAX", whole_count_max)
    first = 100 - good_count
    products = [eligible_product(f"x{row:04}", "INS_PROTECTION") for row in range(400)]
    products[:first] = [product | {"annual_premium": 10**15} for product in products[:first]]
    vectors = np.zeros((400, snapshot.bundle.manifest.embedding_dim), np.int32)
    order = np.arange(400 - first)
    vectors[:, 0] = np.r_[np.full(first, 30_000), 258 * (80 - order // 60) + order % 60]
    alike = catalogue_snapshot(snapshot, products, "exact", vectors)
    job = make_job(alike, k=5, like_row=0)
    found = found_of(searcher.run([job])[0])
    eligible = [row >= first for row in range(400)]
    assert [is_eligible(product, eligible_user()) for product in products] == eligible
    assert_nothing_missed(alike, job, found, eligible)
    assert found.round_count > 1
