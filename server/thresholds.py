"""The least that each product asks of a user, and what a user brings: the filter's numbers.

A product lets a user pass where its least is not above what the user brings. `find_least` and `find_brought`
give their numbers under the names of `Thresholds`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.product_rows import ask
from server.row_bits import RowBits, count_words, pack
from suitability import records
from suitability.policy import Policy
from suitability.ratings import (
    effective_level,
    effective_risk_score,
    is_learning,
    is_rated,
)
from suitability.records import PRODUCT_FIELDS

Product = Mapping[str, Any]
Products = Sequence[Product]
_Read = Callable[[Product, Policy], int]

STEP_COUNT_MAX: Final = 128
"""Most steps of a ladder."""

_ALWAYS: Final = -(2**15)  # Asked where the rule asks for nothing.
_NEVER: Final = 2**15 - 1  # Asked where the rule needs what the product does not state.
_NOTHING: Final = -1  # Brought where the user's value is missing, as in the user's record.


class Thresholds(NamedTuple):
    """One number per rule; what a user brings is None where the rule is not asked of this user."""

    risk_level: int | None = _ALWAYS
    risk_score: int | None = _ALWAYS
    loss_capacity: int | None = _ALWAYS
    max_loss_bps: int | None = _ALWAYS
    horizon_months: int | None = _ALWAYS
    age: int | None = _ALWAYS
    youth: int | None = _ALWAYS  # Minus the age, so that a bound from above is one from below.
    years_to_pay: int | None = _ALWAYS


@dataclass(frozen=True, slots=True)
class Brought:
    """What a user brings."""

    thresholds: Thresholds
    amount: int


class Ladder:
    """For every number that a user may bring, the rows that ask for no more, as bitmaps.

    Where the catalogue asks for many different numbers only some of them are steps, and a user between two is
    let through to the higher one: wider, and bounded in memory.
    """

    def __init__(self, least: NDArray[np.int64]) -> None:
        """Compiles what the rows ask for, int64 [product_count]."""
        self._asked = np.unique(least)  # [asked]
        kept = self._asked
        if len(kept) > STEP_COUNT_MAX:
            # The two highest stay, since the highest may be _NEVER; the others divide the rows evenly.
            places = np.linspace(0, len(least) - 1, STEP_COUNT_MAX - 2).astype(np.int64)
            kept = np.unique(np.concatenate([np.sort(least)[places], self._asked[-2:]]))
        self._step_of = np.searchsorted(kept, self._asked)  # [asked], the first step that is no lower.
        self._rows = [pack(least <= step) for step in kept.tolist()]
        self._none = np.zeros(count_words(len(least)), np.uint64)

    def find_rows(self, brought: int) -> RowBits:
        """Returns the rows that ask for no more than is brought, and a few others."""
        place = int(self._asked.searchsorted(brought, side="right"))
        return self._rows[self._step_of[place - 1]] if place else self._none


def find_least(products: Products, policy: Policy) -> dict[str, NDArray[np.int64]]:
    """Returns by threshold what each product asks for, int64 [product_count]."""
    return {
        name: ask(products, partial(_ask, policy, read), "family", *fields).array(np.int64)
        for name, (read, fields) in _ASKED.items()
    }


def find_min_amount(products: Products) -> NDArray[np.int64]:
    """Returns the smallest amount of each investment product, int64 [product_count]; -1 for others."""

    def read(product: Product) -> int:
        if records.text(product, PRODUCT_FIELDS["family"]) not in records.INVESTMENT_FAMILIES:
            return _NOTHING
        amount = records.integer(product, PRODUCT_FIELDS["min_amount"])
        return records.AMOUNT_MAX + 1 if amount is None else amount

    return ask(products, read, "family", "min_amount").array(np.int64)


def find_brought(user: Mapping[str, Any]) -> Brought:
    """Returns what a user brings whose age is known; see `server.user_record.USER_DTYPE`."""
    unassessed = user["assessment_code"] or user["tolerance_code"]
    unable = user["liquid_code"] or user["holdings_code"]
    return Brought(
        Thresholds(
            risk_level=_NOTHING if unassessed else user["risk_level"],
            risk_score=user["risk_score_limit"],
            loss_capacity=user["loss_capacity"],
            max_loss_bps=user["max_loss_bps"] if user["loss_capacity"] == 1 else None,
            horizon_months=user["horizon_months"],
            age=user["age_rounded_up"],
            youth=-user["age_rounded_up"],
            years_to_pay=user["pay_years_stop"] - 1,
        ),
        # The most that one investment may cost, were nothing held at its issuer.
        _NOTHING if unable else min(user["affordable_amount"], user["issuer_room"]),
    )


def _ask(policy: Policy, read: _Read, product: Product) -> int:
    return _ALWAYS if is_learning(product) else read(product, policy)


def _ask_risk_level(product: Product, policy: Policy) -> int:
    """Returns the lowest risk level whose entry in the risk matrix reaches the product's level."""
    if not is_rated(product, policy):
        return _ALWAYS
    level = effective_level(product)
    if level is None:
        return _NEVER
    matrix = policy.values["risk_matrix"][product["scale"]]
    return min((int(risk_level) for risk_level, most in matrix.items() if level <= most), default=_NEVER)


