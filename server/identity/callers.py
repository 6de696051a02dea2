"""The callers' file: who is known by which name in a certificate, with which roles, channel and quota.

The file is read again when it changes, so that a caller is let in or shut out without a restart. A change
that cannot be read leaves the callers as they were, and is logged.
"""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from index.unique_keys import require_unique
from server.errors import CallersFileError, CallerUnknownError
from server.file_state import identify
from server.identity.roles import Role
from server.overload.priority import Priority

FILE_BYTES_MAX: Final = 1 << 20
LOOK_INTERVAL_S: Final = 1.0
"""How long a change of the file may go unseen."""

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        name: as the certificate says it; empty where the server asks for none.
        roles: what the caller may do.
        channel: sales channel that suitability sees on this caller's requests; None for the server's own.
        calls_per_s: calls that may be made each second in the long run; None for no limit.
        burst: calls that may come at once.
        priority: class of this caller's calls; a method may lower it.
    """

    name: str
    roles: frozenset[Role]
    channel: str | None = None
    calls_per_s: float | None = None
    burst: int = 1
    priority: Priority = Priority.NORMAL


ANYBODY: Final = Caller("", frozenset(Role), priority=Priority.HIGH)
"""Who calls where the port asks for no certificate: whoever the network lets through, all alike."""


class _Entry(BaseModel):
    """One caller as the file writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=512)]
    roles: Annotated[frozenset[Role], Field(min_length=1)]
    channel: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    calls_per_s: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    priority: Literal["high", "normal", "low"] = "normal"

    @model_validator(mode="after")
    def _check_burst(self) -> "_Entry":
        if self.burst is not None and self.calls_per_s is None:
            raise ValueError("burst is given without calls_per_s")
        return self

    def to_caller(self) -> Caller:
        """Returns the caller; without a burst of its own, what a second allows may come at once."""
        burst = self.burst or max(1, int(self.calls_per_s or 1))
        priority = Priority[self.priority.upper()]
        return Caller(self.name, self.roles, self.channel, self.calls_per_s, burst, priority)


class _File(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Named so in the file; pydantic's own classes have a `schema` already.
    version: Annotated[Literal["prudence-callers/1"], Field(alias="schema")]
    callers: tuple[_Entry, ...]

    @model_validator(mode="after")
    def _check_names(self) -> "_File":
        names = [entry.name for entry in self.callers]
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"callers: {repeated!r} is there twice")
        return self


def read_callers(path: Path) -> Mapping[str, Caller]:
    """Reads the file.

    Returns:
        The callers by name.

    Raises:
        CallersFileError: it cannot be read, or is not what it should be; the message names the field.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise CallersFileError(f"callers {path}: expected at most {FILE_BYTES_MAX} bytes, got more")
        found = _File.model_validate(json.loads(data, object_pairs_hook=require_unique))
    except OSError as error:
        raise CallersFileError(f"callers {path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "file"
        raise CallersFileError(f"callers {path}: {field}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise CallersFileError(f"callers {path}: expected JSON, {error}") from error
    return {entry.name: entry.to_caller() for entry in found.callers}


class Callers:
    """Finds callers by the names in their certificates, in the file as it is now."""

    def __init__(self, path: Path) -> None:
        """Reads the file.

        Raises:
            CallersFileError: as `read_callers`.
        """
        self._path = path
        self._lock = threading.Lock()
        self._state = self._refused = identify(path)
        self._known = read_callers(path)
        self._look_s = time.monotonic() + LOOK_INTERVAL_S

    def find(self, names: Iterable[str]) -> Caller:
        """Returns the one caller that has one of the names.

        Raises:
            CallerUnknownError: nobody has, or several have.
        """
        self._look()
        found = {caller.name: caller for name in names if (caller := self._known.get(name)) is not None}
        if not found:
            raise CallerUnknownError("the certificate's names belong to no known caller")
        if len(found) > 1:
            raise CallerUnknownError("the certificate's names belong to several callers")
        return next(iter(found.values()))

    def _look(self) -> None:
        """Reads the file again if it has changed; one thread at a time, and nobody waits for it."""
        if time.monotonic() < self._look_s or not self._lock.acquire(blocking=False):
            return
        try:
            self._look_s = time.monotonic() + LOOK_INTERVAL_S
            state = identify(self._path)
            if state == self._state:
                return
            self._known = read_callers(self._path)
            self._state = state
            _log.info("callers read", caller_count=len(self._known))
        except CallersFileError as error:
            # It is tried again, since the disk may have refused it for a moment, and said once.
            if state != self._refused:
                _log.error("callers unchanged", problem=str(error))
            self._refused = state
        finally:
            self._lock.release()
