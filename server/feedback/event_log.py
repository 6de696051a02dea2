"""The feedback log: one thread makes durable, with one write and one fsync, whatever arrived meanwhile.

A group of events is screened by the store, written to the log, applied to the store, and then acknowledged.
So the log holds no event twice and none of an unknown user, and what the store lacks after a crash is applied
when the log is opened. Answers travel with the groups; nobody waits for them.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from server.batch_queue import Call
from server.errors import DeadlineError, FeedbackLogError, FeedbackStateError, NotReadyError, OverloadError
from server.events import EventVerdict, FeedbackEvent
from server.feedback.blocks import BlockKind
from server.feedback.compaction import Compactor
from server.feedback.disk import Disk, hold_lock
from server.feedback.erasure import erase_users, finish_erasure, plan_erasure
from server.feedback.lines import LoggedAnswer, write_answers, write_events
from server.feedback.metrics import FeedbackMetrics
from server.feedback.replay import replay, to_user_event
from server.feedback.segments import SEGMENT_BYTES_MAX, SegmentWriter
from server.users.pseudonyms import Names
from server.users.store import EventOutcome, UserEvent, UserStore

WAITING_EVENT_COUNT_MAX: Final = 20_000
WAITING_ANSWER_COUNT_MAX: Final = 2_000
GROUP_EVENT_COUNT_MAX: Final = 2_000
"""A group takes whole submissions until it holds so many events."""
GROUP_ANSWER_COUNT_MAX: Final = 200
CLOSE_S_MAX: Final = 30.0
PURGE_COUNT_MAX: Final = 4
"""Purges at once. They take turns at the files, for seconds each, and hold threads that lists wait for."""
ERASED_S: Final = 3600.0
"""How long answers of an erased user are looked for: far longer than one is under way."""

_VERDICTS: Final = {
    EventOutcome.APPLIED: EventVerdict.ACCEPTED,
    EventOutcome.DUPLICATE: EventVerdict.DUPLICATE,
    EventOutcome.USER_UNKNOWN: EventVerdict.USER_UNKNOWN,
    EventOutcome.USER_ERASED: EventVerdict.USER_ERASED,
    # Nobody can say what is stored of this user; the event is in the log.
    EventOutcome.USER_UNREADABLE: EventVerdict.USER_UNKNOWN,
}
_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class Reported:
    """An event, and every name that its user may be stored under; the log writes the one that is."""

    event: FeedbackEvent
    names: Names


@dataclass(slots=True)
class _Submission:
    """Events that are answered together."""

    events: Sequence[Reported]
    future: "Future[list[EventVerdict]]" = field(default_factory=Future)


@dataclass(slots=True)
class _Group:
    """What one write makes durable."""

    submissions: list[_Submission]
    answers: list[Callable[[], LoggedAnswer]]
    errands: list["Future[int]"]  # Each wants the segment closed, and its number.


@dataclass(frozen=True, slots=True)
class _Screened:
    """A group's events that are to be kept, and for each submission where its verdicts are."""

    kept: list[FeedbackEvent]
    verdicts: list[list[EventVerdict]]
    places: list[tuple[int, int]]  # Submission and place in it, of each kept event.


