"""Request ids: taken from callers where they name nobody, told to them again, and in the logs."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server.current_call import add_call, begin_call, current_call, end_call, note_bundle
from tests.server.conftest import CLOCK, Platform, Server, start_server
from tests.server.wire import recommend, to_user

ID = "0af7651916cd43dd-8448eb211c80319c"
WAIT_S = 120.0


@pytest.fixture(scope="module")
def logged(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    directory = tmp_path_factory.mktemp("ids")
    plan = ("--bundles", str(platform.bundles), "--store", str(platform.store), "--clock", CLOCK)
    access = directory / "access.jsonl"
    with start_server(directory, *plan, "--access-log", str(access)) as server:
        yield server, access
        server.stop()


def call(server: Server, user_id: str = "bold", k: int = 3, *sent: tuple[str, str]) -> grpc.Call:
    """Recommends; returns what came beside the answer or the error."""
    with grpc.insecure_channel(server.target) as channel:
        stub = pb_grpc.RecommendationServiceStub(channel)
        made = stub.Recommend.future(recommend(to_user(user_id), k), timeout=WAIT_S, metadata=sent)
        made.exception()
        return made


def told(made: grpc.Call) -> dict[str, str | bytes]:
    return {each.key: each.value for each in made.trailing_metadata()}


def test_a_caller_s_id_comes_back_with_the_bundle(logged: tuple[Server, Path]) -> None:
    trailers = told(call(logged[0], "bold", 3, ("x-request-id", ID)))
    assert (trailers["x-request-id"], trailers["x-bundle-version"]) == (ID, "test-1")


def test_an_id_is_made_where_none_comes_and_each_call_has_its_own(logged: tuple[Server, Path]) -> None:
    made = {told(call(logged[0]))["x-request-id"] for _ in range(5)}
    assert {len(each) for each in made} == {16}
    assert len(made) == 5


def test_an_error_names_the_request_and_the_access_log_as_well(logged: tuple[Server, Path]) -> None:
    server, access = logged
    error = call(server, "bold", 0, ("x-request-id", ID))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told(error)["x-request-id"] == ID
    info = error_details_pb2.RequestInfo()
    status = rpc_status.from_call(error)
    assert status is not None
    assert [detail.Unpack(info) for detail in status.details].count(True) == 1
    assert info.request_id == ID
    deadline_s = time.monotonic() + WAIT_S
    while not any("FIELD_INVALID" in line and ID in line for line in access.read_text().splitlines()):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.mark.parametrize(
    "bad", ["short", "a" * 65, "ana@example.com", "user id 1", 'x"y{}zzzz', "号码号码号码号码"]
)
def test_what_may_name_a_person_or_break_a_line_is_no_id(bad: str) -> None:
    assert begin_call([("x-request-id", bad)]).request_id != bad
    assert begin_call([("other", ID)]).request_id != ID
    assert begin_call([("x-request-id", ID)]).request_id == ID
    end_call()


def test_a_line_of_the_log_says_whose_it_is_and_only_within_a_call() -> None:
    log = structlog.wrap_logger(structlog.testing.ReturnLogger(), processors=[add_call])
    made = begin_call([("x-request-id", ID)])
    note_bundle("b1")
    assert log.info("said") == ((), {"event": "said", "request_id": ID, "bundle_version": "b1"})
    # A change of an officer's names the request by the id in its own message.
    assert log.info("said", request_id="from the message")[1]["request_id"] == "from the message"
    assert made is current_call()
    end_call()
    note_bundle("b2")
    assert log.info("said") == ((), {"event": "said"})
    assert current_call().bundle_version == ""
