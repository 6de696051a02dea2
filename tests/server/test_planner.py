"""How a round is searched: by what it costs, and as it was asked for."""

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from index.ann import build_index, load_index
from index.post_filter import GPU_K_MAX
from index.tiers import SELECTED_SHARES, IndexPart
from server import native
from server.calibration import CALIBRATION_S_MAX, Stopwatch, time_index, time_matrix, time_scan
from server.config import Settings, load_settings
from server.encoder import copy_to_gpu
from server.errors import DeviceError, SettingsError
from server.open_retriever import Mode
from server.planner import (
    CHEAPER_SHARE,
    Costs,
    IndexCosts,
    MatrixCosts,
    PartCosts,
    Planner,
    ScanCosts,
    Strategy,
)
from server.row_search import Extent, IndexSearch, Queries, Rows, ScanSearch, Wanted
from server.snapshot import Snapshot, load_fit_policy, open_snapshot

ONES = (1,) * len(SELECTED_SHARES)
PARTS = (
    IndexPart("IndexFlatIP", 0, 5_000, 1, 1, ONES, ONES, 1),
    IndexPart(
        "IndexIVFFlat", 5_000, 105_000, 300, 15, (20, 30, 60, 150, 300, 300), (20, 30, 60, 150, 300, 300), 1
    ),
    IndexPart(
        "IndexIVFFlat",
        5_000,
        1_005_000,
        1_000,
        20,
        (30, 40, 80, 200, 600, 1_000),
        (30, 40, 80, 200, 600, 1_000),
        1,
    ),
)
SCAN = ScanCosts(near_row_s=1e-9, row_s=1e-9, bit_s=1e-11, wanted_row_s=4e-9, near_count=1)
INDEX = IndexCosts(
    PARTS,
    (PartCosts(3e-4, 1e-5, 4e-4), PartCosts(9e-5, 1e-4, 2e-3), PartCosts(2e-4, 3e-4, 1e-2)),
    selects=True,
)
MATRIX = MatrixCosts(search_s=1e-4, row_s=1e-12)


