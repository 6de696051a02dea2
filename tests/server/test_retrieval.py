"""Which rows a search looks at, round by round."""

import numpy as np
import pytest

from index.reference import rank_ids
from index.reference import score as score_definition
from index.reference import select as select_definition
from server.retrieval import FAISS_ROUND_COUNT_MAX, Retriever, Round, Rows, SearchRange
from server.scoring import Scorer


class FakeIndex:
    """Returns the first rows of the range, with fewer than asked for."""

    kind = "IndexFake"

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, int, int]] = []

    def search(self, queries: np.ndarray, candidate_count: int, row_start: int, row_stop: int) -> Rows:
        self.calls.append((len(queries), candidate_count, row_start, row_stop))
        found = np.full((len(queries), candidate_count), -1, np.int64)
        found[:, : candidate_count // 2] = np.arange(row_start, row_start + candidate_count // 2)
        return found


WIDE = SearchRange(start=100, stop=100_000, admitted_stop=50_000)


def test_the_first_round_covers_the_part_asked_for_and_later_ones_what_the_limits_admit() -> None:
    retriever = Retriever(FakeIndex(), "faiss")
    rounds = [retriever.plan(WIDE, 50, number) for number in range(FAISS_ROUND_COUNT_MAX + 1)]
    assert rounds == [
        Round(200, 100, 100_000),
        Round(400, 100, 50_000),
        Round(800, 100, 50_000),
        Round(None, 100, 50_000),
    ]


def test_a_small_k_still_looks_at_a_hundred() -> None:
    assert Retriever(FakeIndex(), "faiss").plan(WIDE, 1, 0).candidate_count == 100


@pytest.mark.parametrize("stop", [100, 101, 300])
def test_a_range_no_larger_than_the_candidates_is_taken_whole(stop: int) -> None:
    planned = Retriever(FakeIndex(), "faiss").plan(SearchRange(100, stop, stop), 50, 0)
    assert planned == Round(None, 100, stop)
    assert planned.exhaustive


def test_limits_that_admit_nothing_of_the_range_leave_an_empty_last_round() -> None:
    planned = Retriever(FakeIndex(), "faiss").plan(SearchRange(500, 100_000, 20), 50, 1)
    assert planned == Round(None, 500, 500)


def test_exact_mode_has_one_round() -> None:
    index = FakeIndex()
    retriever = Retriever(index, "exact")
    planned = retriever.plan(WIDE, 5, 0)
    rows = retriever.search(np.zeros((2, 4), np.int16), planned)
    assert planned.exhaustive
    assert [len(found) for found in rows] == [99_900, 99_900]
    assert (index.calls, retriever.name) == ([], "exact")


def test_padding_never_becomes_a_row() -> None:
    index = FakeIndex()
    rows = Retriever(index, "faiss").search(np.zeros((3, 4), np.int16), Round(200, 100, 100_000))
    assert index.calls == [(3, 200, 100, 100_000)]
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
