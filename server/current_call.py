"""What a thread knows of the call that it answers: an id for logs and callers, and the bundle that answers.

An id comes from the caller's metadata, so that a request can be followed through several programs, or is
made. It must name no person: what is not made of letters, digits and hyphens is not taken.
"""

import re
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from server.messages import StageTime

REQUEST_ID_KEY: Final = "x-request-id"
BUNDLE_KEY: Final = "x-bundle-version"
_WELL_FORMED: Final = re.compile(r"[0-9A-Za-z-]{8,64}")
_thread: Final = threading.local()


@dataclass(slots=True)
class CurrentCall:
    """One call.

    Attributes:
        request_id: of the call; empty outside one.
        bundle_version: the bundle that answers; empty until one is chosen.
        stages: what its list took, stage by stage; of the last list where there were several.
    """

    request_id: str = ""
    bundle_version: str = ""
    stages: tuple[StageTime, ...] = ()

    def to_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns what the caller is told beside the answer."""
        if not self.bundle_version:
            return ((REQUEST_ID_KEY, self.request_id),)
        return (REQUEST_ID_KEY, self.request_id), (BUNDLE_KEY, self.bundle_version)


_NO_CALL: Final = CurrentCall()


def begin_call(metadata: Iterable[tuple[str, str | bytes]]) -> CurrentCall:
    """Makes a call the one of this thread.

    Args:
        metadata: what the caller sent beside the request.
    """
    call = _thread.call = CurrentCall(_find_id(metadata) or secrets.token_hex(8))
    return call


def end_call() -> None:
    """Leaves this thread without a call."""
    _thread.call = _NO_CALL


def current_call() -> CurrentCall:
    """Returns the call of this thread; an empty one where there is none."""
    found: CurrentCall = getattr(_thread, "call", _NO_CALL)
    return found


def note_bundle(version: str) -> None:
    """Notes which bundle answers this thread's call."""
    call = current_call()
    if call is not _NO_CALL:
        call.bundle_version = version


def note_stages(stages: tuple[StageTime, ...]) -> None:
    """Notes how long each stage of this thread's call took."""
    call = current_call()
    if call is not _NO_CALL:
        call.stages = stages


def add_call(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Adds the thread's call to a line of the log; a processor of structlog's."""
    del logger, method
    call = current_call()
    if call.request_id:
        # A line about a change names the request by the id in its message, which stays.
        event.setdefault("request_id", call.request_id)
    if call.bundle_version:
        event.setdefault("bundle_version", call.bundle_version)
    return event


def _find_id(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _WELL_FORMED.fullmatch(value):
            return value
    return ""
