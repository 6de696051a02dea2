"""Callers that hold on, go away, or send what nobody should: the others never notice."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor, message
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from tests.server.answers import find_faults
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, Server, start_server
from tests.server.test_calls import FEW
from tests.server.wire import recommend, to_user

Stub = recommendation_pb2_grpc.RecommendationServiceStub
PATIENCE_S = 120.0
PREFIX = "/prudence.v1.RecommendationService/"

NUMBERS = (0, 1, -1, 13, 40, 77, 10**9, 2**31 - 1, -(2**31))
LARGE_NUMBERS = (*NUMBERS, 10**15 + 1, 253_402_300_800, -62_135_596_801, 2**63 - 1, -(2**63))
TEXTS = ("", "\0", "x0001", "bold", "blocked", "x" * 129, "é" * 65, "\U0001f600", "../../etc", " ", "%s\n")


def try_call(method: Callable[..., Any], request: Any) -> Any:
    """Returns the answer, or the error in place of it."""
    try:
        return method(request, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error


@pytest.fixture
def neighbour(stub: Stub) -> Iterator[None]:
    """Somebody else's answer is the same before and after the test."""
    request = recommend(to_user("n", eligible_user(3), FEW), 50)
    before = stub.Recommend(request)
    yield
    assert stub.Recommend(request, timeout=PATIENCE_S) == before


@pytest.mark.usefixtures("neighbour")
def test_many_open_streams_hold_no_thread_of_the_calls(server: Server) -> None:
    release = threading.Event()

    def hold() -> Iterator[reflection_pb2.ServerReflectionRequest]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        release.wait(PATIENCE_S)

    with grpc.insecure_channel(server.target) as channel:
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        streams = [reflection.ServerReflectionInfo(hold())]
        next(streams[0])
        streams.extend(reflection.ServerReflectionInfo(hold()) for _ in range(60))
        try:
            answer = Stub(channel).Recommend(recommend(to_user("bold"), 5), timeout=PATIENCE_S / 2)
            assert answer.products
        finally:
            release.set()
            for stream in streams:
                stream.cancel()


@pytest.mark.usefixtures("neighbour")
def test_callers_that_never_send_their_message_are_cancelled(server: Server, stub: Stub) -> None:
    release = threading.Event()

    def nothing() -> Iterator[bytes]:
        release.wait(PATIENCE_S)
        yield from ()

    with grpc.insecure_channel(server.target) as channel:
        silent = channel.stream_unary(PREFIX + "Recommend")
        calls = [silent.future(nothing()) for _ in range(40)]
        # Until it is clear that they are silent, others are told to retry.
        time.sleep(0.2)
        try:
            assert stub.Recommend(recommend(to_user("bold"), 5), timeout=PATIENCE_S).products
            assert calls[0].code() is grpc.StatusCode.CANCELLED
        finally:
            release.set()
            for call in calls:
                call.cancel()


def test_a_call_without_a_message_is_an_invalid_argument(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(PREFIX + "Recommend")(iter([]), timeout=PATIENCE_S)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.usefixtures("neighbour")
def test_what_is_no_http2_hurts_nobody(server: Server) -> None:
    random_bytes = random.Random(3)
    host, port = server.target.split(":")
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    for start in (b"", b"GET / HTTP/1.1\r\n\r\n", preface, preface + b"\xff\xff\xff\1\4\0\0\0\1") * 10:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(start + random_bytes.randbytes(400))


@pytest.mark.usefixtures("neighbour")
def test_cancelled_calls_leave_the_others_whole(stub: Stub) -> None:
    request = recommend(to_user("a", eligible_user(), FEW), 20)
    alone = stub.Recommend(request)
    # No more at once than are let in.
    calls = [stub.Recommend.future(request) for _ in range(24)]
    for call in calls[::2]:
        call.cancel()
    assert all(call.result(timeout=PATIENCE_S) == alone for call in calls[1::2])


def test_a_crowd_is_answered_as_alone_or_told_to_retry(platform: Platform, tmp_path: Path) -> None:
    limits = ("--queue-limit", "4", "--batch-count-max", "4", "--rpc-thread-count", "2")
    requests = [recommend(to_user(f"u{n}", eligible_user(n % 6), FEW), 20) for n in range(6)]
    plan = ("--bundles", str(platform.bundles), "--clock", CLOCK)
    with start_server(tmp_path, *plan, *limits) as running:
        with grpc.insecure_channel(running.target) as channel:
            stub = Stub(channel)
            alone = [stub.Recommend(request) for request in requests]

            def call(number: int) -> bool:
                given = try_call(stub.Recommend, requests[number % 6])
                if isinstance(given, grpc.RpcError):
                    assert given.code() is grpc.StatusCode.UNAVAILABLE
                    status = rpc_status.from_call(given)
                    assert status is not None
                    return not any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in status.details)
                assert given == alone[number % 6]
                return True

            with ThreadPoolExecutor(60) as pool:
                answered = list(pool.map(call, range(300)))
        assert running.stop() == 0
    assert any(answered)
    assert not all(answered)


