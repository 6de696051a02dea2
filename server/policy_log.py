"""The policy log: every accepted change of policy and overlay, in order, on disk before it takes effect."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from server.chained_log import ChainedLog, LogKind
from server.errors import PolicyLogError, PolicyStateError

FILE_NAME: Final = "policy-log.jsonl"
_KIND: Final = LogKind(
    name="the policy log",
    setting="policy_state",
    file_name=FILE_NAME,
    keys=frozenset({"time", "kind", "document", "signatures"}),
    write_error=PolicyLogError,
    state_error=PolicyStateError,
)


class ChangeKind(StrEnum):
    """What a record changes."""

    OVERLAY = "overlay"
    ACTIVATE = "activate"


@dataclass(frozen=True, slots=True)
class Record:
    """One accepted change.

    Attributes:
        sequence: 1 for the first record, then one more each.
        time: when it was accepted, by the system clock, RFC 3339.
        kind: what it changes.
        document: canonical text of the overlay or policy.
        signatures: canonical text of the signatures on it.
    """

    sequence: int
    time: str
    kind: ChangeKind
    document: str
    signatures: str


class PolicyLog:
    """The log of one folder, held by one server at a time."""

    def __init__(self, folder: Path) -> None:
        """Opens the log, makes it where there is none, and reads it.

        Raises:
            PolicyStateError: it cannot be read or locked, or a line is wrong; the message names it.
        """
        self._log = ChainedLog(folder, _KIND)
        self.records: tuple[Record, ...] = ()
        try:
            for number, texts in enumerate(self._log.take_records(), start=1):
                kind = ChangeKind(texts["kind"])
                record = Record(number, texts["time"], kind, texts["document"], texts["signatures"])
                self.records = (*self.records, record)
        except ValueError as error:
            self.close()
            raise PolicyStateError(f"policy_state: {folder / FILE_NAME}: line {number}: {error}") from error

    def append(self, time: datetime, kind: ChangeKind, document: bytes, signatures: bytes) -> None:
        """Writes a change and waits until it is on disk.

        Raises:
            PolicyLogError: it could not be written; the change must not take effect.
        """
        texts = {
            "time": time.isoformat(),
            "kind": kind.value,
            "document": document.decode("utf-8"),
            "signatures": signatures.decode("utf-8"),
        }
        self._log.append(texts)
        record = Record(self._log.count, texts["time"], kind, texts["document"], texts["signatures"])
        self.records = (*self.records, record)

    def close(self) -> None:
        """Closes the file, which frees it for another server."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
