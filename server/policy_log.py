"""The policy log: every accepted change of policy and overlay, in order, on disk before it takes effect."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from uuid import uuid4

from server.chained_log import ChainedLog, LogKind
from server.errors import PolicyLogError, PolicyStateError
from server.followed_log import Appender, FollowedLog
from suitability.errors import DocumentError
from suitability.policy import Policy, load_policy

FILE_NAME: Final = "policy-log.jsonl"
_PROPOSAL: Final = "proposed-{}.json"
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
    """The log of one folder, held by one server at a time.

    Attributes:
        chain: its file: this process's own, or one that all processes of the server read.
        records: what was read at the start, and written since.
    """

    def __init__(self, folder: Path, appender: Appender | None = None) -> None:
        """Opens the log, makes it where there is none, and reads it.

        Args:
            folder: where its file lies.
            appender: writes it for all processes of this server; None where this process does.

        Raises:
            PolicyStateError: it cannot be read or locked, or a line is wrong; the message names it.
        """
        self._folder = folder
        self.chain: ChainedLog | FollowedLog
        self.chain = ChainedLog(folder, _KIND) if appender is None else FollowedLog(folder, _KIND, appender)
        self.records: tuple[Record, ...] = ()
        try:
            if appender is None:
                self._remove_proposals()
            self.records = tuple(_read_records(self.chain.take_records(), 1))
        except PolicyStateError:
            self.close()
            raise

    def _remove_proposals(self) -> None:
        for left in self._folder.glob(_PROPOSAL.format("*")):
            try:
                left.unlink()
            except OSError as error:
                raise PolicyStateError(
                    f"policy_state: {left.name} cannot be removed: {error.strerror}"
                ) from error

    @property
    def shared(self) -> bool:
        """Whether other processes of this server read and write it, too."""
        return isinstance(self.chain, FollowedLog)

    def append(self, time: datetime, kind: ChangeKind, document: bytes, signatures: bytes) -> None:
        """Writes a change and waits until it is on disk.

        Raises:
            PolicyLogError: it could not be written; the change must not take effect.
        """
        texts = _write_texts(time, kind, document, signatures)
        self.chain.append(texts)
        record = Record(self.chain.count, texts["time"], kind, texts["document"], texts["signatures"])
        self.records = (*self.records, record)

    def request(
        self, time: datetime, kind: ChangeKind, document: bytes, signatures: bytes, *, after: int
    ) -> None:
        """Has a change written that every process, this one too, brings into force before this returns.

        Args:
            time: when it was accepted.
            kind: what it changes.
            document: canonical bytes of the overlay or policy.
            signatures: canonical bytes of the signatures on it.
            after: the sequence of the last record that it was decided on by.

        Raises:
            ServingError: as `FollowedLog.append`.
        """
        self._shared_chain().request(_write_texts(time, kind, document, signatures), after)

    @contextmanager
    def prepared(self, policy: Policy) -> Iterator[None]:
        """Has every process compile a version and keep it, for the length of the block.

        Raises:
            PolicyLogError: it could not be handed to them.
            ServingError: as `FollowedLog.prepared`.
        """
        # Of each order its own: one that is repeated meanwhile must not take the first one's file away.
        chain, name = self._shared_chain(), uuid4().hex
        path = self._proposal_path(name)
        try:
            # A pipe that nobody reads would not take as much, and whoever writes to it would hang.
            try:
                path.write_bytes(policy.canonical)
            except OSError as error:
                raise PolicyLogError(f"{path.name} cannot be written: {error.strerror}") from error
            with chain.prepared({"name": name, "sha256": policy.sha256}):
                yield
        finally:
            # What is left behind goes with the next start.
            with suppress(OSError):
                path.unlink()

    def read_proposal(self, proposed: Mapping[str, str]) -> Policy:
        """Reads the version that is being prepared; its signatures are verified when it is followed.

        Args:
            proposed: `name` and `sha256`, as `prepared` hands them over.

        Raises:
            PolicyStateError: it is not there, or is another one.
        """
        path, sha256 = self._proposal_path(proposed["name"]), proposed["sha256"]
        try:
            policy = load_policy(path)
            if policy.sha256 != sha256:
                raise PolicyStateError(f"policy_state: {path.name}: expected the policy {sha256}")
        except DocumentError as error:
            raise PolicyStateError(f"policy_state: {path.name}: {error}") from error
        return policy

    def follow(self, sequence: int) -> tuple[Record, ...]:
        """Returns what other processes of this server wrote after what was read here, up to a sequence.

        Raises:
            StartError: the file does not go on as it should.
        """
        chain = self._shared_chain()
        first = chain.count + 1
        return tuple(_read_records(chain.follow(sequence), first))

    def close(self) -> None:
        """Closes the file, which frees it for another server."""
        self.chain.close()

    def _shared_chain(self) -> FollowedLog:
        assert isinstance(self.chain, FollowedLog), "nobody else reads or writes the log of a single process"
        return self.chain

    def _proposal_path(self, name: str) -> Path:
        return self._folder / _PROPOSAL.format(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_texts(time: datetime, kind: ChangeKind, document: bytes, signatures: bytes) -> Mapping[str, str]:
    return {
        "time": time.isoformat(),
        "kind": kind.value,
        "document": document.decode("utf-8"),
        "signatures": signatures.decode("utf-8"),
    }


def _read_records(found: Iterable[Mapping[str, str]], first: int) -> Iterator[Record]:
    for number, texts in enumerate(found, start=first):
        try:
            kind = ChangeKind(texts["kind"])
        except ValueError as error:
            raise PolicyStateError(f"policy_state: {FILE_NAME}: line {number}: {error}") from error
        yield Record(number, texts["time"], kind, texts["document"], texts["signatures"])
