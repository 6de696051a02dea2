"""The three input tables: their fields, types, units and ranges.

One description drives the Arrow schemas, the reading of CSV and Parquet, the checks and the documentation
(docs/data.md). What the suitability rules read has the name and the range that the rules give it; a field
that is absent stays absent, because unknown denies.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from index.features import EVENT_TYPES
from index.fields import EMBEDDING
from index.item_embedding import WIDTH_MAX
from suitability import records
from suitability.records import AMOUNT_MAX

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
    VECTOR = "vector"


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
        Kind.VECTOR: pa.list_(pa.float32()),
    }
)


@dataclass(frozen=True)
class Field:
    """One column of an input table.

    `low` and `high` bound integers, numbers, the values of maps and the UTF-8 byte length of texts (which
    may not be blank), both inclusive. A text, or every text of a list, is one of the `choices` and matches
    the `pattern` as a whole, where there are any; they bound how many numbers a vector has. A `required`
    field is refused when absent; any other absence is kept as missing. An `extra` field is a column only of
    the tables that came with it.
    """

    name: str
    kind: Kind
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] | None = None
    required: bool = False
    pattern: str | None = None
    extra: bool = False


@dataclass(frozen=True)
class TableSpec:
    """One input table: its name, fields in storage order and the field that identifies a row, if any."""

    name: str
    fields: tuple[Field, ...]
    key: str | None

    def field(self, name: str) -> Field | None:
        """Returns the field with that name, or None."""
        return next((field for field in self.fields if field.name == name), None)

    def choose_fields(self, names: Collection[str]) -> tuple[Field, ...]:
        """Chooses the fields of a table that came with these columns: all, and of the extra ones its own."""
        return tuple(field for field in self.fields if not field.extra or field.name in names)

    @property
    def arrow(self) -> pa.Schema:
        """The Arrow schema in which the table is stored, without extra fields."""
        return make_arrow(self.choose_fields(()))


def make_arrow(fields: tuple[Field, ...]) -> pa.Schema:
    """Makes the Arrow schema of some fields."""
    columns: list[tuple[str, Any]] = [(field.name, ARROW_TYPES[field.kind]) for field in fields]
    return pa.schema(columns)


def _id(name: str) -> Field:
    return Field(name, Kind.TEXT, 1, ID_BYTES_MAX, required=True)


def _text(name: str) -> Field:
    return Field(name, Kind.TEXT, 1, TEXT_BYTES_MAX)


def _texts(name: str) -> Field:
    return Field(name, Kind.TEXTS, 1, TEXT_BYTES_MAX)


_KINDS: Final[Mapping[records.Kind, Kind]] = MappingProxyType(
    {
        records.Kind.TEXT: Kind.TEXT,
        records.Kind.INTEGER: Kind.INTEGER,
        records.Kind.FLAG: Kind.FLAG,
        records.Kind.DAY: Kind.DATE,
        records.Kind.INSTANT: Kind.INSTANT,
        records.Kind.TEXTS: Kind.TEXTS,
        records.Kind.COUNTS: Kind.INTEGER_MAP,
    }
)


def _read_by_rules(table: Mapping[str, records.Field], *, left_out: str) -> tuple[Field, ...]:
    """Returns the fields that the suitability rules read, in the rules' order."""
    fields = []
    for rule in table.values():
        if rule.name == left_out:
            continue
        kind = _KINDS[rule.kind]
        text = kind in {Kind.TEXT, Kind.TEXTS}
        low, high = (1, TEXT_BYTES_MAX) if text else (rule.low, rule.high)
        choices = None if rule.choices is None else tuple(sorted(rule.choices))
        pattern = None if rule.pattern is None else rule.pattern.pattern
        fields.append(Field(rule.name, kind, low, high, choices, pattern=pattern))
    return tuple(fields)


INTERACTIONS: Final = TableSpec(
    name="interactions",
    fields=(
        _id("user_id"),
        _id("product_id"),
        Field("event_type", Kind.TEXT, choices=EVENT_TYPES, required=True),
        Field("event_time", Kind.INSTANT, required=True),
        Field("weight", Kind.NUMBER, 0, AMOUNT_MAX),
        Field("confidence", Kind.NUMBER, 0, 1, extra=True),
        Field("event_id", Kind.TEXT, 1, ID_BYTES_MAX, extra=True),
        Field("answer_id", Kind.TEXT, 1, ID_BYTES_MAX, extra=True),
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
        Field("price_minor", Kind.INTEGER, 0, AMOUNT_MAX),
        *_read_by_rules(records.PRODUCT_FIELDS, left_out="id"),
        _texts("assumed"),
        Field("risk_formula", Kind.TEXT, 1, TEXT_BYTES_MAX, extra=True),
        Field("risk_inputs", Kind.TEXT, 1, TEXT_BYTES_MAX, extra=True),
        Field(EMBEDDING, Kind.VECTOR, 1, WIDTH_MAX, extra=True),
    ),
    key="id",
)

PROFILES: Final = TableSpec(
    name="profiles",
    # The pseudonym is not stated: the server derives it from the user_id.
    fields=(_id("user_id"), *_read_by_rules(records.USER_FIELDS, left_out="pseudonym"), _texts("assumed")),
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
