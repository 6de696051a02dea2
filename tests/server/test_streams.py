"""Streams of callers that are slow, many, or greedy: each ends by itself, and the others find room."""

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2
from prudence.client import read_fault

from server import interceptors, message_watch
from server.identity.admission import Admission
from server.identity.callers import Caller, Callers
from server.identity.roles import Role
from server.interceptors import DoorInterceptor
from server.message_watch import CallPool

WAIT_S = 60.0
METHOD = "/prudence.v1.FeedbackService/StreamEvents"
Text = wrappers_pb2.StringValue
FEED = Caller("feed", frozenset({Role.CALLER}), calls_per_s=0.001, burst=3)


class OneCaller(Callers):
    """Knows whoever calls as one caller."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def find(self, names: Any) -> Caller:
        return self.caller


class Stream:
    """A stream that sends what it is told; `began` once the server reads it."""

    def __init__(self, begin: Callable[..., Any]) -> None:
        self._messages: queue.SimpleQueue[Text | None] = queue.SimpleQueue()
        self.future = begin(iter(self._messages.get, None), timeout=WAIT_S)

    def send(self, value: str) -> None:
        self._messages.put(Text(value=value))

    def end(self) -> grpc.StatusCode:
        self._messages.put(None)
        return self.fail()

    def fail(self) -> grpc.StatusCode:
        code: grpc.StatusCode = self.future.code()
        return code


@contextmanager
def serve(caller: Caller | OneCaller | None = None) -> Iterator[Callable[[], Stream]]:
    """Serves one method that joins the texts of a stream; yields what opens a stream."""
    known = OneCaller(caller) if isinstance(caller, Caller) else caller
    admission = None if known is None else Admission(known)
    door = DoorInterceptor(CallPool(1, "test"), 1, admission=admission)
    server = grpc.server(door._pool, interceptors=[door])

    def join(requests: Iterator[Text], context: grpc.ServicerContext) -> Text:
        del context
        parts = []
        for request in requests:
            parts.append(request.value)
            begun.release()
        return Text(value=" ".join(parts))

    begun = threading.Semaphore(0)
    handler = grpc.stream_unary_rpc_method_handler(
        join, request_deserializer=Text.FromString, response_serializer=Text.SerializeToString
    )
    service, _, name = METHOD[1:].rpartition("/")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {name: handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.stream_unary(METHOD, Text.SerializeToString, Text.FromString)

        def begin() -> Stream:
            stream = Stream(method.future)
            stream.send("first")
            return stream

        def begin_and_wait() -> Stream:
            stream = begin()
            # A stream that is refused is done and is never read.
            while not begun.acquire(timeout=0.01) and not stream.future.done():
                pass
            return stream

        yield begin_and_wait
    server.stop(0).wait()
    door.close()


def end_of_next(begin: Callable[[], Stream]) -> grpc.StatusCode:
    """Opens streams until one finds room: a thread is free a moment after its caller was answered."""
    while (code := begin().end()) is grpc.StatusCode.UNAVAILABLE:
        pass
    return code


@pytest.fixture(autouse=True)
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_watch, "WATCH_INTERVAL_S", 0.01)
    # A busy machine may stop a caller for longer than a stream is waited for otherwise.
    monkeypatch.setattr(message_watch, "MESSAGE_WAIT_S", WAIT_S)
    monkeypatch.setattr(message_watch, "PRESSED_WAIT_S", WAIT_S)
    monkeypatch.setattr(interceptors, "STREAM_THREAD_COUNT", 2)


def test_a_stream_beyond_the_threads_is_refused_and_may_be_retried() -> None:
    with serve() as begin:
        held = [begin(), begin()]
        surplus = begin()
        fault = read_fault(surplus.future.exception())
        assert (fault.code, fault.reason) == ("UNAVAILABLE", "OVERLOADED")
        assert fault.retry_delay_s is not None
        assert [stream.end() for stream in held] == [grpc.StatusCode.OK] * 2
        assert end_of_next(begin) is grpc.StatusCode.OK


def test_streams_that_say_nothing_make_room_while_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_watch, "PRESSED_WAIT_S", 0.02)
    with serve() as begin:
        silent = [begin(), begin()]
        assert begin().fail() is grpc.StatusCode.UNAVAILABLE
        assert [stream.fail() for stream in silent] == [grpc.StatusCode.CANCELLED] * 2
        monkeypatch.setattr(message_watch, "PRESSED_WAIT_S", WAIT_S)
        assert end_of_next(begin) is grpc.StatusCode.OK


def test_a_stream_that_trickles_ends_when_it_has_waited_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_watch, "STREAM_WAIT_S_MAX", 0.0)
    with serve() as begin:
        stream = begin()
        stream.send("second")
        fault = read_fault(stream.future.exception())
    assert (fault.code, fault.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_PASSED")
    assert "use RecordEvents" in fault.message


def test_each_message_of_a_stream_counts_against_the_quota() -> None:
    with serve(FEED) as begin:
        stream = begin()
        for value in ("second", "third"):
            stream.send(value)
        assert stream.end() is grpc.StatusCode.OK
        assert stream.future.result().value == "first second third"
        assert read_fault(begin().future.exception()).reason == "QUOTA_EXCEEDED"
    with serve(FEED) as begin:
        stream = begin()
        for value in ("second", "third", "fourth"):
            stream.send(value)
        assert read_fault(stream.future.exception()).reason == "QUOTA_EXCEEDED"


def test_one_caller_has_its_share_of_the_streams_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_watch, "STREAM_COUNT_PER_CALLER", 1)
    with serve(Caller("feed", frozenset({Role.CALLER}))) as begin:
        held = begin()
        fault = read_fault(begin().future.exception())
        assert (fault.code, fault.reason) == ("UNAVAILABLE", "OVERLOADED")
        assert held.end() is grpc.StatusCode.OK
        assert end_of_next(begin) is grpc.StatusCode.OK


def test_a_stream_ends_once_its_caller_may_send_no_more() -> None:
    known = OneCaller(Caller("feed", frozenset({Role.CALLER})))
    with serve(known) as begin:
        stream = begin()
        known.caller = Caller("feed", frozenset({Role.AUDITOR}))
        stream.send("second")
        assert read_fault(stream.future.exception()).reason == "ROLE_MISSING"
