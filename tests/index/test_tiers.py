"""How rows are divided among the parts of an index, and that a search meets each of its rows once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from index import tiers
from index.tiers import HNSW, SELECTED_SHARES, IndexPart, Probe, cover, divide_rows, is_whole, probe

ONES = (1,) * len(SELECTED_SHARES)


def _parts(*ranges: tuple[int, int]) -> list[IndexPart]:
    return [IndexPart("IndexFlatIP", start, stop, 1, 1, ONES, ONES, 1) for start, stop in ranges]


@pytest.fixture(autouse=True)
def _small_is_10(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "FLAT_ROW_COUNT_MAX", 10)


@pytest.mark.parametrize(
    ("count", "learning_count", "stops", "expected"),
    [
        (1, 0, (), [(0, 1)]),
        (1, 1, (1,), [(0, 1)]),
        (100, 0, (20, 60), [(0, 20), (0, 60), (0, 100)]),
        (100, 30, (45, 60), [(0, 30), (30, 45), (30, 60), (30, 100)]),
        # Equal limits give one part, and one that admits only learning content none.
        (100, 30, (30, 60, 60, 60), [(0, 30), (30, 60), (30, 100)]),
        (100, 30, (60, 100, 100), [(0, 30), (30, 60), (30, 100)]),
        (100, 100, (100, 100), [(0, 100)]),
        # Of small tiers the largest serves the others too.
        (100, 30, (32, 36, 40, 41), [(0, 30), (30, 40), (30, 41), (30, 100)]),
        (35, 30, (31, 32), [(0, 30), (30, 35)]),
        # With few learning rows it serves these too.
        (100, 5, (6, 10, 11), [(0, 10), (5, 11), (5, 100)]),
        (100, 5, (20,), [(0, 5), (5, 20), (5, 100)]),
        (10, 5, (7, 8), [(0, 10)]),
        (10, 10, (10,), [(0, 10)]),
        (100, 0, (5, 60), [(0, 5), (0, 60), (0, 100)]),
    ],
)
def test_rows_are_divided_by_domain_and_tier(
    count: int, learning_count: int, stops: tuple[int, ...], expected: list[tuple[int, int]]
) -> None:
    assert divide_rows(count, learning_count, stops) == expected
    assert is_whole(_parts(*expected), count)


def test_a_search_within_a_limit_needs_the_part_of_that_limit_whole() -> None:
    parts = _parts((0, 30), (30, 45), (30, 60), (30, 100))
    assert list(cover(parts, 30, 60)) == [(2, 30, 60)]
    assert list(cover(parts, 0, 45)) == [(0, 0, 30), (1, 30, 45)]
    assert list(cover(parts, 0, 30)) == [(0, 0, 30)]


def test_a_search_between_two_limits_needs_a_range_of_the_next_larger_part() -> None:
    parts = _parts((0, 30), (30, 45), (30, 60), (30, 100))
    assert list(cover(parts, 35, 46)) == [(2, 35, 46)]
    assert list(cover(parts, 7, 61)) == [(0, 7, 30), (3, 30, 61)]
    assert list(cover(parts, 99, 100)) == [(3, 99, 100)]
    assert list(cover(parts, 50, 50)) == []


def test_few_rows_of_both_domains_need_one_part() -> None:
    parts = _parts((0, 10), (5, 60), (5, 100))
    assert list(cover(parts, 0, 8)) == [(0, 0, 8)]
    assert list(cover(parts, 6, 10)) == [(0, 6, 10)]
    assert list(cover(parts, 0, 60)) == [(0, 0, 5), (1, 5, 60)]
    assert list(cover(parts, 5, 61)) == [(2, 5, 61)]


def test_any_search_meets_each_of_its_rows_once() -> None:
    random = np.random.default_rng(17)
    met = 0
    for _ in range(500):
        count = int(random.integers(1, 60))
        learning_count = int(random.integers(0, count + 1))
        stops = random.integers(learning_count, count + 1, size=5).tolist()
        parts = _parts(*divide_rows(count, learning_count, stops))
        row_start, row_stop = sorted(random.integers(0, count + 1, size=2).tolist())
        rows: list[int] = []
        for position, start, stop in cover(parts, row_start, row_stop):
            assert parts[position].row_start <= start < stop <= parts[position].row_stop
            rows += range(start, stop)
        assert rows == list(range(row_start, row_stop))
        met += len(rows)
    assert met > 1000


@pytest.mark.parametrize(
    "ranges",
    [((1, 9),), ((0, 8),), ((0, 3), (4, 9)), ((0, 3), (3, 8)), ((0, 9), (9, 10)), ((0, 9), (4, 8)), ()],
)
def test_parts_with_a_gap_an_overlap_or_another_end_are_not_whole(
    ranges: tuple[tuple[int, int], ...],
) -> None:
    assert not is_whole(_parts(*ranges), 9)


EFFORTS = IndexPart("IndexIVFFlat", 0, 1_000, 100, 2, (5, 10, 20, 40, 60, 80), (2, 2, 4, 12, 20, 30), 1)


@pytest.mark.parametrize(
    ("width", "left", "expected"),
    [
        (1_000, 1_000, 2),
        (500, 500, 10),
        (250, 250, 20),
        (10, 10, 80),
        (9, 9, 100),
        (1_000, 500, 2),
        (1_000, 100, 12),
        (1_000, 10, 30),
        (1_000, 9, 100),
        # On a line over the logarithm, so 1/sqrt(8) of the rows is half-way between a half and a quarter.
        (354, 354, 15),
        # A tenth of a half takes what the half takes, as many times more as the tenth does.
        (500, 50, 60),
        (100, 10, 100),
    ],
)
def test_the_fewer_rows_are_left_the_harder_a_part_searches(width: int, left: int, expected: int) -> None:
    assert EFFORTS.find_effort(width, left) == expected


def test_effort_never_falls_as_fewer_rows_are_left() -> None:
    efforts = [
        EFFORTS.find_effort(width, left) for width in range(1_000, 0, -7) for left in (width, width // 2 or 1)
    ]
    assert all(high >= low for low, high in zip(efforts[::2], efforts[2::2], strict=False))
    assert all(mask >= whole for whole, mask in zip(efforts[::2], efforts[1::2], strict=True))
    assert max(efforts) == EFFORTS.effort_max == 100


def test_the_most_effort_of_a_graph_is_a_queue_of_all_rows() -> None:
    assert IndexPart(HNSW, 0, 1_000, 1, 50, ONES, ONES, 1).effort_max == 1_000


def test_a_search_probes_each_part_that_it_needs_for_its_share_of_the_rows() -> None:
    parts = [
        IndexPart("IndexFlatIP", 0, 500, 1, 1, ONES, ONES, 1),
        replace(EFFORTS, row_start=500, row_stop=1_500),
    ]
    assert list(probe(parts, 0, 1_500, 1_500)) == [Probe(0, 500, 1.0), Probe(1, 1_000, 0.02)]
    assert list(probe(parts, 0, 1_500, 150)) == [Probe(0, 50, 1.0), Probe(1, 100, 0.12)]
    assert list(probe(parts, 500, 1_000, 0)) == [Probe(1, 0, 1.0)]
