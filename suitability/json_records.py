"""Reads users and products from JSON: dates as YYYY-MM-DD, instants in RFC 3339, sets as lists, bytes in hex.

A field that the rules do not know is refused, because a misspelt field would otherwise count as missing
without a word. A malformed value is passed on as it stands: the rules count it as missing, and `explain`
shows why.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from suitability.errors import DocumentError, RecordError
from suitability.json_documents import errors_naming, read_document
from suitability.policy_schema import parse_instant
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind

ASSUMED = "assumed"
"""Not a field of the rules: lists the fields whose values were assumed."""

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_HEX = re.compile(r"([0-9a-fA-F]{2})+", re.ASCII)


def load_user(source: str | Path | bytes) -> dict[str, Any]:
    """Loads a user's record.

    Raises:
        RecordError: it is no JSON object, or a field is unknown or given twice.
    """
    return _load(source, USER_FIELDS, "user")


def load_product(source: str | Path | bytes) -> dict[str, Any]:
    """Loads a product's record. Raises: RecordError: as `load_user`."""
    return _load(source, PRODUCT_FIELDS, "product")


def decode_record(values: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """Turns a parsed JSON object into a record; what is malformed stays as it is.

    Raises:
        RecordError: a field is unknown, or `assumed` is no list of known fields.
    """
    record: dict[str, Any] = {}
    for name, value in values.items():
        if name == ASSUMED:
            record[name] = _assumed(value, fields)
        elif name in fields:
            record[name] = _decode(value, fields[name].kind)
        else:
            raise RecordError("expected a field of the rules, got an unknown one", f"{name:.80}")
    return record


def _load(source: str | Path | bytes, fields: Mapping[str, Field], whose: str) -> dict[str, Any]:
    with errors_naming(source):
        try:
            return decode_record(read_document(source), fields)
        except DocumentError as error:
            raise RecordError(error.message, f"{whose}.{error.path}" if error.path else whose) from error


def _assumed(value: object, fields: Mapping[str, Field]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise RecordError(f"expected a list of fields, got {type(value).__name__}", ASSUMED)
    for position, name in enumerate(value):
        if not isinstance(name, str) or name not in fields:
            raise RecordError(f"expected a field of the rules, got {name!r:.80}", f"{ASSUMED}[{position}]")
    return tuple(value)


def _decode(value: object, kind: Kind) -> object:
    decode = _DECODERS.get(kind)
    if decode is None or not isinstance(value, str):
        return value
    try:
        return decode(value)
    except (ValueError, OverflowError):
        return value


def _day(text: str) -> date:
    # Python also reads other forms of ISO 8601, such as 2026-W47-7.
    if not _DAY.fullmatch(text):
        raise ValueError(f"expected YYYY-MM-DD, got {text!r:.80}")
    return date.fromisoformat(text)


def _bytes(text: str) -> bytes:
    # Python also reads hex digits with spaces between them.
    if not _HEX.fullmatch(text):
        raise ValueError(f"expected hex digits, got {text!r:.80}")
    return bytes.fromhex(text)


_DECODERS: Mapping[Kind, Callable[[str], object]] = MappingProxyType(
    {Kind.INSTANT: parse_instant, Kind.DAY: _day, Kind.BYTES: _bytes}
)
