"""A process's end of the pipes: it follows what it is told, and hears what became of its own records."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any

import pytest

from server.errors import OrderUnsureError
from server.followed_log import Refused
from server.processes import link as link_module
from server.processes.link import Link
from server.processes.wire import (
    Append,
    Appended,
    Follow,
    Followed,
    FromProcess,
    Joining,
    NotAppended,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Ready,
    Release,
    ToProcess,
    read_from_process,
    write,
)

LOG = "policy_state"


@dataclass
class Ends:
    """A link, and the supervisor's two ends of its pipes."""

    link: Link
    say_to: int
    heard: Any
    ended: Event

    def say(self, *messages: ToProcess) -> None:
        os.write(self.say_to, b"".join(map(write, messages)))

    def hear(self) -> FromProcess:
        return read_from_process(self.heard.readline())


@pytest.fixture
def ends() -> Iterator[Ends]:
    (incoming, say_to), (hear_from, outgoing) = os.pipe(), os.pipe()
    ended = Event()
    with os.fdopen(hear_from, "rb") as heard:
        made = Ends(Link(incoming, outgoing), say_to, heard, ended)
        made.link.start(ended.set)
        yield made
        if not ended.is_set():
            os.close(say_to)
        assert ended.wait(60)
    for descriptor in (incoming, outgoing):
        os.close(descriptor)


@pytest.fixture
def followed() -> list[int]:
    return []


def join(
    ends: Ends,
    followed: list[int],
    prepare: Callable[[Mapping[str, str] | None], None] = lambda texts: None,
) -> None:
    """Joins a supervisor that has three records."""
    with ThreadPoolExecutor(1) as pool:
        joined = pool.submit(ends.link.join, {LOG: followed.append}, {LOG: prepare})
        assert ends.hear() == Joining()
        ends.say(Follow(LOG, 3))
        joined.result(60)
    assert ends.hear() == Followed(LOG, 3)


def test_a_process_serves_once_it_follows_and_goes_on_following(ends: Ends, followed: list[int]) -> None:
    join(ends, followed)
    ends.link.tell_ready("127.0.0.1:9", lambda: None)
    ends.say(Follow(LOG, 4), Follow(LOG, 5))
    assert [ends.hear() for _ in range(3)] == [Ready("127.0.0.1:9"), Followed(LOG, 4), Followed(LOG, 5)]
    assert followed == [3, 4, 5]


def test_a_process_that_is_asked_says_at_which_batch_it_is_while_an_order_keeps_it(ends: Ends) -> None:
    may_follow = Event()

    def follow(sequence: int) -> None:
        if sequence == 4:
            assert may_follow.wait(60)

    batches = iter([None, 7])
    with ThreadPoolExecutor(1) as pool:
        joined = pool.submit(ends.link.join, {LOG: follow}, {})
        assert ends.hear() == Joining()
        ends.say(Follow(LOG, 3))
        joined.result(60)
    assert ends.hear() == Followed(LOG, 3)
    ends.link.tell_ready("", lambda: next(batches))
    ends.say(Follow(LOG, 4), Ping(), Ping())
    assert [ends.hear() for _ in range(3)] == [Ready(""), Pong(None), Pong(7)]
    may_follow.set()
    assert ends.hear() == Followed(LOG, 4)


def test_a_record_is_told_and_its_answer_heard(ends: Ends) -> None:
    texts = {"document": "一" * 50_000}
    with ThreadPoolExecutor(1) as pool:
        for answer, result in (
            (Appended(LOG, 4), None),
            (NotAppended(LOG, True, ""), Refused(True, "")),
            (NotAppended(LOG, False, "full"), Refused(False, "full")),
        ):
            # The text is larger than what a pipe takes at once.
            appended = pool.submit(ends.link.append, LOG, 3, texts)
            assert ends.hear() == Append(LOG, 3, texts)
            ends.say(answer)
            assert appended.result(60) == result