class Way:
    """A way to search that only has a name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def search(self, queries: Queries, wanted: Sequence[Wanted], on_device: Any = None) -> list[Rows]:
        raise AssertionError("nothing is searched here")

    def count_compared(self, extent: Extent) -> int:
        return extent.row_count


def planner_of(**costs: Costs) -> Planner:
    strategies: tuple[Strategy, ...] = ("exact", "faiss", "gpu")
    given = {strategy: costs[strategy] for strategy in strategies if strategy in costs}
    return Planner({strategy: Way(strategy) for strategy in given}, given)


def selection(row_start: int, row_stop: int, row_count: int) -> Extent:
    return Extent(row_start, row_stop, row_count, b"")


@pytest.mark.parametrize(
    ("extent", "expected"),
    [
        (Extent(0, 2_600, 2_600), "exact"),  # A small catalogue.
        (Extent(5_000, 105_000, 100_000), "exact"),  # 100 us against 90 us: too close.
        (Extent(5_000, 205_000, 200_000), "exact"),  # Of a larger tier a part is selected.
        (Extent(5_000, 1_005_000, 1_000_000), "faiss"),
        (Extent(0, 1_005_000, 1_005_000), "faiss"),
        (selection(5_000, 1_005_000, 10_000), "exact"),  # Few rows are collected one by one.
        (selection(5_000, 1_005_000, 900_000), "faiss"),
        (selection(5_000, 1_005_000, 3_000), "exact"),
    ],
)
def test_the_cheaper_way_is_chosen(extent: Extent, expected: Strategy) -> None:
    assert planner_of(exact=SCAN, faiss=INDEX).choose(extent, 100) == expected


def test_the_scan_is_taken_unless_another_way_is_clearly_cheaper() -> None:
    extent = Extent(0, 100_000, 100_000)
    for index_s, expected in ((100e-6, "exact"), (86e-6, "exact"), (84e-6, "faiss")):
        part = IndexPart("IndexFlatIP", 0, 100_000, 1, 1, ONES, ONES, 1)
        index = IndexCosts([part], [PartCosts(index_s, 1.0, 1.0)], selects=True)
        assert planner_of(exact=SCAN, faiss=index).choose(extent, 100) == expected


def test_a_gpu_is_not_asked_for_rows_that_its_reach_does_not_hold() -> None:
    planner = planner_of(exact=SCAN, faiss=INDEX, gpu=MATRIX)
    assert planner.choose(Extent(0, 1_005_000, 1_005_000), 100) == "gpu"
    enough = math.ceil(1_000_000 * 100 / GPU_K_MAX)
    assert planner.choose(selection(5_000, 1_005_000, enough), 100) == "gpu"
    assert planner.choose(selection(5_000, 1_005_000, enough - 1), 100) != "gpu"
    dropping = dataclasses.replace(INDEX, selects=False)
    assert dropping.estimate(selection(5_000, 1_005_000, 900_000), 100) < math.inf
    assert dropping.estimate(selection(5_000, 1_005_000, 1_000), 100) == math.inf
    assert INDEX.estimate(selection(5_000, 1_005_000, 1_000), 100) < math.inf


def test_a_range_within_a_part_costs_no_bitmap() -> None:
    within, marked = Extent(5_000, 55_000, 50_000), selection(5_000, 55_000, 50_000)
    assert INDEX.estimate(marked, 100) == pytest.approx(INDEX.estimate(within, 100) + 1e-4)


def test_a_range_within_a_part_is_never_free() -> None:
    # Half of the lists are probed for all rows and for few, so that a bitmap seemed to take all of the time.
    efforts = (110,) * len(SELECTED_SHARES)
    part = IndexPart("IndexIVFFlat", 0, 50_000, 220, 110, efforts, efforts, 1)
    index = IndexCosts([part], [PartCosts(3e-4, 8e-4, 0.0)], selects=True)
    for stop in (10_001, 30_000, 49_999):
        assert index.estimate(Extent(0, stop, stop), 100) == pytest.approx(3e-4)
        assert planner_of(exact=SCAN, faiss=index).choose(Extent(0, stop, stop), 100) == "exact"


def test_a_range_costs_as_many_more_lists_as_it_needs() -> None:
    # Of the tier's 300 lists 15 are probed for all rows, 30 for half of them; lists alone would cost nothing.
    index = IndexCosts(PARTS, [PartCosts(9e-5, 0.0, 0.0)] * 3, selects=True)
    for width, effort in ((100_000, 15), (75_000, 20), (50_000, 30), (25_000, 60)):
        estimated_s = index.estimate(Extent(5_000, 5_000 + width, width), 100)
        assert estimated_s == pytest.approx(9e-5 * effort / 15)


@pytest.mark.parametrize("other", [INDEX, MATRIX])
def test_what_is_not_weighed_would_not_have_been_chosen(other: Costs) -> None:
    planner = planner_of(exact=SCAN, faiss=other)
    chosen = []
    for stop in range(16_000, 1_005_000, 20_000):
        for few in (1, 2, 40, 900):
            extent = selection(5_000, stop, (stop - 5_000) // few)
            other_s, scan_s = other.estimate(extent, 100), SCAN.estimate(extent, 100)
            assert other_s >= other.least_s
            chosen.append(planner.choose(extent, 100))
            assert chosen[-1] == ("faiss" if other_s < scan_s * CHEAPER_SHARE else "exact")
    assert set(chosen) == {"exact", "faiss"}


def test_one_way_alone_is_taken_whatever_it_costs() -> None:
    ways: tuple[Strategy, ...] = ("exact", "faiss", "gpu")
    for way in ways:
        planner = Planner({way: Way(f"only {way}")}, {})
        assert planner.choose(Extent(0, 1_005_000, 1_005_000), 100) == way
        assert planner.name == f"only {way}"
    assert planner_of(exact=SCAN, faiss=INDEX).name == "auto: exact, faiss"


def test_the_choice_depends_on_the_extent_alone() -> None:
    planner = planner_of(exact=SCAN, faiss=INDEX)
    extents = [Extent(5_000, stop, stop - 5_000) for stop in range(6_000, 1_005_000, 9_000)]
    choices = [planner.choose(extent, 100) for extent in extents]
    assert choices == [planner.choose(extent, 100) for extent in extents]
    assert set(choices) == {"exact", "faiss"}


def test_what_was_not_measured_is_never_chosen() -> None:
    unknown = IndexCosts(PARTS, [PartCosts(math.inf, math.inf, math.inf)] * 3, selects=True)
    whole = Extent(0, 1_005_000, 1_005_000)
    assert planner_of(exact=SCAN, faiss=unknown).choose(whole, 100) == "exact"
    assert planner_of(exact=SCAN, faiss=unknown, gpu=MATRIX).choose(whole, 100) == "gpu"


class Clock:
    """Goes on by a step with every look, so that timing needs no time."""

    def __init__(self, step_s: float) -> None:
        self._times_s = itertools.count(0.0, step_s)

    def __call__(self) -> float:
        return next(self._times_s)


class CountingWay(Way):
    def __init__(self) -> None:
        super().__init__("counting")
        self.call_count = 0

    def search(self, queries: Queries, wanted: Sequence[Wanted], on_device: Any = None) -> list[Rows]:
        self.call_count += 1
        return [np.empty(0, np.int64)] * len(wanted)


@pytest.mark.parametrize(
    ("step_s", "count", "measured"),
    [
        (CALIBRATION_S_MAX * 2, 0, False),
        (CALIBRATION_S_MAX / 1.5, 1, False),  # Alone, but not with others.
        (CALIBRATION_S_MAX / 100, 4, True),  # A long search is measured twice, and twice with others,
        (1e-6, 6, True),  # a short one three times.
    ],
)
def test_measuring_ends_with_its_time(step_s: float, count: int, measured: bool) -> None:
    stopwatch, way = Stopwatch(np.ones((2, 4), np.int32), 1_000, Clock(step_s)), CountingWay()
    measured_s = stopwatch.time(way, Extent(0, 1_000, 1_000))
    assert way.call_count == count
    assert math.isfinite(measured_s) is measured


def test_a_cost_lies_between_that_of_one_alone_and_of_some_together() -> None:
    # Every call takes as long, whoever it is for: a quarter per request where four share it.
    step_s = 1e-6
    stopwatch = Stopwatch(np.ones((2, 4), np.int32), 1_000, Clock(step_s))
    assert stopwatch.time(CountingWay(), Extent(0, 1_000, 1_000)) == pytest.approx(step_s / 2)


def test_measuring_a_large_catalogue_stops_in_time_and_chooses_the_scan() -> None:
    clock = Clock(CALIBRATION_S_MAX / 20)
    stopwatch, way = Stopwatch(np.ones((2, 4), np.int32), 1_005_000, clock), CountingWay()
    scan, matrix = time_scan(stopwatch, way), time_matrix(stopwatch, way)
    assert way.call_count < 10
    assert planner_of(exact=scan, gpu=matrix).choose(Extent(0, 1_000_000, 1_000_000), 100) == "exact"


def test_rows_that_caches_hold_cost_less_than_those_beyond() -> None:
    class Cached(CountingWay):
        """Takes 1 ns for each of the first 131,072 rows, and 4 ns for each other."""

        spent_s = 0.0

        def search(self, queries: Queries, wanted: Sequence[Wanted], on_device: Any = None) -> list[Rows]:
            width = wanted[0].extent.row_stop - wanted[0].extent.row_start
            self.spent_s += (width + 3 * max(0, width - 131_072)) * 1e-9 * len(wanted)
            return []

    way = Cached()
    scan = time_scan(Stopwatch(np.ones((1, 4), np.int32), 1 << 20, lambda: way.spent_s), way)
    for width in (1_000, 131_072, 1 << 20):
        expected_s = (width + 3 * max(0, width - 131_072)) * 1e-9
        assert scan.estimate(Extent(7, 7 + width, width), 100) == pytest.approx(expected_s)


@pytest.mark.parametrize("row_count", [1, 2, 7, 63, 900])
def test_every_way_is_measured_over_a_catalogue_of_any_size(row_count: int) -> None:
    vectors = np.random.default_rng(row_count).integers(-9, 9, (row_count, 8)).astype(np.int8)
    index = IndexSearch(load_index(build_index(vectors.astype(np.float32), "ivf_flat")), "faiss")
    stopwatch = Stopwatch(np.ones((1, 8), np.int32), row_count)
    costs: dict[Strategy, Costs] = {
        "exact": time_scan(stopwatch, ScanSearch(vectors)),
        "faiss": time_index(stopwatch, index, selects=True),
        "gpu": time_matrix(stopwatch, index),
    }
    for cost in costs.values():
        for extent in (Extent(0, row_count, row_count), selection(0, row_count, 1)):
            assert cost.estimate(extent, 1) >= 0


def open_with(bundles: Path, **settings: Any) -> Snapshot:
    plan: dict[str, Any] = {"device": "cpu", "thread_count": 1, "retriever": "exact", "allow_assumed": False}
    return open_snapshot(bundles, load_fit_policy(None), **(plan | settings))


def test_few_rows_are_scanned_whatever_was_measured() -> None:
    dear, cheap = ScanCosts(1.0, 1.0, 1.0, 1.0, 1), MatrixCosts(0.0, 0.0)
    planner = planner_of(exact=dear, gpu=cheap)
    assert planner.choose(Extent(7, 10_007, 10_000), 100) == "exact"
    assert planner.choose(Extent(7, 10_008, 10_001), 100) == "gpu"


def test_a_server_may_choose_unless_it_is_told(tiny_bundles: Path) -> None:
    assert open_with(tiny_bundles, retriever="auto").retriever.name.startswith("auto: exact, faiss IndexFlat")


@pytest.mark.parametrize(("mode", "name"), [("exact", "exact"), ("faiss", "faiss IndexFlat")])
def test_a_way_that_is_asked_for_is_the_only_one(tiny_bundles: Path, mode: Mode, name: str) -> None:
    opened = open_with(tiny_bundles, retriever=mode)
    assert opened.retriever.name.startswith(name)


def test_the_instructions_of_the_scan_can_be_set_and_are_refused_where_they_lack(
    tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = get_args(Settings.model_fields["kernel"].annotation)
    assert choices == ("auto", *native.SCAN_PATHS)
    for path in native.available_paths():
        assert open_with(tiny_bundles, kernel=path).kernel == path
    assert open_with(tiny_bundles).kernel == native.available_paths()[0]
    with pytest.raises(SettingsError, match="kernel"):
        open_with(tiny_bundles, kernel="neon")
    with pytest.raises(SettingsError, match="kernel"):
        load_settings(["--bundles", "b", "--kernel", "neon"])


def test_the_gpu_is_refused_by_name_where_there_is_none(tiny_bundles: Path) -> None:
    with pytest.raises(SettingsError, match="retriever gpu needs device cuda, got cpu"):
        load_settings(["--bundles", "b", "--retriever", "gpu"])
    with pytest.raises(DeviceError, match="retriever gpu"):
        open_with(tiny_bundles, retriever="gpu")
    with pytest.raises(DeviceError, match="device cuda: 48 bytes"):
        copy_to_gpu(np.ones((3, 4), np.float32))
    with pytest.raises(SettingsError, match="retriever"):
        load_settings(["--bundles", "b", "--retriever", "annoy"])