def test_headers_that_ask_for_a_waiver_change_nothing(stub: Stub) -> None:
    request = recommend(to_user("cautious"), 500)
    wishes = [("x-waive", "true"), ("waiver", "1"), ("x-risk-level", "5"), ("x-clock", "2020-01-01")]
    wishes += [("x-intent", "USER_INITIATED"), ("x-channel", "branch"), ("role", "admin")]
    assert stub.Recommend(request, metadata=wishes) == stub.Recommend(request)


def test_no_field_of_a_list_request_asks_for_a_waiver() -> None:
    words = ("waiv", "intent", "confirm", "override", "force", "skip", "bypass", "channel", "clock")
    pending = [
        recommendation_pb2.RecommendRequest.DESCRIPTOR,
        recommendation_pb2.SimilarProductsRequest.DESCRIPTOR,
    ]
    seen: dict[str, descriptor.Descriptor] = {}
    while pending:
        kind = pending.pop()
        if kind.full_name not in seen:
            seen[kind.full_name] = kind
            pending.extend(field.message_type for field in kind.fields if field.message_type is not None)
    names = {field.name for kind in seen.values() for field in kind.fields}
    # The user's own confirmation of a changed risk level is a fact about the profile.
    assert {name for name in names if any(word in name for word in words)} == {"level_confirmed"}


def test_fields_of_other_versions_change_nothing(server: Server, stub: Stub) -> None:
    request = recommend(to_user("cautious"), 500)
    unknown = bytes([0xF8, 0x3F, 1]) + bytes([0xFA, 0x3F, 4]) + b"true"  # field 1023, twice
    with grpc.insecure_channel(server.target) as channel:
        answer = channel.unary_unary(PREFIX + "Recommend")(request.SerializeToString() + unknown)
    assert recommendation_pb2.RecommendResponse.FromString(answer) == stub.Recommend(request)


def spoil(target: message.Message, chance: random.Random) -> None:
    """Sets a field of a message, or of one inside it, to something at or over the edge."""
    field = chance.choice(target.DESCRIPTOR.fields)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for _ in range(chance.choice([1, 1001])):
            getattr(target, field.name)[chance.choice(TEXTS) + str(chance.random())] = chance.choice(
                LARGE_NUMBERS
            )
    elif field.message_type is not None:
        inner = getattr(target, field.name)
        if field.is_repeated:
            spoil(inner.add(), chance)
        else:
            inner.SetInParent()
            spoil(inner, chance)
    elif field.is_repeated:
        getattr(target, field.name).extend(chance.choices(TEXTS, k=chance.choice([1, 3, 1001])))
    elif field.cpp_type == field.CPPTYPE_STRING:
        setattr(target, field.name, chance.choice(TEXTS))
    elif field.cpp_type == field.CPPTYPE_BOOL:
        setattr(target, field.name, chance.random() < 0.5)
    else:
        large = field.cpp_type == field.CPPTYPE_INT64
        setattr(target, field.name, chance.choice(LARGE_NUMBERS if large else NUMBERS))


@pytest.mark.usefixtures("neighbour")
def test_spoiled_requests_are_answered_by_the_rules_or_name_a_field(stub: Stub, platform: Platform) -> None:
    chance = random.Random(1)
    answered = 0
    for number in range(300):
        user_id = chance.choice(["a", "bold", "blocked", "withdrawn"])
        request = recommend(to_user(user_id, eligible_user(number % 6), FEW), 10)
        spoil(request.user if number % 2 else request, chance)
        answer = try_call(stub.Recommend, request)
        if isinstance(answer, grpc.RpcError):
            assert answer.code() is grpc.StatusCode.INVALID_ARGUMENT, request
            status = rpc_status.from_call(answer)
            assert status is not None
            assert any(d.Is(error_details_pb2.BadRequest.DESCRIPTOR) for d in status.details)
            continue
        assert find_faults(request, answer, platform) == []
        answered += len(answer.products)
    assert answered > 500


@pytest.mark.usefixtures("neighbour")
def test_broken_bytes_on_any_method_are_an_invalid_argument(server: Server) -> None:
    random_numbers = np.random.default_rng(5)
    whole = recommend(to_user("a", eligible_user(), FEW), 10).SerializeToString()
    methods = [
        method.name
        for method in recommendation_pb2.DESCRIPTOR.services_by_name["RecommendationService"].methods
    ]
    refused = 0
    with grpc.insecure_channel(server.target) as channel:
        for method in methods:
            for _ in range(40):
                data = bytearray(whole[: int(random_numbers.integers(1, len(whole)))])
                data[int(random_numbers.integers(len(data)))] ^= 1 << int(random_numbers.integers(8))
                given = try_call(channel.unary_unary(PREFIX + method), bytes(data))
                if isinstance(given, grpc.RpcError):
                    codes = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
                    assert given.code() in codes, (method, bytes(data), given)
                    assert "Error" not in (given.details() or "")
                    refused += 1
    assert refused > 150


def test_broken_bytes_on_streams_are_an_invalid_argument(server: Server) -> None:
    streams = (
        "/grpc.health.v1.Health/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    )
    with grpc.insecure_channel(server.target) as channel:
        for stream in streams:
            call = channel.unary_stream(stream)
            with pytest.raises(grpc.RpcError) as caught:
                list(call(b"\xff\xff", timeout=PATIENCE_S))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, stream
            assert "Exception" not in (caught.value.details() or "")
