"""The access log: one JSON line for every call, of who called what and how it ended.

It holds no user id and nothing of a request. A thread of its own writes what has come every INTERVAL_S, in
one piece: waking it for each call cost more than the line. If LINE_COUNT_MAX lines wait, calls wait, too: one
that nobody can account for is worse than a slow one. The file may be moved away at any time (logrotate); the
next lines open a new one. Lines that the disk refuses are lost, and the server's own log says so; a server
that is killed loses those of its last INTERVAL_S.
"""

import os
import threading
import time
from collections import deque
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quote
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from server.errors import AccessLogError

LINE_COUNT_MAX: Final = 10_000
INTERVAL_S: Final = 0.2

_log = structlog.get_logger("server")


class Access(NamedTuple):
    """One call: when it came, who made it, the method, its id, gRPC code, reason, and how long it took."""

    came: datetime
    caller: str
    peer: str
    method: str
    request_id: str
    code: str
    reason: str
    elapsed_s: float

    def write(self) -> str:
        """Returns the line, its end included."""
        # A third of what json.dumps takes for the same text.
        return (
            f'{{"time":"{self.came.astimezone(UTC).isoformat()}","caller":{quote(self.caller)},'
            f'"peer":{quote(self.peer)},"method":{quote(self.method)},"request_id":{quote(self.request_id)},'
            f'"code":"{self.code}","reason":"{self.reason}","elapsed_us":{round(self.elapsed_s * 1e6)}}}\n'
        )


class AccessLog:
    """Appends lines to the file."""

    def __init__(self, path: Path) -> None:
        """Opens the file and starts the thread that writes.

        Raises:
            AccessLogError: the file cannot be opened.
        """
        self._path = path
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise AccessLogError(f"access_log {path}: cannot be opened: {error.strerror}") from error
        self._waiting: deque[Access] = deque()
        self._writing = threading.Lock()
        self._failed = False
        self._torn = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="access-log", daemon=True)
        self._thread.start()

    def write(self, access: Access) -> None:
        """Has one line written; waits while too many do."""
        while len(self._waiting) >= LINE_COUNT_MAX and not self._closed.is_set():
            time.sleep(INTERVAL_S)
        self._waiting.append(access)

    def flush(self) -> None:
        """Returns once everything given so far is in the file."""
        with self._writing:
            taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if not taken:
                return
            failed_before, self._failed = self._failed, False
            try:
                self._write("".join(access.write() for access in taken).encode("ascii"))
            except OSError as error:
                self._failed = True
                if not failed_before:
                    # Said once, until a line is written again.
                    _log.error("access_log_not_written", file=str(self._path), problem=error.strerror)

    def close(self) -> None:
        """Writes what waits and closes the file."""
        self._closed.set()
        self._thread.join()
        self.flush()
        os.close(self._descriptor)

    def _loop(self) -> None:
        while not self._closed.wait(INTERVAL_S):
            self.flush()

    def _write(self, data: bytes) -> None:
        if not self._is_in_place():
            descriptor = _open(self._path)
            os.close(self._descriptor)
            self._descriptor, self._torn = descriptor, False
        # What the disk took of a line before it was full is ended, so that it spoils no other line.
        left = memoryview(b"\n" + data if self._torn else data)
        while left:
            written = os.write(self._descriptor, left)
            self._torn = left[written - 1] != ord("\n")
            left = left[written:]

    def _is_in_place(self) -> bool:
        """Tells whether the file is still the one at its path."""
        held = os.fstat(self._descriptor)
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)


def _open(path: Path) -> int:
    # Without O_NONBLOCK a pipe that nobody reads would keep a start waiting for good.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o644)
    os.set_blocking(descriptor, True)
    return descriptor
