"""How the client calls: what it repeats, how long it waits, over how many connections, and what it raises."""

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import status_pb2
from google.rpc.error_details_pb2 import RetryInfo
from prudence.channels import ATTEMPT_COUNT_MAX, DEFAULT_TIMEOUT_S, RETRIED_SERVICES, find_timeout_s
from prudence.client import Client
from prudence.errors import CallError, CallFault
from prudence.reasons import ERROR_BY_REASON, CallCancelledError, OverloadedError, PassingError, to_error
from prudence.v1 import admin_pb2, admin_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server import status


class Flaky(pb_grpc.RecommendationServiceServicer, admin_pb2_grpc.AdminServiceServicer):
    """Fails the first calls with a code, then answers; remembers who called."""

    def __init__(self) -> None:
        self.code = grpc.StatusCode.UNAVAILABLE
        self.failure_count = 0
        self.call_count = 0
        self.peers: set[str] = set()
        self.seconds_left = 0.0
        self.trailer = b""

    def Recommend(self, request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        self._meet(context)
        return pb.RecommendResponse()

    def SetOverlay(
        self, request: admin_pb2.SetOverlayRequest, context: grpc.ServicerContext
    ) -> admin_pb2.SetOverlayResponse:
        self._meet(context)
        return admin_pb2.SetOverlayResponse()

    def _meet(self, context: grpc.ServicerContext) -> None:
        self.call_count += 1
        self.peers.add(context.peer())
        self.seconds_left = context.time_remaining() or 0.0
        if self.call_count <= self.failure_count:
            if self.trailer:
                context.set_trailing_metadata((("grpc-status-details-bin", self.trailer),))
            context.abort(self.code, "not now")


@pytest.fixture
def flaky() -> Flaky:
    return Flaky()


@pytest.fixture
def address(flaky: Flaky) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4))
    pb_grpc.add_RecommendationServiceServicer_to_server(flaky, server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(flaky, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_a_call_that_changes_nothing_is_repeated_while_the_server_is_unavailable(
    flaky: Flaky, address: str
) -> None:
    flaky.failure_count = ATTEMPT_COUNT_MAX - 1
    with Client(address) as client:
        client.recommend(pb.RecommendRequest())
    assert flaky.call_count == ATTEMPT_COUNT_MAX


def test_it_is_not_repeated_for_ever(flaky: Flaky, address: str) -> None:
    flaky.failure_count = 100
    with Client(address) as client, pytest.raises(PassingError, match="UNAVAILABLE"):
        client.recommend(pb.RecommendRequest())
    assert flaky.call_count == ATTEMPT_COUNT_MAX


def test_a_call_that_changes_something_is_never_repeated(flaky: Flaky, address: str) -> None:
    flaky.failure_count = 1
    with Client(address) as client, pytest.raises(PassingError):
        client.set_overlay(admin_pb2.SetOverlayRequest())
    assert flaky.call_count == 1


def test_no_other_code_is_repeated(flaky: Flaky, address: str) -> None:
    flaky.code, flaky.failure_count = grpc.StatusCode.RESOURCE_EXHAUSTED, 1
    with Client(address) as client, pytest.raises(CallError):
        client.recommend(pb.RecommendRequest())
    assert flaky.call_count == 1


def test_clients_stop_repeating_while_most_calls_fail(flaky: Flaky, address: str) -> None:
    flaky.failure_count = 1000
    with Client(address) as client:
        for _ in range(10):
            with pytest.raises(PassingError):
                client.recommend(pb.RecommendRequest())
    # Without throttling there were 30.
    assert flaky.call_count < 20


def test_calls_take_turns_on_the_connections(flaky: Flaky, address: str) -> None:
    with Client(address, channel_count=3) as client:
        for _ in range(6):
            client.recommend(pb.RecommendRequest())
    assert len(flaky.peers) == 3


def test_a_client_needs_a_connection() -> None:
    with pytest.raises(ValueError, match="channel_count: expected at least 1, got 0"):
        Client("127.0.0.1:1", channel_count=0)


def test_every_method_has_a_time_limit_that_the_caller_may_replace(flaky: Flaky, address: str) -> None:
    with Client(address) as client:
        client.recommend(pb.RecommendRequest())
    # The wire rounds time limits up.
    assert 0 < flaky.seconds_left < find_timeout_s("RecommendRequest") + 1 < DEFAULT_TIMEOUT_S
    with Client(address, timeout_s=60.0) as client:
        client.recommend(pb.RecommendRequest())
    assert flaky.seconds_left > DEFAULT_TIMEOUT_S


def test_only_services_without_changes_are_repeated() -> None:
    assert "prudence.v1.AdminService" not in RETRIED_SERVICES
    assert pb.DESCRIPTOR.services_by_name["RecommendationService"].full_name in RETRIED_SERVICES


def test_every_reason_of_the_server_has_an_error_of_its_own() -> None:
    given = {row.reason for row in status.TABLE.values()} | {"INTERNAL"}
    assert given == set(ERROR_BY_REASON)
    assert len(set(ERROR_BY_REASON.values())) == len(ERROR_BY_REASON)


def test_whatever_is_worth_retrying_is_a_passing_error() -> None:
    retryable = {row.reason for row in status.TABLE.values() if row.retryable}
    assert retryable
    assert [reason for reason in retryable if not issubclass(ERROR_BY_REASON[reason], PassingError)] == []


def test_a_reason_that_only_a_newer_server_knows_is_a_call_error() -> None:
    assert type(to_error(CallFault("INTERNAL", "new", reason="NEVER_HEARD_OF"))) is CallError


def test_an_error_says_what_the_fault_says() -> None:
    error = to_error(CallFault("UNAVAILABLE", "too many calls wait", reason="OVERLOADED", retry_delay_s=0.1))
    assert isinstance(error, OverloadedError)
    assert error.fault.retry_delay_s == 0.1
    assert "retry after 0.1 s" in str(error)


def _status(detail: Message | None) -> bytes:
    box = any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff\xff")
    if detail is not None:
        box.Pack(detail)
    return status_pb2.Status(code=14, message="not now", details=[box]).SerializeToString()


@pytest.mark.parametrize(
    ("trailer", "told"),
    [
        (b"\xff\xff", "not now (details unreadable: "),
        (_status(None), "not now (details unreadable: "),
        (_status(RetryInfo(retry_delay=Duration(seconds=2**62))), "not now (details unreadable: "),
        (_status(RetryInfo(retry_delay=Duration(seconds=-1))), "not now\n  retry after 0 s"),
    ],
)
def test_details_that_are_garbage_leave_a_typed_error(
    flaky: Flaky, address: str, trailer: bytes, told: str
) -> None:
    flaky.failure_count, flaky.trailer = 9, trailer
    with Client(address) as client, pytest.raises(PassingError) as caught:
        client.set_overlay(admin_pb2.SetOverlayRequest())
    assert told in str(caught.value)


def test_a_call_on_a_closed_client_raises_an_error_of_ours(address: str) -> None:
    client = Client(address)
    client.close()
    with pytest.raises(CallCancelledError, match="closed"):
        client.serving_info()
