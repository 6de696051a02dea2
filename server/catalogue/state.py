"""What patches say of products: kept on disk before it takes effect, and given back after a restart."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from index.bundle import Bundle
from index.products import STATED_TIME
from server.catalogue.patches import PATCHED_FIELDS, Fields, Value
from server.chained_log import ChainedLog, LogKind
from server.errors import CatalogueLogError, CatalogueStateError
from suitability.records import PRODUCT_FIELDS, Kind, utc_instant

FILE_NAME: Final = "catalogue-log.jsonl"
KEY_COUNT_MAX: Final = 10_000
"""How many of the latest idempotency keys are remembered."""

_KIND: Final = LogKind(
    name="the catalogue log",
    setting="catalogue_state",
    file_name=FILE_NAME,
    keys=frozenset({"time", "document"}),
    write_error=CatalogueLogError,
    state_error=CatalogueStateError,
)


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


@dataclass(frozen=True, slots=True)
class Patches:
    """All that patches say.

    Attributes:
        stated: by product and field.
        sequence: how many changes were accepted.
        time: when the last one was.
    """

    stated: Mapping[str, Mapping[str, Stated]]
    sequence: int
    time: datetime

    def bind(
        self, bundle: Bundle, row_of: Mapping[str, int], product_ids: Iterable[str] | None = None
    ) -> dict[int, Fields]:
        """Returns what binds on a bundle, by row: all that is newer than what the bundle says of it.

        A row that does not say as of when it was stated is older than every patch.

        Args:
            bundle: the bundle; products that it does not have are left out.
            row_of: the row of each of its products.
            product_ids: these products only; None for all.
        """
        found: dict[int, Fields] = {}
        for name in self.stated if product_ids is None else product_ids:
            row = row_of.get(name)
            if row is None:
                continue
            since = _find_stated_time(bundle, row)
            fields = {
                field: said.value
                for field, said in self.stated.get(name, {}).items()
                if since is None or said.time >= since
            }
            if fields:
                found[row] = fields
        return found


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that was decided on and is not on disk yet: what patches say with it, and its record."""

    patches: Patches
    texts: Mapping[str, str]


class CatalogueState:
    """The patches of one folder. One caller at a time changes it; reading needs no lock."""

    def __init__(self, folder: Path) -> None:
        """Reads back every patch that was accepted.

        Raises:
            CatalogueStateError: the log cannot be read or locked, or a line is wrong; the message names it.
        """
        self._log = ChainedLog(folder, _KIND)
        self._keys: dict[str, Accepted] = {}
        stated: dict[str, Mapping[str, Stated]] = {}
        time, number = datetime.min.replace(tzinfo=UTC), 0
        try:
            for number, texts in enumerate(self._log.records, start=1):
                time = _follow(texts, stated)
                self._remember(number, texts)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.close()
            raise CatalogueStateError(
                f"catalogue_state: {folder / FILE_NAME}: line {number} is no patch: {error!r}"
            ) from error
        self.patches = Patches(stated, number, time)

    def find_accepted(self, idempotency_key: str) -> Accepted | None:
        """Returns the change that was accepted under a key, None where none was or the key is empty."""
        return self._keys.get(idempotency_key)

    def propose(
        self,
        now: datetime,
        products: Mapping[str, Fields],
        *,
        idempotency_key: str,
        request_hash: str,
        verdicts: str,
    ) -> Proposal:
        """Returns what patches would say with a change; nothing is kept yet.

        Args:
            now: the system clock's instant.
            products: by product, the fields that change.
            idempotency_key: the caller's; empty for none.
            request_hash: of what was asked.
            verdicts: what is answered, as JSON text.
        """
        document = {
            "idempotency_key": idempotency_key,
            "products": {name: _write_fields(fields) for name, fields in products.items()},
            "request_hash": request_hash,
            "verdicts": verdicts,
        }
        # Time never runs back here, so that a later patch is never taken for an older one.
        time = max(now, self.patches.time)
        texts = {"time": time.isoformat(), "document": json.dumps(document, sort_keys=True)}
        stated = dict(self.patches.stated)
        return Proposal(Patches(stated, self.patches.sequence + 1, _follow(texts, stated)), texts)

    def accept(self, proposal: Proposal) -> Accepted:
        """Keeps a change; once this returns it is on disk.

        Raises:
            CatalogueLogError: it could not be written; it must not take effect.
        """
        self._log.append(proposal.texts)
        self.patches = proposal.patches
        return self._remember(proposal.patches.sequence, proposal.texts)

    def close(self) -> None:
        """Closes the log, which frees it for another server."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _remember(self, sequence: int, texts: Mapping[str, str]) -> Accepted:
        document, time = json.loads(texts["document"]), datetime.fromisoformat(texts["time"])
        accepted = Accepted(sequence, time, document["request_hash"], document["verdicts"])
        if document["idempotency_key"]:
            self._keys[document["idempotency_key"]] = accepted
            if len(self._keys) > KEY_COUNT_MAX:
                del self._keys[next(iter(self._keys))]
        return accepted


def hash_request(products: Mapping[str, Fields], expected_sequence: int | None) -> str:
    """Returns one text for equal requests and another for any other."""
    body = [expected_sequence, {name: _write_fields(fields) for name, fields in products.items()}]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _follow(texts: Mapping[str, str], stated: dict[str, Mapping[str, Stated]]) -> datetime:
    """Adds what a record says, and returns when it was accepted."""
    time = datetime.fromisoformat(texts["time"])
    for name, fields in json.loads(texts["document"])["products"].items():
        said = {field: Stated(_read_value(field, value), time) for field, value in fields.items()}
        stated[name] = {**stated.get(name, {}), **said}
    return time


def _find_stated_time(bundle: Bundle, row: int) -> datetime | None:
    """Returns as of when a row was stated; nobody knew anything after the bundle was built."""
    stated = utc_instant(bundle.products.rows.read(row, STATED_TIME))
    return None if stated is None else min(stated, bundle.manifest.created)


def _write_fields(fields: Fields) -> dict[str, str | int]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()
    }


def _read_value(name: str, value: Any) -> Value:
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
