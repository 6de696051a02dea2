"""Which rows a search looks at, round by round."""

import numpy as np
import pytest

from index.reference import rank_ids
from index.reference import score as score_definition
from index.reference import select as select_definition
from server.retrieval import FAISS_ROUND_COUNT_MAX, Retriever, Round, Rows
from server.scoring import Scorer


class FakeIndex:
    """Returns the first rows of the range, with fewer than asked for."""

    kind = "IndexFake"

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int, int, bytes | None]] = []

    def search(
        self,
        queries: np.ndarray,
        candidate_count: int,
        row_start: int,
        row_stop: int,
        bitmap: bytes | None = None,
    ) -> Rows:
        self.calls.append((len(queries), candidate_count, row_start, row_stop, bitmap))
        found = np.full((len(queries), candidate_count), -1, np.int64)
        found[:, : candidate_count // 2] = np.arange(row_start, row_start + candidate_count // 2)
        return found


def rows_marked(*ranges: range, count: int = 100_000) -> np.ndarray:
    marked = np.zeros(count, np.bool_)
    for rows in ranges:
        marked[rows.start : rows.stop] = True
    return marked


def test_the_first_round_covers_the_part_asked_for_and_later_ones_what_is_left() -> None:
    retriever = Retriever(FakeIndex(), "faiss")
    assert retriever.plan_first(100, 100_000, 50) == Round(200, 100, 100_000)
    left = rows_marked(range(3, 2000))
    bitmap = np.packbits(left, bitorder="little").tobytes()
    rounds = [retriever.plan_next(left, 50, number) for number in range(1, FAISS_ROUND_COUNT_MAX + 1)]
    assert rounds == [
        Round(400, 0, 100_000, bitmap),
        Round(800, 0, 100_000, bitmap),
        Round(None, 0, 100_000, bitmap),
    ]


def test_a_small_k_still_looks_at_a_hundred() -> None:
    assert Retriever(FakeIndex(), "faiss").plan_first(100, 100_000, 1).candidate_count == 100


@pytest.mark.parametrize("stop", [100, 101, 300])
def test_a_part_no_larger_than_the_candidates_is_taken_whole(stop: int) -> None:
    planned = Retriever(FakeIndex(), "faiss").plan_first(100, stop, 50)
    assert planned == Round(None, 100, stop)
    assert planned.exhaustive


@pytest.mark.parametrize(("count", "whole"), [(0, True), (1, True), (200, True), (201, False)])
def test_few_rows_left_are_taken_whole(count: int, whole: bool) -> None:
    index = FakeIndex()
    retriever = Retriever(index, "faiss")
    left = rows_marked(range(5, 5 + count // 2), range(99_999 - (count + 1) // 2, 99_999), count=99_999)
    planned = retriever.plan_next(left, 5, 1)
    assert planned.exhaustive is whole
    if whole:
        rows = retriever.search(np.zeros((2, 4), np.int16), planned)
        assert [found.tolist() for found in rows] == [np.flatnonzero(left).tolist()] * 2
        assert index.calls == []


def test_rounds_are_equal_where_they_look_at_the_same_rows() -> None:
    retriever = Retriever(FakeIndex(), "faiss")
    one, same = (retriever.plan_next(rows_marked(range(500)), 5, 1) for _ in range(2))
    other = retriever.plan_next(rows_marked(range(1, 501)), 5, 1)
    assert len({one, same, other}) == 2


def test_exact_mode_has_one_round() -> None:
    index = FakeIndex()
    retriever = Retriever(index, "exact")
    planned = retriever.plan_first(100, 100_000, 5)
    rows = retriever.search(np.zeros((2, 4), np.int16), planned)
    assert planned.exhaustive
    assert [len(found) for found in rows] == [99_900, 99_900]
    assert (index.calls, retriever.name) == ([], "exact")


def test_padding_never_becomes_a_row() -> None:
    index = FakeIndex()
    rows = Retriever(index, "faiss").search(np.zeros((3, 4), np.int16), Round(200, 100, 100_000))
    assert index.calls == [(3, 200, 100, 100_000, None)]
    assert [found.tolist() for found in rows] == [list(range(100, 200))] * 3


@pytest.mark.parametrize("count", [0, 1, 7, 997])
@pytest.mark.parametrize("k", [1, 5, 1000])
def test_order_and_score_are_those_of_the_definition(count: int, k: int) -> None:
    random = np.random.default_rng(count)
    # Few distinct values make ties, which the id decides.
    vectors = random.integers(-2, 3, size=(997, 4)).astype(np.int16)
    ranks = rank_ids([f"id {number}" for number in random.permutation(997)])
    scorer = Scorer(vectors, ranks, user_scale=100.0, item_scale=10.0)
    user = np.array([1, -2, 3, 1], np.int16)
    rows = random.permutation(997)[:count].astype(np.int64)
    scores = scorer.score(user, rows)
    assert scores.tolist() == score_definition(user, vectors[rows]).tolist()
    best = rows[scorer.order(rows, scores, k)]
    assert best.tolist() == rows[select_definition(scores, ranks[rows], k)].tolist()


def test_a_product_as_query_is_its_taste_on_the_user_scale_without_popularity() -> None:
    vectors = np.array([[10, -20, 30]], np.int16)
    scorer = Scorer(vectors, rank_ids(["a"]), user_scale=100.0, item_scale=10.0)
    assert scorer.query_for_row(0).tolist() == [100, -200, 0]
