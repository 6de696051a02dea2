"""What patches say of products: kept on disk before it takes effect, and given back after a restart.

The log is compacted when it has grown to several times what it comes to: a snapshot begins it anew, and the
old file stays beside it as proof.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from index.bundle import Bundle
from index.products import STATED_TIME
from server.catalogue.kept import Accepted, Kept, Stated, add_record, write_fields, write_record
from server.catalogue.patches import Fields
from server.chained_log import ChainedLog, LogKind
from server.errors import CatalogueLogError, CatalogueStateError
from server.followed_log import Appender, FollowedLog
from suitability.records import utc_instant

FILE_NAME: Final = "catalogue-log.jsonl"
COMPACT_BYTES_MIN: Final = 4 << 20
"""A smaller log is not compacted."""
COMPACT_GROWTH: Final = 4
"""Nor one below so many times what it began with, so that compacting costs a share of writing."""

LOG_KIND: Final = LogKind(
    name="the catalogue log",
    setting="catalogue_state",
    file_name=FILE_NAME,
    keys=frozenset({"time", "document"}),
    write_error=CatalogueLogError,
    state_error=CatalogueStateError,
    compacts=True,
)
NO_PATCH: Final = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading raises where a record is no patch."""

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class Patches:
    """All that patches say.

    Attributes:
        stated: by product and field; never changed.
        sequence: how many changes were accepted.
        time: when the last one was.
    """

    stated: dict[str, Mapping[str, Stated]]
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
    """The patches of one folder. One caller at a time changes it; reading needs no lock.

    Attributes:
        chain: its log: this process's own, or one that all processes of the server read.
        patches: all that they say.
    """

    def __init__(self, folder: Path, appender: Appender | None = None) -> None:
        """Reads back every patch that was accepted.

        Args:
            folder: where the log lies.
            appender: writes it for all processes of this server; None where this process does.

        Raises:
            CatalogueStateError: the log cannot be read or locked, or a line is wrong; the message names it.
        """
        self.chain: ChainedLog | FollowedLog
        self.chain = (
            ChainedLog(folder, LOG_KIND) if appender is None else FollowedLog(folder, LOG_KIND, appender)
        )
        records, snapshot, number, kept = self.chain.take_records(), self.chain.snapshot, 1, Kept()
        try:
            if snapshot is not None:
                kept, number = Kept.read(snapshot, self.chain.count - len(records)), 2
            for texts in records:
                kept.follow(texts)
                number += 1
        except NO_PATCH as error:
            self.close()
            raise CatalogueStateError(
                f"catalogue_state: {folder / FILE_NAME}: line {number} is no patch: {error!r}"
            ) from error
        self._kept = kept
        self.patches = Patches(kept.stated, kept.sequence, kept.time)
        self._began_size = 0 if snapshot is None else len(snapshot)
        self._compact_if_grown()

    def find_accepted(self, idempotency_key: str) -> Accepted | None:
        """Returns the change that was accepted under a key, None where none was or the key is empty."""
        return self._kept.find(idempotency_key)

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
        texts = write_record(
            # Time never runs back here, so that a later patch is never taken for an older one.
            max(now, self._kept.time),
            products,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            verdicts=verdicts,
        )
        stated = dict(self._kept.stated)
        return Proposal(Patches(stated, self._kept.sequence + 1, add_record(texts, stated)), texts)

    def accept(self, proposal: Proposal) -> Accepted:
        """Keeps a change; once this returns it is on disk.

        Raises:
            CatalogueLogError: it could not be written; it must not take effect.
        """
        self.chain.append(proposal.texts)
        self.patches = proposal.patches
        self._kept.stated, self._kept.time = proposal.patches.stated, proposal.patches.time
        accepted = self._kept.count(proposal.texts)
        self._compact_if_grown()
        return accepted

    def follow(self, sequence: int) -> list[str]:
        """Takes in what other processes of this server wrote, up to a sequence; returns the products.

        Raises:
            StartError: the log does not go on as it should.
        """
        assert isinstance(self.chain, FollowedLog), "nobody else writes the log of a single process"
        before = self.patches.stated
        # What requests hold is never changed.
        self._kept.stated = dict(before)
        try:
            for texts in self.chain.follow(sequence):
                self._kept.follow(texts)
        except NO_PATCH as error:
            raise CatalogueStateError(f"catalogue_state: {FILE_NAME}: no patch: {error!r}") from error
        self.patches = Patches(self._kept.stated, self._kept.sequence, self._kept.time)
        return [name for name, stated in self.patches.stated.items() if before.get(name) is not stated]

    def compact(self) -> None:
        """Begins the log anew with what it comes to.

        Raises:
            CatalogueLogError: it could not be done; the log goes on as it was.
        """
        assert isinstance(self.chain, ChainedLog), "what several processes read is compacted at the start"
        self._began_size = self.chain.compact(self._kept.write())

    def close(self) -> None:
        """Closes the log, which frees it for another server."""
        self.chain.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _compact_if_grown(self) -> None:
        if isinstance(self.chain, FollowedLog) or self.chain.size < max(
            COMPACT_BYTES_MIN, COMPACT_GROWTH * self._began_size
        ):
            return
        size_before = self.chain.size
        try:
            self.compact()
        except CatalogueLogError as error:
            # What was accepted is on disk all the same. It is tried again once the log has doubled.
            self._began_size = 2 * self.chain.size // COMPACT_GROWTH
            _log.error("catalogue_not_compacted", problem=str(error))
            return
        _log.info("catalogue compacted", bytes_before=size_before, bytes=self._began_size)


def hash_request(products: Mapping[str, Fields], expected_sequence: int | None) -> str:
    """Returns one text for equal requests and another for any other."""
    body = [expected_sequence, {name: write_fields(fields) for name, fields in products.items()}]
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _find_stated_time(bundle: Bundle, row: int) -> datetime | None:
    """Returns as of when a row was stated; nobody knew anything after the bundle was built."""
    stated = utc_instant(bundle.products.rows.read(row, STATED_TIME))
    return None if stated is None else min(stated, bundle.manifest.created)
