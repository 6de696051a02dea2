"""Refuses what is stored in fewer bits where the lists that users get are not those of float32."""

from collections.abc import Iterator
from dataclasses import dataclass

from export.errors import ExportQualityError
from export.quantisation import QuantisationCost


@dataclass(frozen=True)
class QualityLimits:
    """Holds how far lists and scores may be from float32's.

    Attributes:
        recall_min: least share of the float search's best 20 that must be found.
        ndcg_loss_max: largest relative loss of ndcg@10 on the validation users.
        score_error_max: largest error of a score, relative to the largest score.
    """

    recall_min: float = 0.99
    ndcg_loss_max: float = 0.005
    score_error_max: float = 0.01


def check_quality(name: str, cost: QuantisationCost, limits: QualityLimits, *, ndcg_needed: bool) -> None:
    """Passes what keeps within the limits.

    Args:
        name: what is judged, as the message names it.
        cost: what was measured.
        limits: the limits.
        ndcg_needed: whether a missing ndcg@10 is a fault; it is missing where no validation user is.

    Raises:
        ExportQualityError: a figure is beyond its limit; the message names all that are.
    """
    faults = list(find_faults(cost, limits, ndcg_needed=ndcg_needed))
    if faults:
        raise ExportQualityError(f"{name}: {'; '.join(faults)} ({cost.user_count:,} users)")


def find_faults(cost: QuantisationCost, limits: QualityLimits, *, ndcg_needed: bool = True) -> Iterator[str]:
    """Yields a sentence for each figure beyond its limit; NaN is beyond every limit."""
    if not cost.recall_at_20 >= limits.recall_min:
        yield f"recall@20 of float32 is {cost.recall_at_20:.4f}; expected at least {limits.recall_min:g}"
    if cost.ndcg_loss is None:
        if ndcg_needed:
            yield "ndcg@10 is not known; expected validation users (validation_fraction above 0)"
    elif not cost.ndcg_loss <= limits.ndcg_loss_max:
        yield f"relative loss of ndcg@10 is {cost.ndcg_loss:.4f}; expected at most {limits.ndcg_loss_max:g}"
    if not cost.score_error_max <= limits.score_error_max:
        yield (
            f"largest relative score error is {cost.score_error_max:.2g}; "
            f"expected at most {limits.score_error_max:g}"
        )