class EventLog:
    """Takes events and answers from any thread. One process holds a folder at a time."""

    def __init__(
        self,
        folder: Path,
        store: UserStore,
        registry: CollectorRegistry,
        *,
        segment_bytes_max: int = SEGMENT_BYTES_MAX,
        disk: Disk | None = None,
    ) -> None:
        """Opens the log, applies to the store what it lacks, and starts the threads.

        Args:
            folder: the log's own; made where it is not there.
            store: where events are applied.
            registry: where the metrics are registered.
            segment_bytes_max: size beyond which a segment is closed.
            disk: the calls that write.

        Raises:
            FeedbackStateError: the folder is held by another process, the log is corrupt, or the store has
                applied more than the log holds.
        """
        self._folder = folder
        self._store = store
        self._metrics = FeedbackMetrics(registry)
        self._submissions: deque[_Submission] = deque()
        self._answers: deque[Callable[[], LoggedAnswer]] = deque()
        self._errands: deque[Future[int]] = deque()
        self._waiting_count = 0
        self._unapplied: tuple[int, list[UserEvent]] | None = None
        self._purges = threading.BoundedSemaphore(PURGE_COUNT_MAX)
        self._erased: dict[str, float] = {}  # When, by the monotonic clock.
        self._changed = threading.Condition()
        self._open = True
        self._failing = False
        with contextlib.ExitStack() as held:
            _make_folder(folder)
            held.enter_context(hold_lock(folder / "lock", wait=False))
            self._segments = SegmentWriter(folder, segment_bytes_max=segment_bytes_max, disk=disk)
            held.callback(self._segments.close)
            finish_erasure(folder, self._segments)
            replay(folder, self._segments, store)
            self._compactor = Compactor(folder)
            held.callback(self._compactor.close)
            self._compactor.notice(self._segments.number)
            self._thread = threading.Thread(target=self._loop, name="feedback", daemon=True)
            self._thread.start()
            self._held = held.pop_all()

    def record(self, events: Sequence[Reported], call: Call) -> list[EventVerdict]:
        """Records events; what is ACCEPTED is durable in the log and applied to the store on return.

        Args:
            events: those of one caller, as many as a request may hold.
            call: how long the caller waits. Once it is over, the events may have been recorded or not.

        Raises:
            OverloadError: too many events wait.
            FeedbackLogError: the log cannot be written; no event was recorded.
            StoreReadError, StoreWriteError: the store failed; the events may be recorded or not.
            DeadlineError: the caller's deadline passed.
        """
        submission = _Submission(events)
        with self._changed:
            if not self._open:
                raise NotReadyError("the server is draining")
            if self._waiting_count + len(events) > WAITING_EVENT_COUNT_MAX:
                raise OverloadError(f"{self._waiting_count} events wait already; retry later")
            self._waiting_count += len(events)
            self._submissions.append(submission)
            self._changed.notify()
        try:
            return submission.future.result(timeout=max(0.0, call.remaining_s()))
        except TimeoutError as error:
            submission.future.cancel()
            raise DeadlineError("the deadline passed before the events were durable") from error

    def offer(self, make: Callable[[], LoggedAnswer]) -> None:
        """Takes an answer, which is made on the log's thread; never waits: where too many wait it is lost."""
        with self._changed:
            if self._open and len(self._answers) < WAITING_ANSWER_COUNT_MAX:
                self._answers.append(make)
                self._changed.notify()
                return
        self._metrics.answers.labels("queue_full").inc()

    def purge(self, users: frozenset[str]) -> None:
        """Removes all events and answers of users who are erased in the store; returns once that is durable.

        What a crash interrupts is finished when the log is opened again. Doing it twice is as good as once.

        Args:
            users: every pseudonym of the users, hexadecimal.

        Raises:
            FeedbackLogError: a file cannot be written; the erasure may be asked for again.
            OverloadError: too many purges wait; it is to be asked for again.
        """
        if not self._purges.acquire(blocking=False):
            raise OverloadError("other users are being erased; retry later")
        try:
            self._purge(users)
        finally:
            self._purges.release()

    def close(self) -> None:
        """Makes durable what waits, ends the threads and frees the folder.

        A disk that holds the thread for longer than CLOSE_S_MAX keeps its files: another log's file might
        get the number of a descriptor that was closed under a write. The end of the process frees them.
        """
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(timeout=CLOSE_S_MAX)
        if self._thread.is_alive():
            _log.error("feedback_not_closed", waiting_s=CLOSE_S_MAX)
            return
        self._held.close()

    def _purge(self, users: frozenset[str]) -> None:
        plan = plan_erasure(self._folder, users)
        with self._changed:
            if not self._open:
                raise NotReadyError("the server is draining")
            now_s = time.monotonic()
            lately = {user: at_s for user, at_s in self._erased.items() if now_s - at_s < ERASED_S}
            self._erased = lately | dict.fromkeys(users, now_s)
            errand: Future[int] = Future()
            self._errands.append(errand)
            self._changed.notify()
        try:
            number = errand.result(timeout=CLOSE_S_MAX)
        except (TimeoutError, OSError) as error:
            raise FeedbackLogError("the feedback log cannot close a segment; retry later") from error
        erase_users(self._folder, plan, before=number)

    def _loop(self) -> None:
        while (group := self._take()) is not None:
            try:
                self._commit(group)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a group does.
                self._fail(group.submissions, error)
            for errand in group.errands:
                self._close_segment(errand)

    def _take(self) -> _Group | None:
        """Waits for something to do; None once the log is closed and nothing is left."""
        with self._changed:
            while self._open and not (self._submissions or self._answers or self._errands):
                self._changed.wait()
            submissions: list[_Submission] = []
            count = 0
            while self._submissions and count < GROUP_EVENT_COUNT_MAX:
                submission = self._submissions.popleft()
                count += len(submission.events)
                if submission.future.set_running_or_notify_cancel():
                    submissions.append(submission)
            self._waiting_count -= count
            answer_count = min(len(self._answers), GROUP_ANSWER_COUNT_MAX)
            answers = [self._answers.popleft() for _ in range(answer_count)]
            errands = list(self._errands)
            self._errands.clear()
            if not (count or answers or errands or self._open):
                return None
        return _Group(submissions, answers, errands)

    def _commit(self, group: _Group) -> None:
        submissions = group.submissions
        screened = _Screened([], [], [])
        try:
            self._apply()
            screened = self._screen(submissions)
        except Exception as error:  # noqa: BLE001 - the answers of the group are written all the same.
            self._fail(submissions, error)
            submissions = []
        answers = self._make_answers(group.answers)
        payloads = [(BlockKind.ANSWERS, write_answers(answers))] if answers else []
        if screened.kept:
            payloads.append((BlockKind.EVENTS, write_events(screened.kept)))
        with self._metrics.commit_seconds.time():
            if payloads:
                position = self._append(payloads, len(answers))
            if screened.kept:
                self._unapplied = (position, [to_user_event(event) for event in screened.kept])
                outcomes = self._apply()
                for (row, place), outcome in zip(screened.places, outcomes, strict=True):
                    screened.verdicts[row][place] = _VERDICTS[outcome]
        if submissions:
            self._failing = False
        for submission, verdicts in zip(submissions, screened.verdicts, strict=True):
            self._metrics.count(verdicts)
            submission.future.set_result(verdicts)

    def _screen(self, submissions: Sequence[_Submission]) -> _Screened:
        """Asks the store what is new, and drops what is repeated within the group."""
        batch = [
            UserEvent(
                event_id=reported.event.event_id,
                names=reported.names,
                product_id=reported.event.product_id,
                event_type=reported.event.event_type,
                event_time_s=reported.event.event_time_us / 1e6,
            )
            for submission in submissions
            for reported in submission.events
        ]
        found = iter(self._store.screen_events(batch) if batch else ())
        screened = _Screened([], [], [])
        seen: set[str] = set()
        for row, submission in enumerate(submissions):
            verdicts = []
            for place, reported in enumerate(submission.events):
                screen = next(found)
                verdict = _VERDICTS[screen.outcome]
                if verdict is EventVerdict.ACCEPTED and reported.event.event_id in seen:
                    verdict = EventVerdict.DUPLICATE
                if verdict is EventVerdict.ACCEPTED:
                    assert screen.name is not None, "a user who is stored has a name"
                    seen.add(reported.event.event_id)
                    screened.kept.append(replace(reported.event, user=screen.name.hex()))
                    screened.places.append((row, place))
                verdicts.append(verdict)
            screened.verdicts.append(verdicts)
        return screened

    def _apply(self) -> list[EventOutcome]:
        """Applies what the log holds and the store lacks; it stays until the store has taken it."""
        if self._unapplied is None:
            return []
        position, events = self._unapplied
        outcomes = self._store.append_events(events, log_id=self._segments.log_id, log_position=position)
        self._unapplied = None
        return outcomes

    def _append(self, payloads: Sequence[tuple[BlockKind, bytes]], answer_count: int) -> int:
        try:
            position = self._segments.append(payloads)
        except FeedbackLogError:
            self._metrics.answers.labels("failed").inc(answer_count)
            raise
        self._metrics.answers.labels("logged").inc(answer_count)
        self._compactor.notice(self._segments.number)
        return position

    def _make_answers(self, makers: Sequence[Callable[[], LoggedAnswer]]) -> list[LoggedAnswer]:
        answers = []
        for make in makers:
            try:
                answer = make()
            except Exception as error:  # noqa: BLE001 - an answer that cannot be written harms no event.
                _log.error("answer_not_logged", error=type(error).__name__)
                self._metrics.answers.labels("failed").inc()
                continue
            if answer.user not in self._erased:
                answers.append(answer)
        return answers

    def _fail(self, submissions: Sequence[_Submission], error: Exception) -> None:
        if not self._failing:
            # Said once, until something is recorded again. The error's text might hold an event's values.
            _log.error("feedback_not_recorded", error=type(error).__name__)
        self._failing = True
        for submission in submissions:
            if not submission.future.done():
                submission.future.set_exception(error)

    def _close_segment(self, errand: "Future[int]") -> None:
        try:
            self._segments.rotate()
            self._compactor.notice(self._segments.number)
            errand.set_result(self._segments.number)
        except Exception as error:  # noqa: BLE001 - who asked for it is told.
            errand.set_exception(error)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FeedbackStateError(f"feedback_log: {folder} cannot be made: {error.strerror}") from error
