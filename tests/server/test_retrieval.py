"""Which rows a search looks at, round by round."""

import numpy as np
import pytest

from index.device_matrix import DeviceMatrix
from index.reference import rank_ids
from index.reference import score as score_definition
from index.reference import select as select_definition
from index.tiers import SELECTED_SHARES, IndexPart
from server.planner import Planner
from server.retrieval import GROWTH, Retriever, Round
from server.row_bits import RowSet
from server.row_bits import pack as pack_words
from server.row_search import Extent, IndexSearch, Rows, ScanSearch, Wanted
from server.scoring import Scorer

ROW_COUNT = 100_000
ONES = (1,) * len(SELECTED_SHARES)


class FakeIndex:
    """Returns the first rows of the range, with fewer than asked for."""

    kind = "IndexFake"
    parts: tuple[IndexPart, ...] = (IndexPart("IndexFake", 0, ROW_COUNT, 1, 1, ONES, ONES, 1),)

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int, int, bytes | None]] = []

    def search(
        self,
        queries: np.ndarray,
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bitmap: bytes | None = None,
        *,
        on_device: DeviceMatrix | None = None,
    ) -> Rows:
        self.calls.append((len(queries), candidate_count, row_start, row_stop, bitmap))
        found = np.full((len(queries), candidate_count), -1, np.int64)
        found[:, : candidate_count // 2] = np.arange(row_start, row_start + candidate_count // 2)
        return found


def faiss_retriever(index: FakeIndex) -> Retriever:
    return Retriever(Planner({"faiss": IndexSearch(index, "faiss")}, {}))


def exact_retriever(items: np.ndarray) -> Retriever:
    return Retriever(Planner({"exact": ScanSearch(items)}, {}))


def rows_marked(*ranges: range, count: int = ROW_COUNT) -> np.ndarray:
    marked = np.zeros(count, np.bool_)
    for rows in ranges:
        marked[rows.start : rows.stop] = True
    return marked


def row_set(marks: np.ndarray) -> RowSet:
    return RowSet(pack_words(marks), len(marks))


def pack(rows: np.ndarray) -> bytes:
    return np.packbits(rows, bitorder="little").tobytes()


def test_the_first_round_covers_the_part_asked_for_and_later_ones_what_is_left() -> None:
    retriever = faiss_retriever(FakeIndex())
    first = retriever.plan_first(100, ROW_COUNT, 50)
    assert first == Round("faiss", Extent(100, ROW_COUNT, ROW_COUNT - 100), 200)
    left = rows_marked(range(3, 4000))
    extent = Extent(0, 5000, 3997, pack(left))
    rounds = [retriever.plan_next(0, 5000, row_set(left), 50, number) for number in range(1, len(GROWTH) + 1)]
    assert rounds == [Round("faiss", extent, 400), Round("faiss", extent, 3200), Round(None, extent, 3997)]


def test_a_small_k_still_looks_at_a_hundred() -> None:
    assert faiss_retriever(FakeIndex()).plan_first(100, ROW_COUNT, 1).candidate_count == 100


@pytest.mark.parametrize("stop", [100, 101, 300])
def test_a_part_no_larger_than_the_candidates_is_taken_whole(stop: int) -> None:
    planned = faiss_retriever(FakeIndex()).plan_first(100, stop, 50)
    assert planned == Round(None, Extent(100, stop, stop - 100), stop - 100)
    assert planned.exhaustive


def test_a_range_that_ends_before_it_starts_is_empty() -> None:
    planned = faiss_retriever(FakeIndex()).plan_last(70, 20, row_set(rows_marked(range(ROW_COUNT))))
    assert planned.exhaustive
    assert faiss_retriever(FakeIndex()).search(np.zeros((1, 4), np.int32), [planned])[0].tolist() == []


@pytest.mark.parametrize(("count", "whole"), [(0, True), (1, True), (200, True), (201, False)])
def test_few_rows_left_are_taken_whole(count: int, whole: bool) -> None:
    index = FakeIndex()
    retriever = faiss_retriever(index)
    left = rows_marked(range(5, 5 + count // 2), range(99_999 - (count + 1) // 2, 99_999), count=99_999)
    planned = retriever.plan_next(0, 99_999, row_set(left), 5, 1)
    assert planned.exhaustive is whole
    if whole:
        rows = retriever.search(np.zeros((2, 4), np.int32), [planned] * 2)
        assert [found.tolist() for found in rows] == [np.flatnonzero(left).tolist()] * 2
        assert index.calls == []


def test_few_rows_left_out_give_an_index_no_bitmap_and_many_do() -> None:
    index = FakeIndex()
    for retriever, few_have_one in (
        (faiss_retriever(index), False),
        (exact_retriever(np.ones((999, 1), np.int8)), True),
    ):
        for left_out_count in (0, 1, 50, 51):
            left = rows_marked(range(left_out_count, 999), count=999)
            planned = retriever.plan_first(0, 999, 5, row_set(left))
            has_one = left_out_count > 50 or (few_have_one and left_out_count > 0)
            assert planned.extent.bitmap == (pack(left) if has_one else None)


def test_an_index_searches_together_what_looks_at_the_same_rows() -> None:
    index = FakeIndex()
    retriever = faiss_retriever(index)
    one, same, other = (
        retriever.plan_next(0, ROW_COUNT, row_set(rows_marked(range(start, start + 500))), 5, 1)
        for start in (0, 0, 1)
    )
    rows = retriever.search(np.zeros((3, 4), np.int32), [one, other, same])
    assert [call[0] for call in index.calls] == [2, 1]
    assert [len(found) for found in rows] == [100, 100, 100]


def test_padding_never_becomes_a_row() -> None:
    index = FakeIndex()
    planned = Round("faiss", Extent(100, ROW_COUNT, ROW_COUNT - 100), 200)
    rows = faiss_retriever(index).search(np.zeros((3, 4), np.int32), [planned] * 3)
    assert index.calls == [(3, 200, 100, ROW_COUNT, None)]
    assert [found.tolist() for found in rows] == [list(range(100, 200))] * 3


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Clustered vectors, int32 [3001, 24]."""
    random = np.random.default_rng(5)
    centres = random.normal(size=(40, 24))
    values = centres[random.integers(0, 40, 3001)] + 0.5 * random.normal(size=(3001, 24))
    made: np.ndarray = np.rint(values * 32767 / np.abs(values).max()).astype(np.int32)
    return made


def test_the_first_half_of_a_scan_holds_the_best_of_every_allowed_set(vectors: np.ndarray) -> None:
    random = np.random.default_rng(6)
    retriever = exact_retriever(np.rint(vectors / 258).astype(np.int8))
    queries = random.integers(-3000, 3000, (60, 24)).astype(np.int32)
    rounds, allowed = [], []
    for number in range(len(queries)):
        left = random.random(3001) < (1.0, 0.5, 0.1, 0.04)[number % 4]
        start, stop = (0, 3001) if number % 3 else (17, 2900)
        rounds.append(retriever.plan_next(start, stop, row_set(left), 10, 1))
        allowed.append(np.flatnonzero(left[start:stop]) + start)
    assert sum(planned.exhaustive for planned in rounds) < len(rounds) / 2
    for query, planned, rows, choice in zip(
        queries, rounds, retriever.search(queries, rounds), allowed, strict=True
    ):
        scores = score_definition(query, vectors[choice])
        best = choice[np.argsort(-scores, kind="stable")[:20]]
        assert set(best.tolist()) <= set(rows[: planned.sure_count].tolist())
        assert set(rows.tolist()) <= set(choice.tolist())
        assert len(set(rows.tolist())) == len(rows) == planned.candidate_count


def test_rounds_of_any_kind_share_a_search_and_give_what_each_gives_alone(vectors: np.ndarray) -> None:
    random = np.random.default_rng(7)
    retriever = exact_retriever(np.rint(vectors / 258).astype(np.int8))
    queries = random.integers(-3000, 3000, (40, 24)).astype(np.int32)
    rounds = [
        retriever.plan_next(
            0, 3001 - number, row_set(random.random(3001) < 0.7), number % 7 + 10, number % (len(GROWTH) + 1)
        )
        for number in range(40)
    ]
    assert {planned.exhaustive for planned in rounds} == {True, False}
    together = retriever.search(queries, rounds)
    for query, planned, rows in zip(queries, rounds, together, strict=True):
        assert rows.tolist() == retriever.search(query[np.newaxis], [planned])[0].tolist()


def test_no_request_is_an_empty_answer() -> None:
    none = np.zeros((0, 4), np.int32)
    assert exact_retriever(np.zeros((9, 4), np.int8)).search(none, []) == []
    assert ScanSearch(np.zeros((9, 4), np.int8)).search(none, []) == []


def test_what_was_compared_is_told_by_the_way_it_was_searched() -> None:
    exact = exact_retriever(np.zeros((999, 4), np.int8))
    left = rows_marked(range(200, 900), count=999)
    assert exact.describe(exact.plan_next(0, 999, row_set(left), 5, 1)) == ("exact", 700)
    assert exact.describe(exact.plan_last(0, 999, row_set(left))) == ("all rows", 700)
    index = faiss_retriever(FakeIndex())
    assert index.describe(index.plan_first(0, ROW_COUNT, 5)) == ("faiss IndexFake", ROW_COUNT)


def test_an_inverted_file_compares_the_lists_it_probes() -> None:
    index = FakeIndex()
    index.parts = (
        IndexPart("IndexFlatIP", 0, 100, 1, 1, ONES, ONES, 1),
        IndexPart("IndexIVFFlat", 100, 40_100, 200, 10, (100,) * len(ONES), (20,) * len(ONES), 1),
    )
    search = IndexSearch(index, "faiss")
    assert search.count_compared(Extent(0, 40_100, 40_100)) == 100 + 2_000
    assert search.count_compared(Extent(100, 20_100, 20_000)) == 10_000
    half = Extent(100, 40_100, 20_000, b"")
    assert search.count_compared(half) == 2_000
    assert search.search(np.zeros((1, 2), np.int32), [Wanted(half, 2)])[0].tolist() == [100]


@pytest.mark.parametrize("count", [0, 1, 7, 997])
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_order_and_score_are_those_of_the_definition(count: int, k: int) -> None:
    random = np.random.default_rng(count)
    # Few distinct values make ties, which the id decides.
    vectors = random.integers(-2, 3, size=(997, 4)).astype(np.int32)
    ranks = rank_ids([f"id {number}" for number in random.permutation(997)])
    scorer = Scorer(vectors, ranks, user_scale=100.0, item_scale=10.0)
    user = np.array([1, -2, 3, 1], np.int32)
    rows = random.permutation(997)[:count].astype(np.int64)
    scores = scorer.score(user, rows)
    assert scores.tolist() == score_definition(user, vectors[rows]).tolist()
    best = rows[scorer.order(rows, scores, k)]
    assert best.tolist() == rows[select_definition(scores, ranks[rows], k)].tolist()


def test_a_product_as_query_is_its_taste_on_the_user_scale_without_popularity() -> None:
    vectors = np.array([[10, -20, 30], [1, 1, 70_000]], np.int32)
    scorer = Scorer(vectors, rank_ids(["a", "b"]), user_scale=100.0, item_scale=10.0)
    query = scorer.query_for_row(0)
    assert query.tolist() == [100, -200, 0]
    assert scorer.score(query, np.arange(2)).tolist() == [5000, -100]
