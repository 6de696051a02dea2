"""Writes events to a feedback log until it is killed: `python -m benchmarks.feedback.writer LOG STORE`.

Every id whose event was acknowledged goes to standard output, one on each line, right after that.
"""

import itertools
import os
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from server.batch_queue import Call
from server.events import EventVerdict, FeedbackEvent
from server.feedback.event_log import EventLog, Reported
from server.users.opening import StoreAddress, open_directory

THREAD_COUNT: Final = 4
BATCH_COUNT: Final = 10
USER_COUNT: Final = 1000
SEGMENT_BYTES_MAX: Final = 1 << 20
"""Small, so that kills meet segments that are closed and compacted."""
_EVENTS_PER_S: Final = 1000
"""Slow enough that no user has more events than a store keeps of one."""


def main(arguments: list[str]) -> int:
    """Writes for ever."""
    # Standard output is for acknowledgements alone.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    folder, store = Path(arguments[0]), arguments[1]
    directory = open_directory(StoreAddress(store), allow_assumed=True)
    users = [directory.pseudonyms.derive_all(f"u{number}") for number in range(USER_COUNT)]
    log = EventLog(
        folder, directory.require_store(), CollectorRegistry(), segment_bytes_max=SEGMENT_BYTES_MAX
    )
    os.write(1, b"open\n")
    numbers = itertools.count()

    def write() -> None:
        while True:
            batch = [_make_event(next(numbers), users) for _ in range(BATCH_COUNT)]
            verdicts = log.record(batch, Call(time.monotonic() + 60.0, lambda: True))
            assert set(verdicts) == {EventVerdict.ACCEPTED}, "every event is new"
            os.write(1, "".join(f"{reported.event.event_id}\n" for reported in batch).encode())
            time.sleep(BATCH_COUNT * THREAD_COUNT / _EVENTS_PER_S)

    threads = [threading.Thread(target=write) for _ in range(THREAD_COUNT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 0


def _make_event(number: int, users: list[tuple[bytes, ...]]) -> Reported:
    now_us = time.time_ns() // 1000
    event = FeedbackEvent(
        event_id=uuid.uuid4().hex,
        user="",
        product_id=f"p{number % 500}",
        event_type="click",
        # No two events of a user are at one time, so that the store holds as many as the log.
        event_time_us=now_us + number,
        received_time_us=now_us,
    )
    return Reported(event, users[number % len(users)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
