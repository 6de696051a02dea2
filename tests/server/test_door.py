"""The door of every method, in front of a method that waits, fails or answers."""

import threading
from collections.abc import Iterator

import grpc
import pytest
import structlog
from google.protobuf import wrappers_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from server import errors
from server.current_call import CurrentCall
from server.interceptors import OFFICE_THREAD_COUNT, DoorInterceptor
from server.message_watch import CallPool
from server.status import TABLE, describe, to_status

WAIT_S = 120.0
CALL = CurrentCall("a" * 64, "20261122T150303Z-7d6191ae")
METHOD, URGENT_METHOD = "/test.Service/Echo", "/test.Urgent/Echo"


class Echo:
    """Echoes a text; fails on "fail"; waits for leave on "wait"."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.waiting = threading.Event()

    def answer(
        self, request: wrappers_pb2.StringValue, context: grpc.ServicerContext
    ) -> wrappers_pb2.StringValue:
        del context
        if request.value == "fail":
            raise RuntimeError("a secret of ours")
        if request.value == "wait":
            self.waiting.set()
            assert self.may_answer.wait(WAIT_S)
        return request


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def door() -> Iterator[DoorInterceptor]:
    urgent = ("test.Urgent", "/test.Office/Halt")
    made = DoorInterceptor(CallPool(1, "test"), 1, urgent, office_service="test.Office")
    yield made
    made.close()


@pytest.fixture
def channel(echo: Echo, door: DoorInterceptor) -> Iterator[grpc.Channel]:
    """A server with one thread, where one call may wait, and threads for an urgent service."""
    server = grpc.server(door._pool, interceptors=[door])
    handler = grpc.unary_unary_rpc_method_handler(
        echo.answer,
        request_deserializer=wrappers_pb2.StringValue.FromString,
        response_serializer=wrappers_pb2.StringValue.SerializeToString,
    )
    services = ("test.Service", "test.Urgent", "test.Office")
    handlers = {"Echo": handler, "Halt": handler}
    methods = [grpc.method_handlers_generic_handler(service, handlers) for service in services]
    server.add_generic_rpc_handlers(methods)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    echo.may_answer.set()
    server.stop(0).wait()


def method(channel: grpc.Channel, name: str) -> grpc.UnaryUnaryMultiCallable:
    return channel.unary_unary(
        name,
        request_serializer=wrappers_pb2.StringValue.SerializeToString,
        response_deserializer=wrappers_pb2.StringValue.FromString,
    )


@pytest.fixture
def call(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable:
    return method(channel, METHOD)


def text(value: str) -> wrappers_pb2.StringValue:
    return wrappers_pb2.StringValue(value=value)


def test_an_answer_passes_unchanged(call: grpc.UnaryUnaryMultiCallable) -> None:
    assert call(text("hello")) == text("hello")


def test_an_unexpected_error_is_internal_with_an_id_and_nothing_else(
    call: grpc.UnaryUnaryMultiCallable,
) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(grpc.RpcError) as caught:
        call(text("fail"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(caught.value.trailing_metadata()) + caught.value.details()
    assert logs[0]["error_id"] in caught.value.details()
    assert "secret" in str(logs[0]["exc_info"])


def test_a_call_too_many_is_refused_at_once_and_may_be_retried(
    call: grpc.UnaryUnaryMultiCallable, echo: Echo, door: DoorInterceptor
) -> None:
    first = call.future(text("wait"))
    assert echo.waiting.wait(WAIT_S)
    second = call.future(text("patient"))
    while door._pool.waiting_count == 0:
        threading.Event().wait(0.005)
    with pytest.raises(grpc.RpcError) as caught:
        call(text("third"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    status = rpc_status.from_call(caught.value)
    assert status is not None
    assert any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)
    echo.may_answer.set()
    assert (first.result(WAIT_S), second.result(WAIT_S)) == (text("wait"), text("patient"))


def test_an_urgent_call_is_answered_while_all_others_wait(
    call: grpc.UnaryUnaryMultiCallable, channel: grpc.Channel, echo: Echo, door: DoorInterceptor
) -> None:
    first = call.future(text("wait"))
    assert echo.waiting.wait(WAIT_S)
    second = call.future(text("patient"))
    while door._pool.waiting_count == 0:
        threading.Event().wait(0.005)
    assert method(channel, URGENT_METHOD)(text("halt")) == text("halt")
    assert not first.done()
    echo.may_answer.set()
    assert (first.result(WAIT_S), second.result(WAIT_S)) == (text("wait"), text("patient"))


def test_a_halt_waits_for_nothing_else_that_officers_and_publishers_ask_for(
    channel: grpc.Channel, echo: Echo, door: DoorInterceptor
) -> None:
    list_bundles = method(channel, "/test.Office/Echo")
    asked = [list_bundles.future(text("wait")) for _ in range(OFFICE_THREAD_COUNT + 1)]
    while door._office.waiting_count == 0:
        threading.Event().wait(0.005)
    assert method(channel, "/test.Office/Halt")(text("halt")) == text("halt")
    echo.may_answer.set()
    assert [each.result(WAIT_S) for each in asked] == [text("wait")] * len(asked)


def test_every_call_is_refused_while_draining(
    call: grpc.UnaryUnaryMultiCallable, door: DoorInterceptor
) -> None:
    assert call(text("before")) == text("before")
    door.refuse_all()
    with pytest.raises(grpc.RpcError) as caught:
        call(text("after"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_every_error_that_a_request_can_meet_has_a_row() -> None:
    def leaves(kind: type[errors.ServerError]) -> Iterator[type[errors.ServerError]]:
        if kind.__subclasses__():
            for below in kind.__subclasses__():
                yield from leaves(below)
        else:
            yield kind

    # Raised itself, and for one row of the store by a class of its own.
    expected = {*leaves(errors.RequestError), *leaves(errors.ServingError), errors.StoreReadError}
    assert set(TABLE) == expected


def test_resource_exhausted_stays_with_grpc() -> None:
    assert grpc.StatusCode.RESOURCE_EXHAUSTED not in {row.code for row in TABLE.values()}


@pytest.mark.parametrize("letter", ["a", "二", "\U0001f600"])
def test_a_long_message_is_cut_to_what_a_client_takes(letter: str) -> None:
    failure = describe(errors.InvalidArgumentError("overlay_document", letter * 400_000))
    status = to_status(failure, CALL)
    sent = sum(len(value) * 4 / 3 for _, value in status.trailing_metadata) + 3 * len(
        failure.message.encode()
    )
    assert sent < 8192
    assert failure.message.startswith(f"overlay_document: {letter * 9}")
    assert failure.message.endswith(" ...")
    assert failure.problem.startswith(letter * 9)


def test_a_status_names_reason_domain_and_field() -> None:
    status = to_status(
        describe(errors.InvalidArgumentError("user.history[3].event_type", "expected 1 to 9")), CALL
    )
    assert status.code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.details == "user.history[3].event_type: expected 1 to 9"