def test_a_process_prepares_while_it_follows_and_says_if_it_cannot(ends: Ends, followed: list[int]) -> None:
    may_end, kept = Event(), []

    def prepare(texts: Mapping[str, str] | None) -> None:
        kept.append(texts)
        if texts == {"sha256": "slow"}:
            assert may_end.wait(60)
        if texts == {"sha256": "bad"}:
            raise MemoryError("none left")

    join(ends, followed, prepare)
    ends.say(Prepare(LOG, {"sha256": "slow"}, 1), Follow(LOG, 4))
    # A halt waits for no compilation.
    assert ends.hear() == Followed(LOG, 4)
    may_end.set()
    assert ends.hear() == Prepared(LOG, 1)
    ends.say(Release(LOG), Prepare(LOG, {"sha256": "bad"}, 2))
    assert ends.hear() == Prepared(LOG, 2, problem="MemoryError: none left")
    assert kept == [{"sha256": "slow"}, None, {"sha256": "bad"}]


def test_what_became_of_a_preparation_is_heard_and_it_is_released(ends: Ends) -> None:
    with ThreadPoolExecutor(1) as pool:
        for answer, result in (
            (Prepared(LOG), None),
            (Prepared(LOG, busy=True), Refused(True, "")),
            (Prepared(LOG, problem="process 1: no"), Refused(False, "process 1: no")),
        ):
            prepared = pool.submit(ends.link.prepare, LOG, {"sha256": "a"})
            assert ends.hear() == Prepare(LOG, {"sha256": "a"})
            ends.say(answer)
            assert prepared.result(60) == result
    ends.link.release(LOG)
    assert ends.hear() == Release(LOG)


def test_a_preparation_that_was_given_up_is_released_once_it_is_there(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "PREPARE_S_MAX", 0.01)
    with pytest.raises(OrderUnsureError):
        ends.link.prepare(LOG, {})
    assert ends.hear() == Prepare(LOG, {})
    ends.say(Prepared(LOG))
    assert ends.hear() == Release(LOG)


def test_an_answer_after_the_wait_is_followed_like_the_record_of_another(
    ends: Ends, followed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    join(ends, followed)
    monkeypatch.setattr(link_module, "APPEND_S_MAX", 0.01)
    with pytest.raises(OrderUnsureError, match="did not answer"):
        ends.link.append(LOG, 3, {})
    assert ends.hear() == Append(LOG, 3, {})
    ends.say(Appended(LOG, 4))
    assert ends.hear() == Followed(LOG, 4)
    assert followed == [3, 4]


def test_an_answer_after_the_wait_is_not_taken_for_that_of_the_next_record(
    ends: Ends, followed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    join(ends, followed)
    with monkeypatch.context() as patched:
        patched.setattr(link_module, "APPEND_S_MAX", 0.01)
        with pytest.raises(OrderUnsureError):
            ends.link.append(LOG, 3, {"document": "first"})
        refused = ends.link.append(LOG, 3, {"document": "second"})
    assert refused is not None
    assert refused.busy
    assert ends.hear() == Append(LOG, 3, {"document": "first"})
    ends.say(Appended(LOG, 4))
    assert ends.hear() == Followed(LOG, 4)
    with ThreadPoolExecutor(1) as pool:
        appended = pool.submit(ends.link.append, LOG, 4, {})
        assert ends.hear() == Append(LOG, 4, {})
        ends.say(Appended(LOG, 5))
        assert appended.result(60) is None


def test_a_supervisor_that_ends_leaves_an_order_unsure(ends: Ends) -> None:
    with ThreadPoolExecutor(1) as pool:
        appended = pool.submit(ends.link.append, LOG, 3, {})
        assert ends.hear() == Append(LOG, 3, {})
        os.close(ends.say_to)
        with pytest.raises(OrderUnsureError, match="ended before"):
            appended.result(60)
    assert ends.ended.wait(60)
