"""The record fields that become features: how each is read from a profile or a product.

A reader gives None where the field is missing or of the wrong type; a number that is not finite is passed on,
so that fitting can refuse it by name and serving can count it as missing.
"""

import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final

from suitability.ratings import effective_level

DAYS_PER_YEAR: Final = 365.25
EMBEDDING: Final = "embedding"  # A sequence of numbers that an encoder made offline; of one width for all.

Record = Mapping[str, Any]
TextReader = Callable[[Record], str | None]
NumberReader = Callable[[Record, datetime], float | None]


def _text(name: str) -> TextReader:
    """Reads a string or an integer as text; anything else is missing."""

    def read(record: Record) -> str | None:
        value = record.get(name)
        return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None

    return read


def _number(name: str) -> NumberReader:
    def read(record: Record, _now: datetime) -> float | None:
        value = record.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    return read


def _amount(name: str) -> NumberReader:
    """Reads an amount of money as log1p(minor units); a negative amount is missing, NaN stays NaN."""
    number = _number(name)

    def read(record: Record, now: datetime) -> float | None:
        value = number(record, now)
        return None if value is None or value < 0 else math.log1p(value)

    return read


def _age_years(record: Record, now: datetime) -> float | None:
    born = record.get("birth_date")
    if not isinstance(born, date):
        return None
    days = now.date().toordinal() - born.toordinal()
    return days / DAYS_PER_YEAR if days >= 0 else None


def _effective_level(record: Record) -> str | None:
    """Names scale and level."""
    level = effective_level(record)
    return None if level is None else f"{record['scale']}:{level}"


USER_CATEGORICAL: Final[Mapping[str, TextReader]] = {
    name: _text(name) for name in ("client_type", "capacity", "risk_level", "loss_capacity")
}
USER_NUMERIC: Final[Mapping[str, NumberReader]] = {
    "age_years": _age_years,
    "horizon_months": _number("horizon_months"),
    "liquid": _amount("liquid"),
}
ITEM_CATEGORICAL: Final[Mapping[str, TextReader]] = {
    "family": _text("family"),
    "category": _text("category"),
    "issuer": _text("issuer"),
    "effective_level": _effective_level,
}
ITEM_NUMERIC: Final[Mapping[str, NumberReader]] = {
    "risk_score": _number("risk_score"),
    "price_minor": _amount("price_minor"),
    "min_amount": _amount("min_amount"),
}
# Catalogue columns of the features whose name is none of them.
_ITEM_COLUMNS: Final = {"effective_level": ("scale", "level_issuer", "level_distributor")}


def list_item_columns(feature: str) -> tuple[str, ...]:
    """Lists the catalogue columns that a feature of products is read from."""
    return _ITEM_COLUMNS.get(feature, (feature,))
