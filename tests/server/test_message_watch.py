"""How far behind the network thread is, as messages tell it, and which calls are silent."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from server import message_watch
from server.message_watch import BEHIND_COUNT, BEHIND_S_MAX, SILENT_S, CallPool, MessageWatch


class Desk:
    """A watch on a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        monkeypatch.setattr(message_watch, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        self.busy = True
        self.watch, self.pool = MessageWatch(lambda: self.busy), CallPool(1, "desk")
        self.silent_count = 0

    def receive(self, wait_s: float) -> None:
        """Takes a message that comes after so long, and counts the silent calls just before."""

        def come() -> Iterator[Any]:
            self.now_s += wait_s
            self.silent_count = self.watch.count_silent(self.pool)
            yield "message"

        self.watch.receive(come(), cast(grpc.ServicerContext, object()), self.pool)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    made = Desk(monkeypatch)
    yield made
    made.watch.close()
    made.pool.shutdown()


def test_messages_that_all_come_late_say_that_the_network_thread_is_behind(desk: Desk) -> None:
    for _ in range(BEHIND_COUNT):
        desk.receive(0.2)
    assert desk.watch.behind_s == pytest.approx(0.2)


def test_messages_that_come_at_once_say_that_others_were_their_callers_fault(desk: Desk) -> None:
    for _ in range(BEHIND_COUNT):
        desk.receive(0.2)
    for _ in range(BEHIND_COUNT // 2):
        desk.receive(0.001)
    assert desk.watch.behind_s == pytest.approx(0.001)


def test_callers_who_send_late_to_an_idle_process_are_silent_and_nobody_is_behind(desk: Desk) -> None:
    desk.busy = False
    for _ in range(BEHIND_COUNT):
        desk.receive(0.2)
    assert desk.watch.behind_s == 0
    assert desk.silent_count == 1


def test_callers_cannot_make_it_seem_further_behind_than_the_most(desk: Desk) -> None:
    for _ in range(BEHIND_COUNT):
        desk.receive(4.0)
    assert desk.watch.behind_s == BEHIND_S_MAX


def test_a_call_is_silent_only_when_its_message_is_later_than_those_of_others(desk: Desk) -> None:
    desk.receive(2 * SILENT_S)
    assert desk.silent_count == 1
    for _ in range(BEHIND_COUNT):
        desk.receive(0.1)
    desk.receive(0.1)
    assert desk.silent_count == 0
