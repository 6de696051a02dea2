"""Names the fields of users and products and reads them: a value that is not exactly right is missing.

A record is a plain mapping from field name to Python value. A reader returns None for what is absent, None,
of another type, or out of range: booleans, floats, NaN, strings and full-width digits are no integers; an
instant has a time zone; a day is a `date` and not a `datetime`; a bare string is no set. What a missing value
means is decided by the predicates, and it is never better than the worst value.

Source: the rules' sections 2 (user) and 3 (product); names follow the European MiFID Template where it has
    one.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from types import MappingProxyType

AMOUNT_MAX = 10**15
COUNT_MAX = 10**6
RISK_SCORE_MAX = 10_000
RISK_BAND_MAX = 99

LEARNING_FAMILY = "COURSE"
INVESTMENT_FAMILIES = frozenset({"WEALTH", "FUND", "TRUST", "STRUCTURED"})
INSURANCE_FAMILIES = frozenset({"INS_PROTECTION", "INS_PAR_UL", "INS_LINKED"})
FAMILIES = INVESTMENT_FAMILIES | INSURANCE_FAMILIES | {LEARNING_FAMILY}
SCALE_LEVEL_MAX: Mapping[str, int] = MappingProxyType({"CN5": 5, "SRI7": 7})
# ISO 3166-1 alpha-2 and ISO 4217 as they are written; neither list is kept here.
_COUNTRY = re.compile("[A-Z]{2}")
_CURRENCY = re.compile("[A-Z]{3}")


class Kind(Enum):
    """Kind of value that a field holds."""

    INTEGER = "integer"
    TEXT = "text"
    FLAG = "boolean"
    INSTANT = "instant with time zone"
    DAY = "date"
    TEXTS = "set of texts"
    COUNTS = "map from text to integer"
    BYTES = "bytes"


@dataclass(frozen=True)
class Field:
    """Describes one field.

    Attributes:
        name: name in the record.
        kind: kind of its value.
        low, high: inclusive range of an integer.
        choices: the texts that are allowed; None means any.
        pattern: what a text, or every text of a set, must match as a whole; None means anything.
    """

    name: str
    kind: Kind
    low: int = 0
    high: int = AMOUNT_MAX
    choices: frozenset[str] | None = None
    pattern: re.Pattern[str] | None = None


def _table(*fields: Field) -> Mapping[str, Field]:
    return MappingProxyType({field.name: field for field in fields})


USER_FIELDS: Mapping[str, Field] = _table(
    Field("pseudonym", Kind.BYTES),
    Field("profile_as_of", Kind.INSTANT),
    Field("client_type", Kind.TEXT, choices=frozenset({"RETAIL", "PROFESSIONAL"})),
    Field("capacity", Kind.TEXT, choices=frozenset({"FULL", "LIMITED", "NONE"})),
    Field("birth_date", Kind.DAY),
    Field("jurisdiction", Kind.TEXT, pattern=_COUNTRY),
    Field("us_person", Kind.FLAG),
    Field("risk_level", Kind.INTEGER, high=5),
    Field("assessed_on", Kind.DAY),
    Field("level_changed", Kind.FLAG),
    Field("level_confirmed", Kind.FLAG),
    Field("assessments_today", Kind.INTEGER, high=COUNT_MAX),
    Field("assessments_12m", Kind.INTEGER, high=COUNT_MAX),
    Field("change_reported", Kind.FLAG),
    Field("knowledge", Kind.COUNTS, high=3),
    Field("loss_capacity", Kind.INTEGER, high=3),
    Field("max_loss_bps", Kind.INTEGER, high=10_000),
    Field("horizon_months", Kind.INTEGER, high=1200),
    Field("objectives", Kind.TEXTS),
    Field("needs", Kind.TEXTS),
    Field("needs_on", Kind.DAY),
    Field("liquid", Kind.INTEGER),
    Field("income", Kind.INTEGER),
    Field("premium_budget", Kind.INTEGER),
    Field("currencies", Kind.TEXTS, pattern=_CURRENCY),
    Field("held_issuer", Kind.COUNTS),
    Field("held_high_risk", Kind.INTEGER),
    Field("held_dup_groups", Kind.TEXTS),
    Field("vulnerable", Kind.FLAG),
    Field("blocked", Kind.FLAG),
    Field("consent_sensitive", Kind.FLAG),
    Field("user_risk_band", Kind.INTEGER, low=1, high=RISK_BAND_MAX),
)

PRODUCT_FIELDS: Mapping[str, Field] = _table(
    Field("id", Kind.TEXT),
    Field("issuer", Kind.TEXT),
    Field("family", Kind.TEXT, choices=FAMILIES),
    Field("scale", Kind.TEXT, choices=frozenset(SCALE_LEVEL_MAX)),
    Field("status", Kind.TEXT),
    Field("registration_code", Kind.TEXT),
    Field("sale_start", Kind.INSTANT),
    Field("sale_end", Kind.INSTANT),
    Field("channels", Kind.TEXTS),
    Field("licence_until", Kind.INSTANT),
    Field("offering", Kind.TEXT, choices=frozenset({"PUBLIC", "PRIVATE"})),
    Field("level_issuer", Kind.INTEGER, low=1, high=7),
    Field("level_distributor", Kind.INTEGER, low=1, high=7),
    Field("retail", Kind.TEXT, choices=frozenset({"Y", "N", "NEUTRAL"})),
    Field("min_knowledge", Kind.INTEGER, high=3),
    Field("loss_class", Kind.INTEGER, high=3),
    Field("max_loss_bps", Kind.INTEGER, high=10_000),
    Field("min_horizon_months", Kind.INTEGER, high=1200),
    Field("min_age", Kind.INTEGER, high=150),
    Field("max_age", Kind.INTEGER, high=150),
    Field("jurisdictions", Kind.TEXTS, pattern=_COUNTRY),
    Field("us_persons_ok", Kind.FLAG),
    Field("currency", Kind.TEXT, pattern=_CURRENCY),
    Field("min_amount", Kind.INTEGER),
    Field("capacity_left", Kind.INTEGER),
    Field("objectives_y", Kind.TEXTS),
    Field("objectives_n", Kind.TEXTS),
    Field("needs_served", Kind.TEXTS),
    Field("dup_group", Kind.TEXT),
    Field("pay_years", Kind.INTEGER, high=100),
    Field("annual_premium", Kind.INTEGER),
    Field("single_premium", Kind.INTEGER),
    Field("risk_score", Kind.INTEGER, high=RISK_SCORE_MAX),
    # What somebody computed of the product's prices; a class of the European risk indicator.
    Field("computed_risk_class", Kind.INTEGER, low=1, high=SCALE_LEVEL_MAX["SRI7"]),
    Field("credit_like", Kind.FLAG),
)


def raw(record: object, name: str) -> object:
    """Returns the value as it stands, None where it is absent or the record is no mapping."""
    # Asking for the exact type first is four times as fast, and nearly every record is a dict.
    return record.get(name) if type(record) is dict or isinstance(record, Mapping) else None


def read(record: object, field: Field) -> object | None:
    """Reads a field of any kind. Returns None where it is missing or malformed."""
    return _READERS[field.kind](record, field)


def integer(record: object, field: Field) -> int | None:
    """Reads a true integer in the field's range."""
    return true_integer(raw(record, field.name), field.low, field.high)


