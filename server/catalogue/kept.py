"""What the records of the catalogue log come to: what was stated of products, and answers to repeated calls.

A snapshot is the same as text: equal states have equal ones, so that a compacted log can be proven from the
records that it was compacted from.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from server.catalogue.patches import PATCHED_FIELDS, Fields, Value
from suitability.records import PRODUCT_FIELDS, Kind

_NEVER: Final = datetime.min.replace(tzinfo=UTC)
KEY_COUNT_MAX: Final = 10_000
"""How many of the latest idempotency keys are remembered."""
KEY_CHARACTERS_MAX: Final = 16 << 20
"""How long the answers to them may be together; beyond that the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Stated:
    """What a patch says of one field, and when it was accepted."""

    value: Value
    time: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change as it was accepted.

    Attributes:
        sequence: the catalogue's sequence after it.
        time: when it was accepted, by the system clock.
        request_hash: of what was asked, so that a key used for anything else is noticed.
        verdicts: what was answered, as JSON text.
    """

    sequence: int
    time: datetime
    request_hash: str
    verdicts: str


@dataclass(slots=True)
class Kept:
    """What records come to, one after the other.

    Attributes:
        stated: by product and field; replaced or filled by whoever follows records, and by nobody else.
        sequence: of the last record.
        time: when that was accepted.
    """

    stated: dict[str, Mapping[str, Stated]] = field(default_factory=dict)
    sequence: int = 0
    time: datetime = _NEVER
    _keys: dict[str, Accepted] = field(default_factory=dict)
    _key_characters: int = 0

    def find(self, idempotency_key: str) -> Accepted | None:
        """Returns the change that was accepted under a key, None where none was or the key is empty."""
        return self._keys.get(idempotency_key)

    def follow(self, texts: Mapping[str, str]) -> Accepted:
        """Takes in the next record.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is no patch.
        """
        self.time = add_record(texts, self.stated)
        return self.count(texts)

    def count(self, texts: Mapping[str, str]) -> Accepted:
        """Takes in the next record but for what it states, which is in place already."""
        self.sequence += 1
        document = json.loads(texts["document"])
        accepted = Accepted(self.sequence, self.time, document["request_hash"], document["verdicts"])
        if document["idempotency_key"]:
            self._remember(document["idempotency_key"], accepted)
        return accepted

    def write(self) -> str:
        """Writes the snapshot."""
        stated = {
            name: {key: [write_value(said.value), said.time.isoformat()] for key, said in fields.items()}
            for name, fields in self.stated.items()
        }
        keys = [
            [key, each.sequence, each.time.isoformat(), each.request_hash, each.verdicts]
            for key, each in self._keys.items()
        ]
        body = {"keys": keys, "stated": stated, "time": self.time.isoformat()}
        return json.dumps(body, ensure_ascii=True, separators=(",", ":"), sort_keys=True)

    @classmethod
    def read(cls, snapshot: str, sequence: int) -> Self:
        """Reads a snapshot.

        Raises:
            ValueError, KeyError, TypeError, AttributeError: it is none.
        """
        body = json.loads(snapshot)
        stated: dict[str, Mapping[str, Stated]] = {
            name: {
                key: Stated(read_value(key, value), datetime.fromisoformat(time))
                for key, (value, time) in fields.items()
            }
            for name, fields in body["stated"].items()
        }
        kept = cls(stated, sequence, datetime.fromisoformat(body["time"]))
        for key, number, time, request_hash, verdicts in body["keys"]:
            kept._remember(key, Accepted(number, datetime.fromisoformat(time), request_hash, verdicts))
        return kept

    def _remember(self, key: str, accepted: Accepted) -> None:
        self._keys[key] = accepted
        self._key_characters += len(accepted.verdicts)
        while len(self._keys) > KEY_COUNT_MAX or self._key_characters > KEY_CHARACTERS_MAX:
            self._key_characters -= len(self._keys.pop(next(iter(self._keys))).verdicts)


def write_record(
    time: datetime,
    products: Mapping[str, Fields],
    *,
    idempotency_key: str,
    request_hash: str,
    verdicts: str,
) -> Mapping[str, str]:
    """Writes the texts of a record."""
    document = {
        "idempotency_key": idempotency_key,
        "products": {name: write_fields(fields) for name, fields in products.items()},
        "request_hash": request_hash,
        "verdicts": verdicts,
    }
    return {"time": time.isoformat(), "document": json.dumps(document, sort_keys=True)}


def add_record(texts: Mapping[str, str], stated: dict[str, Mapping[str, Stated]]) -> datetime:
    """Adds what a record says, and returns when it was accepted."""
    time = datetime.fromisoformat(texts["time"])
    for name, fields in json.loads(texts["document"])["products"].items():
        said = {key: Stated(read_value(key, value), time) for key, value in fields.items()}
        stated[name] = {**stated.get(name, {}), **said}
    return time


def write_fields(fields: Fields) -> dict[str, str | int]:
    """Writes the fields of a patch for JSON."""
    return {name: write_value(value) for name, value in fields.items()}


def write_value(value: Value) -> str | int:
    """Writes a value for JSON."""
    return value.isoformat() if isinstance(value, datetime) else value


def read_value(name: str, value: Any) -> Value:
    """Reads a value. Raises ValueError: it is none of the field's kind, or the field is none of a patch."""
    if name not in PATCHED_FIELDS:
        raise ValueError(f"{name!r:.80} is no field of a patch")
    kind = PRODUCT_FIELDS[name].kind
    match kind, value:
        case Kind.INTEGER, int() if type(value) is int:
            return value
        case Kind.TEXT, str():
            return value
        case Kind.INSTANT, str():
            return datetime.fromisoformat(value)
    raise ValueError(f"{name} is {value!r:.80}; expected {kind.value}")
