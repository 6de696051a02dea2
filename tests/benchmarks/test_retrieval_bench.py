"""The benchmark of retrieval: that its truth is exact, its filters hold, and its verdicts can be missed."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.retrieval import __main__, libraries, measure, targets
from benchmarks.retrieval.catalogue import (
    Catalogue,
    Filter,
    Rows,
    Users,
    draw_catalogue,
    list_filters,
    prefix_stops,
)
from benchmarks.retrieval.libraries import filter_after
from benchmarks.retrieval.limits import RescoreTime, measure_rescore
from benchmarks.retrieval.measure import Measured, Row, Settings
from benchmarks.retrieval.strategies import AUTO, FLAT, build_faiss, keep_scans, list_strategies
from benchmarks.retrieval.targets import Verdict, judge
from benchmarks.retrieval.timing import Timing
from benchmarks.retrieval.truth import K, Quality, find_best, measure_quality

COUNT = 3_000


class Exact:
    """A library that finds the best rows of all, and remembers how many it was asked for."""

    efforts = (1,)

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors
        self.asked: list[int] = []

    def search(self, users: NDArray[np.float32], count: int, effort: int) -> Rows:
        self.asked.append(count)
        return np.argsort(-(users @ self.vectors.T), axis=1)[:, :count].astype(np.int64)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return draw_catalogue(COUNT, user_count=32, tuning_count=32, seed=3)


def filters() -> list[Filter]:
    return list(list_filters(COUNT, 3))


def test_the_same_seed_draws_the_same_catalogue(catalogue: Catalogue) -> None:
    again = draw_catalogue(COUNT, user_count=32, tuning_count=32, seed=3)
    assert np.array_equal(catalogue.vectors, again.vectors)
    assert np.array_equal(catalogue.int8, again.int8)
    assert np.array_equal(catalogue.users.codes, again.users.codes)
    assert not np.array_equal(catalogue.users.codes, catalogue.tuning_users.codes)


def test_risk_goes_with_the_cluster_so_a_prefix_is_unlike_a_sample(catalogue: Catalogue) -> None:
    tenth = COUNT // 10
    spread = [
        float(np.linalg.norm(catalogue.vectors[rows].mean(axis=0)))
        for rows in (slice(0, tenth), slice(0, COUNT, 10))
    ]
    assert spread[0] > 1.5 * spread[1]


def test_filters_leave_what_they_say() -> None:
    found = [(which.kind, which.share, which.eligible_count) for which in filters()]
    halves = [
        (kind, share, round(COUNT * share)) for share in (0.01, 0.1, 0.5) for kind in ("prefix", "scattered")
    ]
    between = ("prefix", 0.3, round(COUNT * 0.3))
    assert found == [*halves, between, ("all", 1.0, COUNT)]
    for which in filters():
        assert int(which.allows(np.arange(COUNT)).sum()) == which.eligible_count
        assert not which.allows(np.array([-1])).any()


def test_one_prefix_ends_inside_a_tier() -> None:
    tiers = prefix_stops(COUNT)
    cut = [which.row_stop for which in filters() if which.kind == "prefix" and which.row_stop not in tiers]
    assert len(cut) == 1
    assert tiers[0] < cut[0] < tiers[-1]


def test_items_are_kept_as_in_a_bundle(catalogue: Catalogue) -> None:
    for kept, least in ((catalogue.int32, 0.999999), (catalogue.int8, 0.999)):
        lengths = np.linalg.norm(kept, axis=1) * np.linalg.norm(catalogue.vectors, axis=1)
        assert (np.sum(kept * catalogue.vectors, axis=1) / lengths).min() > least


def test_scoring_and_selecting_are_timed(catalogue: Catalogue) -> None:
    found = measure_rescore(catalogue, 1)
    assert found.item_count == COUNT
    assert 0 < found.us_low <= found.us <= found.us_high


def test_truth_is_the_best_of_what_is_eligible(catalogue: Catalogue) -> None:
    for which in filters():
        best = find_best(catalogue, catalogue.users, which)
        scores = catalogue.users.vectors @ catalogue.vectors.T
        scores[:, ~which.allows(np.arange(COUNT))] = -np.inf
        expected = np.argsort(-scores, axis=1)[:, : min(K, which.eligible_count)]
        assert [set(row) for row in best.tolist()] == [set(row) for row in expected.tolist()]


def test_every_strategy_finds_eligible_rows_and_the_exact_ones_find_the_best(catalogue: Catalogue) -> None:
    scans, indexes = keep_scans(catalogue), build_faiss(catalogue)
    chunks = catalogue.users.chunks(16)
    for which in filters():
        best = find_best(catalogue, catalogue.users, which)
        for strategy in list_strategies(catalogue, scans, indexes, which):
            rows = strategy.search(chunks[0], which, K)
            assert which.allows(rows[rows >= 0]).all(), strategy.name
            if strategy.name.startswith(("scan ", "nested", "IndexFlatIP")):
                quality = measure_quality(strategy.search, chunks, which, best)
                assert quality.recall > 0.995, strategy.name
                assert (quality.short_count, quality.user_count) == (0, 32)


def test_a_search_that_finds_less_has_less_recall_and_short_lists(catalogue: Catalogue) -> None:
    which = filters()[-1]
    best = find_best(catalogue, catalogue.users, which)

    def half(users: Users, which: Filter, k: int) -> Rows:
        rows = np.argsort(-(users.vectors @ catalogue.vectors.T), axis=1)[:, :k]
        rows[:, k // 2 :] = -1
        return rows

    quality = measure_quality(half, catalogue.users.chunks(32), which, best)
    assert quality == Quality(0.5, 32, 32)


def test_an_unfiltered_library_is_asked_for_more_until_k_are_left(catalogue: Catalogue) -> None:
    exact = Exact(catalogue.vectors)
    which = filters()[0]
    best = find_best(catalogue, catalogue.users, which)
    quality = measure_quality(filter_after(exact, 1), catalogue.users.chunks(32), which, best)
    assert quality == Quality(1.0, 0, 32)
    assert exact.asked[:2] == [2_000, 4_000]


def test_growing_ends_at_a_limit_and_leaves_short_lists(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries, "REACH_MAX", 50)
    exact = Exact(catalogue.vectors)
    which = filters()[0]
    best = find_best(catalogue, catalogue.users, which)
    quality = measure_quality(filter_after(exact, 1), catalogue.users.chunks(32), which, best)
    assert exact.asked == [50]
    assert quality.short_count > 0


def row(strategy: str, us: float, *, kind: str = "all", share: float = 1.0, recall: float = 1.0) -> Row:
    timings = {batch: Timing(us, us, us, 7) for batch in (1, 32)}
    return Row(100_000, kind, share, 100, strategy, None, timings, Quality(recall, 0, 32))


def verdicts(rows: Sequence[Row], rescore_us: float = 5.0) -> dict[str, Verdict]:
    rescore = RescoreTime(100_000, rescore_us, rescore_us, rescore_us)
    return {each.name: each for each in judge(Measured(tuple(rows), (rescore,), {}))}


def test_ratios_are_met_missed_or_not_measured() -> None:
    name = "scan avx2 / IndexFlatIP as shipped, 100%, batch 32"
    assert verdicts([row("scan avx2", 19.0), row(FLAT, 100.0)])[name].met is True
    assert verdicts([row("scan avx2", 21.0), row(FLAT, 100.0)])[name].met is False
    assert verdicts([row("scan avx2", 19.0)])[name].met is None


def test_recall_and_scoring_can_be_missed() -> None:
    name = "lowest recall@20, every scan"
    assert verdicts([row("scan avx2", 1.0), row("scan sse2", 1.0, recall=0.998)])[name].met is False
    assert verdicts([row("scan avx2", 1.0)])[name].met is True
    name = "re-score and select 200 of 100,000, batch 32, us a request"
    assert [verdicts([], us)[name].met for us in (15.0, 15.1)] == [True, False]


def test_a_library_is_compared_where_its_recall_is_equal() -> None:
    case = {"kind": "prefix", "share": 0.1}
    auto = row(AUTO, 10.0, **case)  # type: ignore[arg-type]
    name = "scann / auto, 10% eligible"

    def judge_library(us: float, recall: float) -> Verdict:
        other = row("scann, filtered after", us, recall=recall, **case)  # type: ignore[arg-type]
        return verdicts([auto, other])[name]

    assert judge_library(12.0, 0.99).met is True
    assert judge_library(9.0, 0.99).met is False
    assert judge_library(9.0, 0.5).value == "its recall is at most 0.500"


def test_auto_is_compared_with_the_best_it_may_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "AUTO_ITEM_COUNT", 100_000)
    name = "auto / best, 1M, all 100%, batch 1"
    quick_and_poor = row("nested IVF", 1.0, recall=0.9)
    rows = [row("scan avx2", 10.0), quick_and_poor]
    assert verdicts([*rows, row(AUTO, 11.9)])[name].met is True
    assert verdicts([*rows, row(AUTO, 12.1)])[name].met is False


def test_a_run_reports_every_row_and_says_what_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "is_installed", lambda name: False)
    monkeypatch.setattr(__main__, "_LIMIT_BYTES", 1 << 20)
    settings = Settings((1_000,), user_count=32, tuning_count=32, pass_count=2, pass_s=1e-4)
    monkeypatch.setattr(__main__, "QUICK", settings)
    assert __main__.main(["--quick", "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "retrieval.json").read_text(encoding="utf-8"))
    rows = found["measured"]["rows"]
    names = {each["strategy"] for each in rows}
    assert {"scan portable", "nested IVF", FLAT, AUTO, "hnswlib", "usearch", "voyager", "scann"} <= names
    assert {each["note"] for each in rows if each["strategy"] == "scann"} == {"not installed"}
    assert all(each["quality"]["recall"] > 0 for each in rows if each["timings"])
    assert found["circumstances"]["thread_count"] == 1
    text = (tmp_path / "retrieval.txt").read_text(encoding="utf-8")
    assert "not installed" in text
    assert "1,000 items, 10 eligible (prefix)" in text
    assert (tmp_path / "retrieval.png").stat().st_size > 10_000
