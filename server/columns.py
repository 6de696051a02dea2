"""The catalogue compiled for the gate: one array per fact that a rule reads, in row order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suitability import ratings, records
from suitability.policy import Policy
from suitability.predicates.pair import Pair
from suitability.predicates.product import check_status

NEVER_US: Final = 2**62
"""An instant, in microseconds, that no clock reaches."""
NO_LIMIT_ADMITS: Final = 2**30
"""A needed limit above every risk score limit."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIELDS = records.PRODUCT_FIELDS


@dataclass(frozen=True, slots=True)
class Columns:
    """Facts by row; every array is [product_count] unless it says otherwise.

    Attributes:
        financial: not learning content (an unknown family is financial).
        rated: needs a valid risk assessment.
        insurance: of an insurance family.
        status_code: the code of predicate 1, "" where it passes; depends on the policy.
        sale_start_us, sale_end_us: the window; both NEVER_US where either is missing.
        window_known: both ends are stated.
        licence_until_us: NEVER_US for learning content and where missing.
        channel_known: channels, and for financial products the licence, are stated.
        channels: rows by channel.
        level_code: the code of predicate 10 that needs no user, "" where there is none.
        over_tolerance: bool [6, product_count]; by risk level, whether the level exceeds the risk matrix.
        limited_score: effective risk score where the limit applies (rated and known), else -1.
        score_unknown: rated, and no effective risk score.
        needed_limit: the smallest limit that admits the row: -1 where none is needed.
        levels, risk_scores: what a list shows; None for learning content and where unknown.
        assumed_fields: names of the fields that were assumed.
    """

    financial: NDArray[np.bool_]
    rated: NDArray[np.bool_]
    insurance: NDArray[np.bool_]
    status_code: tuple[str, ...]
    sale_start_us: NDArray[np.int64]
    sale_end_us: NDArray[np.int64]
    window_known: NDArray[np.bool_]
    licence_until_us: NDArray[np.int64]
    channel_known: NDArray[np.bool_]
    channels: Mapping[str, NDArray[np.bool_]]
    level_code: tuple[str, ...]
    over_tolerance: NDArray[np.bool_]
    limited_score: NDArray[np.int64]
    score_unknown: NDArray[np.bool_]
    needed_limit: NDArray[np.int64]
    levels: tuple[int | None, ...]
    risk_scores: tuple[int | None, ...]
    assumed_fields: tuple[tuple[str, ...], ...]


def compile_columns(products: Sequence[Mapping[str, Any]], policy: Policy) -> Columns:
    """Reads every product once, with suitability's own readers: what they call missing is missing here."""
    financial = _array([not ratings.is_learning(product) for product in products])
    rated = _array([ratings.is_rated(product, policy) for product in products])
    starts = [records.instant(product, _FIELDS["sale_start"]) for product in products]
    ends = [records.instant(product, _FIELDS["sale_end"]) for product in products]
    window_known = _array([None not in pair for pair in zip(starts, ends, strict=True)])
    licences = [records.instant(product, _FIELDS["licence_until"]) for product in products]
    channels = [records.texts(product, _FIELDS["channels"]) for product in products]
    levels = [ratings.effective_level(product) for product in products]
    scores = [ratings.effective_risk_score(product, policy) for product in products]
    level_code = [_level_code(level, policy) for level in levels]
    level_code = [code if sold else "" for code, sold in zip(level_code, financial, strict=True)]
    matched = rated & _array([not code for code in level_code])
    known_score = np.array([-1 if score is None else score for score in scores], np.int64)
    licence_known = _array([licence is not None for licence in licences]) | ~financial
    return Columns(
        financial=financial,
        rated=rated,
        insurance=_array(
            [records.text(product, _FIELDS["family"]) in records.INSURANCE_FAMILIES for product in products]
        ),
        status_code=tuple(_status_code(product, policy) for product in products),
        sale_start_us=np.where(window_known, _microseconds(starts), NEVER_US),
        sale_end_us=np.where(window_known, _microseconds(ends), NEVER_US),
        window_known=window_known,
        licence_until_us=np.where(financial, _microseconds(licences), NEVER_US),
        channel_known=_array([members is not None for members in channels]) & licence_known,
        channels=_rows_by_channel(channels),
        level_code=tuple(level_code),
        over_tolerance=_over_tolerance(products, levels, matched, policy),
        limited_score=np.where(rated, known_score, -1),
        score_unknown=rated & (known_score < 0),
        needed_limit=np.where(rated, np.where(known_score < 0, NO_LIMIT_ADMITS, known_score), -1),
        levels=_shown(levels, financial),
        risk_scores=_shown(scores, financial),
        assumed_fields=tuple(tuple(product.get("assumed") or ()) for product in products),
    )


def to_microseconds(instant: datetime) -> int:
    """Returns whole microseconds since 1970-01-01 UTC, without a float on the way."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Returns the instant in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


def _array(values: list[bool]) -> NDArray[np.bool_]:
    return np.array(values, dtype=np.bool_)


def _microseconds(instants: list[datetime | None]) -> NDArray[np.int64]:
    values = [NEVER_US if instant is None else to_microseconds(instant) for instant in instants]
    return np.array(values, dtype=np.int64)


def _shown(values: list[int | None], financial: NDArray[np.bool_]) -> tuple[int | None, ...]:
    return tuple(value if sold else None for value, sold in zip(values, financial, strict=True))


def _status_code(product: Mapping[str, Any], policy: Policy) -> str:
    """Returns predicate 1's code, "" where it passes; it reads neither user nor clock nor channel."""
    return check_status(Pair(None, product, policy, _EPOCH, None)) or ""


def _level_code(level: int | None, policy: Policy) -> str:
    cap = policy.values["level_cap"]
    if level is None:
        return "PRD_LEVEL_UNKNOWN"
    return "MAT_LEVEL_OVER_CAP" if cap is not None and level > cap else ""


def _rows_by_channel(channels: list[frozenset[str] | None]) -> dict[str, NDArray[np.bool_]]:
    names = frozenset().union(*(members for members in channels if members is not None))
    return {name: _array([members is not None and name in members for members in channels]) for name in names}


def _over_tolerance(
    products: Sequence[Mapping[str, Any]],
    levels: list[int | None],
    matched: NDArray[np.bool_],
    policy: Policy,
) -> NDArray[np.bool_]:
    scales = [records.text(product, _FIELDS["scale"]) for product in products]
    known = np.array([level or 0 for level in levels], np.int64)
    over = np.zeros((6, len(products)), np.bool_)  # [risk levels, product_count]
    for scale, matrix in policy.values["risk_matrix"].items():
        of_scale = matched & _array([name == scale for name in scales])
        for risk_level in range(6):
            over[risk_level] |= of_scale & (known > matrix[str(risk_level)])
    return over