def _ask_risk_score(product: Product, policy: Policy) -> int:
    return _or_never(effective_risk_score(product, policy)) if is_rated(product, policy) else _ALWAYS


def _ask_loss_capacity(product: Product, _policy: Policy) -> int:
    loss_class = records.integer(product, PRODUCT_FIELDS["loss_class"])
    return _ALWAYS if loss_class == 0 else _or_never(loss_class)


def _ask_max_loss(product: Product, _policy: Policy) -> int:
    if records.integer(product, PRODUCT_FIELDS["loss_class"]) != 1:
        return _ALWAYS
    return _or_never(records.integer(product, PRODUCT_FIELDS["max_loss_bps"]))


def _ask_horizon(product: Product, policy: Policy) -> int:
    months = records.integer(product, PRODUCT_FIELDS["min_horizon_months"])
    if months is None:
        return _NEVER
    family = records.text(product, PRODUCT_FIELDS["family"])
    buffer_months: int = policy.values["horizon"]["buffer_months"]
    return _ALWAYS if months == 0 or family == "INS_PROTECTION" else months + buffer_months


def _ask_age(product: Product, _policy: Policy) -> int:
    return _or_never(records.integer(product, PRODUCT_FIELDS["min_age"]))


def _ask_youth(product: Product, _policy: Policy) -> int:
    oldest = records.integer(product, PRODUCT_FIELDS["max_age"])
    return _NEVER if oldest is None else -oldest


def _ask_years_to_pay(product: Product, _policy: Policy) -> int:
    if records.text(product, PRODUCT_FIELDS["family"]) not in records.INSURANCE_FAMILIES:
        return _ALWAYS
    years = records.integer(product, PRODUCT_FIELDS["pay_years"])
    return _ALWAYS if years in (0, 1) else _or_never(years)


_LEVEL_FIELDS: Final = ("scale", "level_issuer", "level_distributor")
_ASKED: Final[Mapping[str, tuple[_Read, tuple[str, ...]]]] = {
    "risk_level": (_ask_risk_level, _LEVEL_FIELDS),
    "risk_score": (_ask_risk_score, (*_LEVEL_FIELDS, "risk_score", "computed_risk_class")),
    "loss_capacity": (_ask_loss_capacity, ("loss_class",)),
    "max_loss_bps": (_ask_max_loss, ("loss_class", "max_loss_bps")),
    "horizon_months": (_ask_horizon, ("min_horizon_months",)),
    "age": (_ask_age, ("min_age",)),
    "youth": (_ask_youth, ("max_age",)),
    "years_to_pay": (_ask_years_to_pay, ("pay_years",)),
}
"""By threshold, what a financial product asks for, and the fields beside the family that say so."""


def _or_never(value: int | None) -> int:
    return _NEVER if value is None else value
