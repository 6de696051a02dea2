"""What fewer bits cost: measured on lists whose differences are known, and refused beyond a limit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from export.errors import ExportQualityError
from export.judges import Judges
from export.quality_gate import QualityLimits, check_quality, find_faults
from export.quantisation import (
    QuantisationCost,
    Vectors,
    in_float32,
    in_int8,
    in_int32,
    measure_cost,
)
from index.reference import INT8_LIMIT, item_scale_for, narrow, quantise, user_scale_for
from training.histories import Targets
from training.split import Validation

NOBODY = np.zeros(0, np.int64)
LIMITS = QualityLimits()


def judges(
    user_count: int, *, wanted: list[tuple[int, int]] = (), seen: list[tuple[int, int]] = ()
) -> Judges:  # type: ignore[assignment]
    """Makes users of whom the next products and the past are given as (user, item)."""
    rows = np.arange(user_count)
    targets = Targets(rows, rows, rows.astype(np.float64), rows, rows)
    pairs = [np.array(values, np.int64).reshape(-1, 2) for values in (wanted, seen)]
    return Judges({}, Validation(targets, pairs[0][:, 0], pairs[0][:, 1], pairs[1][:, 0], pairs[1][:, 1]))


def draw(user_count: int = 53, item_count: int = 2003, dim: int = 8) -> tuple[NDArray[np.float32], ...]:
    rng = np.random.default_rng(4)
    return tuple(rng.normal(size=(count, dim)).astype(np.float32) for count in (user_count, item_count))


def scales(users: NDArray[np.float32], items: NDArray[np.float32]) -> dict[str, float]:
    return {"user_scale": user_scale_for(users, unit_length=False), "item_scale": item_scale_for(items)}


def shifted(scores: list[float]) -> Vectors:
    """Gives one user with these scores."""
    return in_float32(np.ones((1, 1), np.float32), np.array(scores, np.float32)[:, None])


def test_nothing_is_lost_against_itself() -> None:
    users, items = draw()
    exact = in_float32(users, items)
    cost = measure_cost(exact, exact, judges(len(users), wanted=[(user, 3) for user in range(len(users))]))
    assert cost.ndcg_at_10 is not None
    assert cost == QuantisationCost(1.0, cost.ndcg_at_10, 0.0, 0.0, len(users))


def test_int8_alone_loses_more_than_int32_and_the_scan_with_int32_scores_loses_nothing_more() -> None:
    users, items = draw()
    exact, everyone = in_float32(users, items), judges(len(users))
    int32, int8 = (form(users, items, **scales(users, items)) for form in (in_int32, in_int8))
    fine, coarse = measure_cost(exact, int32, everyone), measure_cost(exact, int8, everyone)
    served = measure_cost(exact, int32, everyone, scan=int8)
    assert coarse.recall_at_20 < 0.99 < fine.recall_at_20 <= 1.0
    assert served == fine
    assert fine.score_error_max < 1e-3 < coarse.score_error_max < 0.05


def test_int8_vectors_are_those_of_the_server() -> None:
    users, items = draw(item_count=31)
    both = scales(users, items)
    vectors = in_int8(users, items, **both)
    assert np.array_equal(vectors.users, narrow(quantise(users, both["user_scale"])))
    steps = quantise(items, both["item_scale"])
    assert np.array_equal(vectors.items, np.rint(steps * (INT8_LIMIT / np.abs(steps).max())))


def test_a_scan_that_misses_products_costs_them() -> None:
    items = list(np.linspace(1.0, 2.0, 300))
    exact, backwards = shifted(items), shifted([-score for score in items])
    assert measure_cost(exact, exact, judges(1), scan=backwards).recall_at_20 == 0.0
    assert measure_cost(exact, exact, judges(1), scan=shifted(items)).recall_at_20 == 1.0


def test_any_of_equal_products_is_as_good_as_another() -> None:
    # 30 products tie for the last ten places; float32 rounds the same score in other ways.
    items = [9.0 + row for row in range(10)] + [1.0 + row % 3 * 1.2e-7 for row in range(30)] + [0.5] * 9
    others = items[:10] + items[10:40][::-1] + items[40:]
    exact, form = shifted(items), shifted([score + 1e-3 * row for row, score in enumerate(others)])
    assert measure_cost(exact, form, judges(1)).recall_at_20 == 1.0
    worse = shifted(items[:10] + [0.1] * 30 + [0.5] * 9)
    assert measure_cost(exact, worse, judges(1)).recall_at_20 == 11 / 20


def test_products_of_the_past_are_in_no_list() -> None:
    first = [float(30 - row) for row in range(31)]
    swapped = [first[1], first[0], *first[2:]]
    past = [(0, 0), (0, 1)]
    exact, form = shifted(first), shifted(swapped)
    assert measure_cost(exact, form, judges(1, wanted=[(0, 2)], seen=past)).ndcg_loss == 0.0
    assert measure_cost(exact, form, judges(1, wanted=[(0, 0)])).ndcg_loss == pytest.approx(
        1 - 1 / np.log2(3)
    )


def test_every_user_counts_where_chunks_are_of_one_user(monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = draw(user_count=7)
    exact, int8 = in_float32(users, items), in_int8(users, items, **scales(users, items))
    everyone = judges(7, wanted=[(user, user) for user in range(7)], seen=[(3, 5), (6, 1)])
    whole = measure_cost(exact, int8, everyone)
    monkeypatch.setattr("export.quantisation._SCORE_COUNT_MAX", 1)
    parts = measure_cost(exact, int8, everyone)
    assert whole.recall_at_20 == parts.recall_at_20 < 1.0
    # One user's scores may be summed in another order than those of seven.
    assert parts.score_error_max == pytest.approx(whole.score_error_max, rel=1e-9)


def test_scores_of_zero_are_no_division_by_zero() -> None:
    nothing = shifted([0.0] * 25)
    assert measure_cost(nothing, nothing, judges(1)).score_error_max == 0.0


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (
            QuantisationCost(0.9899, 0.1, 0.0, 0.0, 9),
            "recall@20 of float32 is 0.9899; expected at least 0.99",
        ),
        (QuantisationCost(1.0, 0.1, 0.0051, 0.0, 9), "ndcg@10 is 0.0051; expected at most 0.005"),
        (QuantisationCost(1.0, 0.1, 0.0, 0.011, 9), "score error is 0.011; expected at most 0.01"),
        (QuantisationCost(1.0, None, None, 0.0, 9), "ndcg@10 is not known; expected validation users"),
        (QuantisationCost(float("nan"), 0.1, 0.0, 0.0, 9), "recall@20 of float32 is nan"),
        (QuantisationCost(1.0, 0.1, float("nan"), 0.0, 9), "ndcg@10 is nan"),
        (QuantisationCost(1.0, 0.1, 0.0, float("nan"), 9), "score error is nan"),
    ],
)
def test_a_figure_beyond_its_limit_is_refused_by_name(cost: QuantisationCost, words: str) -> None:
    with pytest.raises(ExportQualityError, match=r"it: .*9 users") as refusal:
        check_quality("it", cost, LIMITS, ndcg_needed=True)
    assert words in str(refusal.value)


def test_figures_at_their_limits_pass() -> None:
    at_limits = QuantisationCost(0.99, 0.1, 0.005, 0.01, 9)
    assert list(find_faults(at_limits, LIMITS)) == []
    check_quality("it", at_limits, LIMITS, ndcg_needed=True)
    unknown = QuantisationCost(1.0, None, None, 0.0, 9)
    assert list(find_faults(unknown, LIMITS, ndcg_needed=False)) == []


def test_all_faults_are_named_at_once() -> None:
    assert len(list(find_faults(QuantisationCost(0.5, 0.1, 0.5, 0.5, 9), LIMITS))) == 3
