"""Measures what fewer bits cost: the lists that users get, beside those of exact float32 search."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from export.judges import Judges
from index.reference import INT8_LIMIT, narrow, quantise
from training.metrics import hide_seen, list_best, measure_lists
from training.split import Validation

CANDIDATE_COUNT: Final = 100
"""What the int8 scan hands to the integer score: the server's number for a list of 20."""

_SCORE_COUNT_MAX: Final = 4_000_000  # Scores of one chunk of users: a few matrices of 32 MB.

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Vectors:
    """Users and items as one form stores them; integers are exact in float64.

    Attributes:
        users: [users, dim].
        items: [products, dim].
        step: what a score's unit is worth as a score of the model, [users, 1].
    """

    users: Matrix
    items: Matrix
    step: Matrix


@dataclass(frozen=True)
class QuantisationCost:
    """Holds what a form of towers and vectors costs against exact search in float32.

    Attributes:
        recall_at_20: share of the form's best 20 products that are as good as the float search's best 20. Of
            products alike but for the rounding of float32, none is better than another.
        ndcg_at_10: on what the validation users did next; None without such users. The model has learned from
            these steps too, so the figure says what the form costs, not how good the model is.
        ndcg_loss: relative loss of ndcg@10 against float32, negative for a gain.
        score_error_max: largest error of a score, relative to the largest score.
        user_count: users whose lists were compared.
    """

    recall_at_20: float
    ndcg_at_10: float | None
    ndcg_loss: float | None
    score_error_max: float
    user_count: int


def in_float32(users: NDArray[np.float32], items: NDArray[np.float32]) -> Vectors:
    """Takes vectors as they come from the towers."""
    return Vectors(users.astype(np.float64), items.astype(np.float64), np.ones((len(users), 1)))


def in_int32(
    users: NDArray[np.float32], items: NDArray[np.float32], *, user_scale: float, item_scale: float
) -> Vectors:
    """Rounds both to whole numbers, as the server scores."""
    step = np.full((len(users), 1), 1.0 / (user_scale * item_scale))
    return Vectors(
        quantise(users, user_scale).astype(np.float64), quantise(items, item_scale).astype(np.float64), step
    )


def in_int8(
    users: NDArray[np.float32], items: NDArray[np.float32], *, user_scale: float, item_scale: float
) -> Vectors:
    """Rounds both to int8, as the server scans: each user over its own range, the items over one."""
    wide = in_int32(users, items, user_scale=user_scale, item_scale=item_scale)
    largest = np.abs(wide.users).max(axis=1, keepdims=True)
    largest_item = np.abs(wide.items).max(initial=0.0) or 1.0
    return Vectors(
        narrow(wide.users.astype(np.int32)).astype(np.float64),
        np.rint(wide.items * (INT8_LIMIT / largest_item)),
        wide.step * (largest / INT8_LIMIT) * (largest_item / INT8_LIMIT),
    )


def measure_cost(
    exact: Vectors, form: Vectors, judges: Judges, *, scan: Vectors | None = None
) -> QuantisationCost:
    """Compares the lists of a form with those of exact search; products of a user's past are in neither.

    Args:
        exact: the towers' own vectors.
        form: what scores.
        judges: the users, in the order of the vectors.
        scan: what chooses the CANDIDATE_COUNT products that `form` scores; None has it score all.
    """
    count, size = len(exact.users), max(1, _SCORE_COUNT_MAX // len(exact.items))
    chunks = [slice(start, start + size) for start in range(0, count, size)]
    pieces = [_compare(exact, form, scan, judges.validation, chunk) for chunk in chunks]
    wanted = np.concatenate([piece.wanted for piece in pieces])  # [users, <= 20]
    found = np.concatenate([piece.found for piece in pieces])
    largest = max(piece.score_max for piece in pieces)
    error = max(piece.error_max for piece in pieces)
    same = sum(piece.same_count for piece in pieces)
    after = loss = None
    if len(judges.validation.pair_user):
        before = measure_lists(wanted, judges.validation).ndcg_at_10
        after = measure_lists(found, judges.validation).ndcg_at_10
        loss = (before - after) / before if before > 0 else 0.0
    return QuantisationCost(
        recall_at_20=same / wanted.size,
        ndcg_at_10=after,
        ndcg_loss=loss,
        score_error_max=error / largest if largest > 0 else error,
        user_count=count,
    )


@dataclass(frozen=True)
class _Piece:
    """Holds the best products of some users under both, how many are as good, the largest error and score."""

    wanted: NDArray[np.int64]
    found: NDArray[np.int64]
    same_count: int
    error_max: float
    score_max: float


def _compare(
    exact: Vectors, form: Vectors, scan: Vectors | None, validation: Validation, chunk: slice
) -> _Piece:
    expected, scores = _score(exact, chunk), _score(form, chunk)  # [chunk, products]
    error_max, score_max = np.abs(scores * form.step[chunk] - expected).max(), np.abs(expected).max()
    candidates = hide_seen(expected, validation, chunk.start)
    wanted = list_best(candidates)
    listed = hide_seen(scores, validation, chunk.start)
    if scan is not None:
        scanned = list_best(hide_seen(_score(scan, chunk), validation, chunk.start), CANDIDATE_COUNT)
        chosen = np.full(listed.shape, -np.inf)
        np.put_along_axis(chosen, scanned, np.take_along_axis(listed, scanned, axis=1), axis=1)
        listed = chosen
    found = list_best(listed)
    least = np.take_along_axis(candidates, wanted[:, -1:], axis=1)  # [chunk, 1]
    rounding = exact.users.shape[1] * float(np.finfo(np.float32).eps) * score_max
    same = np.take_along_axis(candidates, found, axis=1) >= least - rounding
    return _Piece(wanted, found, int(same.sum()), float(error_max), float(score_max))


def _score(vectors: Vectors, chunk: slice) -> Matrix:
    return vectors.users[chunk] @ vectors.items.T
