"""The three input tables: their fields, types, units and ranges.

One description drives the Arrow schemas, the reading of CSV and Parquet, the checks and the documentation
(docs/data.md). Field names and ranges follow the suitability rules; a field that is absent stays absent,
because unknown denies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

EVENT_TYPES: Final = (
    "view",
    "search",
    "click",
    "enrol",
    "purchase",
    "rating",
    "favourite",
    "dwell",
    "comment",
)
FAMILIES: Final = (
    "WEALTH",
    "FUND",
    "TRUST",
    "STRUCTURED",
    "INS_PROTECTION",
    "INS_PAR_UL",
    "INS_LINKED",
    "COURSE",
)
AMOUNT_MAX: Final = 10**15  # Minor units; with basis points it still fits 64 bits.
ID_BYTES_MAX: Final = 128  # The wire contract's limit for ids.
TEXT_BYTES_MAX: Final = 10_000  # Long enough for any description; stops a file read as one field.
LIST_COUNT_MAX: Final = 1_000  # The wire contract's limit for sets and maps.


class Kind(StrEnum):
    """How a field is stored."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    DATE = "date"
    INSTANT = "instant"
    TEXTS = "texts"
    INTEGER_MAP = "integer_map"


ARROW_TYPES: Final[Mapping[Kind, Any]] = MappingProxyType(
    {
        Kind.TEXT: pa.string(),
        Kind.INTEGER: pa.int64(),
        Kind.NUMBER: pa.float32(),
        Kind.FLAG: pa.bool_(),
        Kind.DATE: pa.date32(),
        Kind.INSTANT: pa.timestamp("us", tz="UTC"),
        Kind.TEXTS: pa.list_(pa.string()),
        Kind.INTEGER_MAP: pa.map_(pa.string(), pa.int64()),
    }
)


@dataclass(frozen=True)
class Field:
    """One column of an input table.

    `low` and `high` bound integers, numbers, the values of maps and the UTF-8 byte length of texts, both
    inclusive. A `required` field is refused when absent; any other absence is kept as missing.
    """

    name: str
    kind: Kind
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] | None = None
    required: bool = False


@dataclass(frozen=True)
class TableSpec:
    """One input table: its name, fields in storage order and the field that identifies a row, if any."""

    name: str
    fields: tuple[Field, ...]
    key: str | None

    def field(self, name: str) -> Field | None:
        """Returns the field with that name, or None."""
        return next((field for field in self.fields if field.name == name), None)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema in which the table is stored."""
        columns: list[tuple[str, Any]] = [(f.name, ARROW_TYPES[f.kind]) for f in self.fields]
        return pa.schema(columns)


def _id(name: str) -> Field:
    return Field(name, Kind.TEXT, 1, ID_BYTES_MAX, required=True)


def _text(name: str, choices: tuple[str, ...] | None = None) -> Field:
    return Field(name, Kind.TEXT, 1, TEXT_BYTES_MAX, choices)


def _integer(name: str, low: int, high: int) -> Field:
    return Field(name, Kind.INTEGER, low, high)


def _amount(name: str) -> Field:
    return _integer(name, 0, AMOUNT_MAX)


def _texts(name: str) -> Field:
    return Field(name, Kind.TEXTS, 1, TEXT_BYTES_MAX)


INTERACTIONS: Final = TableSpec(
    name="interactions",
    fields=(
        _id("user_id"),
        _id("product_id"),
        Field("event_type", Kind.TEXT, choices=EVENT_TYPES, required=True),
        Field("event_time", Kind.INSTANT, required=True),
        Field("weight", Kind.NUMBER, 0, AMOUNT_MAX),
    ),
    key=None,
)

PRODUCTS: Final = TableSpec(
    name="products",
    fields=(
        _id("id"),
        _text("title"),
        _text("title_alternate"),
        _text("description"),
        _text("category"),
        _texts("tags"),
        _amount("price_minor"),
        _text("issuer"),
        _text("family", FAMILIES),
        _text("scale", ("CN5", "SRI7")),
        _text("status"),
        _text("registration_code"),
        Field("sale_start", Kind.INSTANT),
        Field("sale_end", Kind.INSTANT),
        _texts("channels"),
        Field("licence_until", Kind.INSTANT),
        _text("offering", ("PUBLIC", "PRIVATE")),
        _integer("level_issuer", 1, 7),
        _integer("level_distributor", 1, 7),
        _integer("risk_score", 0, 10_000),
        _text("retail", ("Y", "N", "NEUTRAL")),
        _integer("min_knowledge", 0, 3),
        _integer("loss_class", 0, 3),
        _integer("max_loss_bps", 0, 10_000),
        _integer("min_horizon_months", 0, 1200),
        _integer("min_age", 0, 150),
        _integer("max_age", 0, 150),
        _texts("jurisdictions"),
        Field("us_persons_ok", Kind.FLAG),
        _text("currency"),
        _amount("min_amount"),
        _amount("capacity_left"),
        _texts("objectives_y"),
        _texts("objectives_n"),
        _texts("needs_served"),
        _text("dup_group"),
        _integer("pay_years", 0, 100),
        _amount("annual_premium"),
        _amount("single_premium"),
        _texts("assumed"),
    ),
    key="id",
)

PROFILES: Final = TableSpec(
    name="profiles",
    fields=(
        _id("user_id"),
        Field("profile_as_of", Kind.INSTANT),
        _text("client_type", ("RETAIL", "PROFESSIONAL")),
        _text("capacity", ("FULL", "LIMITED", "NONE")),
        Field("birth_date", Kind.DATE),
        _text("jurisdiction"),
        Field("us_person", Kind.FLAG),
        _integer("risk_level", 0, 5),
        Field("assessed_on", Kind.DATE),
        Field("level_changed", Kind.FLAG),
        Field("level_confirmed", Kind.FLAG),
        _integer("assessments_today", 0, 1_000_000),
        _integer("assessments_12m", 0, 1_000_000),
        Field("change_reported", Kind.FLAG),
        Field("knowledge", Kind.INTEGER_MAP, 0, 3),
        _integer("loss_capacity", 0, 3),
        _integer("max_loss_bps", 0, 10_000),
        _integer("horizon_months", 0, 1200),
        _texts("objectives"),
        _texts("needs"),
        Field("needs_on", Kind.DATE),
        _amount("liquid"),
        _amount("income"),
        _amount("premium_budget"),
        _texts("currencies"),
        Field("held_issuer", Kind.INTEGER_MAP, 0, AMOUNT_MAX),
        _amount("held_high_risk"),
        _texts("held_dup_groups"),
        Field("vulnerable", Kind.FLAG),
        Field("blocked", Kind.FLAG),
        Field("consent_sensitive", Kind.FLAG),
        _texts("assumed"),
    ),
    key="user_id",
)

_QUARANTINE_COLUMNS: list[tuple[str, Any]] = [
    ("table", pa.string()),
    ("row", pa.int64()),  # 1 is the first row of data.
    ("field", pa.string()),
    ("reason", pa.string()),
    ("raw", pa.string()),  # The row as JSON text.
]
QUARANTINE: Final = pa.schema(_QUARANTINE_COLUMNS)

TABLES: Final[Mapping[str, TableSpec]] = MappingProxyType(
    {spec.name: spec for spec in (INTERACTIONS, PRODUCTS, PROFILES)}
)
