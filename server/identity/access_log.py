"""The access log: one JSON line for every call, of who called what and how it ended.

It holds no user id and nothing of a request. A thread of its own writes the lines; if LINE_COUNT_MAX of them
wait, calls wait, too: one that nobody can account for is worse than a slow one. The file may be moved away at
any time (logrotate); the next line opens a new one. A line that the disk refuses is lost, and the server's
own log says so.
"""

import json
import logging
import logging.handlers
import queue
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from server.errors import AccessLogError

LINE_COUNT_MAX: Final = 10_000

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class Access:
    """One call: when it came, who made it, the method, its id, gRPC code, reason, and how long it took."""

    came: datetime
    caller: str
    peer: str
    method: str
    request_id: str
    code: str
    reason: str
    elapsed_s: float


class _Target(logging.handlers.WatchedFileHandler):
    """The file. What it raised would end the thread that writes, and calls would wait for good."""

    _failed = False

    def emit(self, record: logging.LogRecord) -> None:
        failed_before, self._failed = self._failed, False
        try:
            super().emit(record)
        except OSError:
            self._failed = True
        if self._failed and not failed_before:
            # Said once, until a line is written again.
            _log.error("access_log_not_written", file=self.baseFilename)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the library's name.
        self._failed = True


class AccessLog:
    """Appends lines to the file."""

    def __init__(self, path: Path) -> None:
        """Opens the file and starts the thread that writes.

        Raises:
            AccessLogError: the file cannot be opened.
        """
        try:
            target = _Target(path, encoding="utf-8")
        except OSError as error:
            raise AccessLogError(f"access_log {path}: cannot be opened: {error.strerror}") from error
        target.setFormatter(logging.Formatter("%(message)s"))
        self._waiting: queue.Queue[logging.LogRecord] = queue.Queue(LINE_COUNT_MAX)
        self._writer = logging.handlers.QueueListener(self._waiting, target)
        self._target = target
        self._writer.start()

    def write(self, access: Access) -> None:
        """Has one line written; waits while too many do."""
        line = json.dumps(
            {
                "time": access.came.astimezone(UTC).isoformat(),
                "caller": access.caller,
                "peer": access.peer,
                "method": access.method,
                "request_id": access.request_id,
                "code": access.code,
                "reason": access.reason,
                "elapsed_us": round(access.elapsed_s * 1e6),
            },
            separators=(",", ":"),
        )
        self._waiting.put(logging.makeLogRecord({"msg": line}))

    def flush(self) -> None:
        """Returns once everything given so far is in the file."""
        self._waiting.join()

    def close(self) -> None:
        """Writes what waits and closes the file."""
        self._writer.stop()
        self._target.close()