def true_integer(value: object, low: int, high: int) -> int | None:
    """Returns the value if it is an int (never a bool, float or string) with low <= value <= high."""
    return value if type(value) is int and low <= value <= high else None


def text(record: object, field: Field) -> str | None:
    """Reads a text that is not blank and has the field's choices or pattern, where it has any."""
    value = raw(record, field.name)
    return value if isinstance(value, str) and _is_sound(value, field) else None


def _is_sound(value: str, field: Field) -> bool:
    if field.choices is not None:
        return value in field.choices
    return bool(value.strip()) and (field.pattern is None or field.pattern.fullmatch(value) is not None)


def flag(record: object, field: Field) -> bool | None:
    """Reads True or False; 0, 1 and texts are missing."""
    value = raw(record, field.name)
    return value if isinstance(value, bool) else None


def instant(record: object, field: Field) -> datetime | None:
    """Reads an instant with a time zone, in UTC so that comparing it never depends on a wall clock."""
    return utc_instant(raw(record, field.name))


def utc_instant(value: object) -> datetime | None:
    """Returns the instant in UTC, or None where the value has no zone or lies outside what UTC can hold.

    Of a subclass nothing is known: it may count nanoseconds, or be "not a time", which no comparison denies.
    """
    if type(value) is not datetime:
        return None
    try:
        return None if value.utcoffset() is None else value.astimezone(UTC)
    except Exception:  # noqa: BLE001 - a zone is anybody's code; an instant that it cannot place is malformed.
        return None


def day(record: object, field: Field) -> date | None:
    """Reads a date; a datetime, which is a subclass, is missing because its day depends on a zone."""
    value = raw(record, field.name)
    return value if type(value) is date else None


def texts(record: object, field: Field) -> frozenset[str] | None:
    """Reads a set of texts from any collection; one malformed member makes the whole set missing."""
    value = raw(record, field.name)
    if not isinstance(value, Collection) or isinstance(value, (str, bytes, bytearray, Mapping)):
        return None
    members = list(value)
    for member in members:
        if not isinstance(member, str) or not _is_sound(member, field):
            return None
    return frozenset(members)


def counts(record: object, field: Field) -> Mapping[str, int] | None:
    """Reads a map of integers in the field's range; one malformed entry makes the whole map missing."""
    value = raw(record, field.name)
    if not isinstance(value, Mapping):
        return None
    entries = dict(value)
    sound = all(
        isinstance(key, str) and true_integer(entry, field.low, field.high) is not None
        for key, entry in entries.items()
    )
    return entries if sound else None


def octets(record: object, field: Field) -> bytes | None:
    """Reads bytes that are not empty."""
    value = raw(record, field.name)
    return value if isinstance(value, bytes) and value else None


_READERS = MappingProxyType(
    {
        Kind.INTEGER: integer,
        Kind.TEXT: text,
        Kind.FLAG: flag,
        Kind.INSTANT: instant,
        Kind.DAY: day,
        Kind.TEXTS: texts,
        Kind.COUNTS: counts,
        Kind.BYTES: octets,
    }
)
