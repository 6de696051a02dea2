"""Health: what is told, to whom, and that nobody can have the server hold more than it wants to."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from server import message_watch
from server.health import NOT_SERVING, SERVING, Health, register_health
from server.interceptors import DoorInterceptor
from server.message_watch import CallPool

WAIT_S = 60.0
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
Watch = Callable[[str], Iterator[health_pb2.HealthCheckResponse]]


@contextmanager
def serve(health: Health) -> Iterator[health_pb2_grpc.HealthStub]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    register_health(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    server.stop(None).wait()


def watch(stub: health_pb2_grpc.HealthStub, service: str) -> Iterator[health_pb2.HealthCheckResponse]:
    return iter(stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S))


def test_who_watches_is_told_of_each_change_until_the_server_drains() -> None:
    health = Health()
    health.set("shop", NOT_SERVING)
    with serve(health) as stub:
        told = watch(stub, "shop")
        assert next(told).status == NOT_SERVING
        health.set("shop", SERVING)
        assert next(told).status == SERVING
        health.enter_graceful_shutdown()
        assert next(told).status == NOT_SERVING
        health.set("shop", SERVING)
        assert stub.Check(health_pb2.HealthCheckRequest(service="shop")).status == NOT_SERVING


def test_a_watch_of_an_unknown_name_ends_and_the_name_is_forgotten() -> None:
    health = Health()
    with serve(health) as stub:
        assert [answer.status for answer in watch(stub, "x" * 1000)] == [UNKNOWN]
    assert not any(health._watchers.values())


def test_a_watch_too_many_is_told_so_and_one_that_ends_makes_room() -> None:
    health = Health(watch_count_max=2)
    health.set("", SERVING)
    with serve(health) as stub:
        held = [watch(stub, "") for _ in range(2)]
        assert [next(each).status for each in held] == [SERVING] * 2
        with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
            next(watch(stub, ""))
        held[0].cancel()  # type: ignore[attr-defined]
        found: object = None
        while found is None:
            # The server hears of the end a moment later.
            found = next((answer.status for answer in _try(stub)), None)
        assert found == SERVING


def _try(stub: health_pb2_grpc.HealthStub) -> Iterator[health_pb2.HealthCheckResponse]:
    try:
        yield next(watch(stub, ""))
    except grpc.RpcError:
        return


class Call:
    """A call that is over by the time its first answer is sent; gRPC says so on a thread of its own."""

    def __init__(self) -> None:
        self.ends: Callable[[], None] = lambda: None
        self.stuck = False

    def add_callback(self, ends: Callable[[], None]) -> bool:
        self.ends = ends
        return True

    def send(self, response: object) -> None:
        if response is None:
            return
        ending = threading.Thread(target=self.ends, daemon=True)
        ending.start()
        ending.join(5.0)
        self.stuck |= ending.is_alive()


def test_a_caller_who_hangs_up_while_being_told_stops_nobody() -> None:
    health, first, call = Health(), Call(), Call()
    health.set("", SERVING)
    context: Any = call
    health.Watch(health_pb2.HealthCheckRequest(), context, call.send)
    assert not call.stuck
    assert len(health._watchers[""]) == 0
    context = first
    health.Watch(health_pb2.HealthCheckRequest(), context, lambda _: None)
    assert len(health._watchers[""]) == 1
    for watcher in health._watchers[""]:
        watcher.send = first.send
    health.set("", NOT_SERVING)
    while len(health._watchers[""]):
        threading.Event().wait(0.005)
    assert not first.stuck


def test_a_watcher_who_takes_nothing_is_told_by_one_thread_and_then_in_order() -> None:
    health, told, taken = Health(), list[int](), threading.Event()
    health.set("", SERVING)
    context: Any = Call()

    def send(response: Any) -> None:
        told.append(response.status)
        if len(told) > 1:
            assert taken.wait(WAIT_S)

    health.Watch(health_pb2.HealthCheckRequest(), context, send)
    before = threading.active_count()
    for status in (SERVING, NOT_SERVING, SERVING, NOT_SERVING, SERVING):
        health.set("", status)
        if status == NOT_SERVING:
            assert eventually(lambda: len(told) == 2)
    assert eventually(lambda: threading.active_count() <= before + 1)
    taken.set()
    assert eventually(lambda: told == [SERVING, NOT_SERVING, SERVING])


def eventually(holds: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + WAIT_S
    while not holds() and time.monotonic() < end_s:
        time.sleep(0.005)
    return holds()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _header(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def watch_and_take_nothing(port: int) -> socket.socket:
    """Opens a watch on a connection that grants the server no byte to send (RFC 9113, 6.9.2)."""
    settings = _frame(4, 0, 0, struct.pack(">HI", 4, 0))
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/grpc.health.v1.Health/Watch"),
            (b":authority", b"test"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
    connection.sendall(_frame(1, 4, 1, headers) + _frame(0, 1, 1, b"\0" * 5))
    return connection


def test_who_takes_no_answer_holds_no_thread_of_the_calls_and_none_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(message_watch, "WATCH_INTERVAL_S", 0.01)
    health, door = Health(), DoorInterceptor(CallPool(1, "test"), 1)
    health.set("", SERVING)
    server = grpc.server(door._pool, interceptors=[door])
    register_health(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with watch_and_take_nothing(port), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        while not door._watching.busy_count:
            threading.Event().wait(0.005)
        asked = health_pb2.HealthCheckRequest()
        assert health_pb2_grpc.HealthStub(channel).Check(asked, timeout=WAIT_S).status == SERVING
        monkeypatch.setattr(message_watch, "MESSAGE_WAIT_S", 0.02)
        while door._watching.busy_count:
            threading.Event().wait(0.005)
    server.stop(None).wait()
    door.close()
