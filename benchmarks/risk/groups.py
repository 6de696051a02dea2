"""Measures whom a limit by band would hold back: how many pay all the same, and who they are.

What the law protects is no input of the models; here it is read to see whether something else stands in for
it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.risk_bins import Value
from training.risk.measures import measure_auc

MAX_BAND: Final = 3
"""The limit at which groups are compared; docs/risk.md proposes it, an officer decides."""
GROUP_SIZE_MIN: Final = 100
_QUARTERS: Final = 4
_NORMAL: Final = 1.959964  # The 97.5 % point of the normal distribution: intervals of 95 %.

Flags = NDArray[np.bool_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Outcomes:
    """What the scorecard says of the held-out borrowers, and what came of them; each is [held out]."""

    basis_points: Numbers
    bands: Numbers
    defaulted: Flags


@dataclass(frozen=True)
class Cut:
    """A limit: borrowers up to this band are shown credit-like products.

    Attributes:
        max_band: the limit.
        shown: share of the borrowers who are shown them.
        default_rate: share of those who defaulted.
        defaulters_held: share of all who defaulted that is held back.
        payers_held: share of all who paid that is held back.
    """

    max_band: int
    shown: float
    default_rate: float
    defaulters_held: float
    payers_held: float


@dataclass(frozen=True)
class Group:
    """Borrowers who are alike in one field, under the limit MAX_BAND.

    Attributes:
        field, value: what they have in common.
        protected: whether the law protects the field.
        count: how many were held out.
        expected: mean probability of a default.
        observed, low, high: share that defaulted, with an interval of 95 % (Wilson).
        auc: how well the score tells who defaults inside the group.
        shown: share that is shown credit-like products.
        ratio: that share against the largest of the field's groups.
        payers_held: share of those who paid that is held back.
    """

    field: str
    value: str
    protected: bool
    count: int
    expected: float
    observed: float
    low: float
    high: float
    auc: float
    shown: float
    ratio: float
    payers_held: float


def measure_cuts(outcomes: Outcomes, band_count: int) -> list[Cut]:
    """Measures every limit but the one that holds nobody."""
    return [_measure_cut(outcomes, limit) for limit in range(1, band_count)]


def measure_groups(
    outcomes: Outcomes, field: str, values: Sequence[Value], *, protected: bool
) -> list[Group]:
    """Compares the groups of a field; a number is cut into quarters, small groups are left out.

    Args:
        outcomes: of the held-out borrowers.
        field: its name.
        values: of the same borrowers.
        protected: whether the law protects it.
    """
    shown = outcomes.bands <= MAX_BAND
    groups = [(name, rows) for name, rows in _split(values) if rows.sum() >= GROUP_SIZE_MIN]
    best = max((float(shown[rows].mean()) for _, rows in groups), default=0.0)
    found = []
    for name, rows in groups:
        defaulted, share = outcomes.defaulted[rows], float(shown[rows].mean())
        low, high = wilson(int(defaulted.sum()), len(defaulted))
        found.append(
            Group(
                field=field,
                value=name,
                protected=protected,
                count=len(defaulted),
                expected=float(outcomes.basis_points[rows].mean() / 10_000),
                observed=float(defaulted.mean()),
                low=low,
                high=high,
                auc=measure_auc(outcomes.basis_points[rows].astype(np.float64), defaulted),
                shown=share,
                ratio=share / best if best else 0.0,
                payers_held=_share(~shown[rows], ~defaulted),
            )
        )
    return found


def wilson(count: int, total: int) -> tuple[float, float]:
    """Returns the interval of 95 % of a share. Source: Wilson 1927, eq. for the score interval."""
    share, square = count / total, _NORMAL**2 / total
    middle = (share + square / 2) / (1 + square)
    half = _NORMAL * sqrt(share * (1 - share) / total + square / (4 * total)) / (1 + square)
    return middle - half, middle + half


def _measure_cut(outcomes: Outcomes, limit: int) -> Cut:
    held = outcomes.bands > limit
    return Cut(
        max_band=limit,
        shown=float((~held).mean()),
        default_rate=_share(outcomes.defaulted, ~held),
        defaulters_held=_share(held, outcomes.defaulted),
        payers_held=_share(held, ~outcomes.defaulted),
    )


def _share(what: Flags, among: Flags) -> float:
    return float(what[among].mean()) if among.any() else 0.0


def _split(values: Sequence[Value]) -> Iterator[tuple[str, Flags]]:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, float) for value in known):
        numbers = np.array([np.nan if value is None else value for value in values], np.float64)
        edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _QUARTERS + 1)))
        for place, (low, high) in enumerate(pairwise(edges.tolist())):
            last = place == len(edges) - 2
            inside = (numbers >= low) & ((numbers <= high) if last else (numbers < high))
            yield f"{low:g} to {high:g}" if last else f"{low:g} to under {high:g}", inside
        return
    for name in sorted({str(value) for value in known}):
        yield name, np.array([value is not None and str(value) == name for value in values], np.bool_)
