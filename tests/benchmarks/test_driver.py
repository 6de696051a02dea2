"""The load driver against a small real gRPC server in this process."""

import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import numpy as np
import pytest
from google.protobuf import duration_pb2
from prudence.v1 import profile_pb2, recommendation_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.errors import BenchmarkInputError
from benchmarks.load.client import _run_open
from benchmarks.load.driver import merge_reports, run_load
from benchmarks.load.plan import ClientReport, LoadPlan


class FakeService(recommendation_pb2_grpc.RecommendationServiceServicer):
    """Counts calls; fails those for the user "bad", and uses 2 ms of claimed CPU per call."""

    def __init__(self) -> None:
        self.call_count = 0
        self._lock = threading.Lock()

    def Recommend(self, request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        with self._lock:
            self.call_count += 1
        if request.user.user_id == "bad":
            context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded")
        if request.user.user_id == "slow":
            time.sleep(0.2)
        return pb.RecommendResponse()

    def GetServingInfo(
        self, request: pb.GetServingInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServingInfoResponse:
        cpu_time = duration_pb2.Duration()
        cpu_time.FromMicroseconds(self.call_count * 2000)
        return pb.GetServingInfoResponse(cpu_time=cpu_time)


@pytest.fixture
def target() -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(FakeService(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait(5)


def make_request(user_id: str) -> bytes:
    return bytes(pb.RecommendRequest(user=profile_pb2.User(user_id=user_id), k=1).SerializeToString())


def test_closed_loop_stops_at_the_request_count(target: str) -> None:
    plan = LoadPlan(
        target, (make_request("u"),), "closed", concurrency=3, duration_s=30, request_count_max=31
    )
    result = run_load(plan)
    assert result.answered_count == 31
    assert result.error_count == 0
    # The fake server claims 2 ms per call.
    assert result.server_cpu_us_per_request == pytest.approx(2000)


def test_every_distinct_answer_is_checked_after_the_run(target: str) -> None:
    plan = LoadPlan(
        target, (make_request("u"), make_request("v")), "closed", concurrency=3, request_count_max=31
    )
    result = run_load(plan, lambda request, answer: ["a fault"] if b"v" in request else [])
    assert (result.answered_count, result.checked_count, result.faulty_count) == (31, 2, 1)


def test_open_loop_counts_errors_by_reason(target: str) -> None:
    plan = LoadPlan(
        target, (make_request("bad"),), "open", rate=200, client_count=1, duration_s=5, request_count_max=7
    )
    result = run_load(plan)
    assert result.error_counts == {"UNAVAILABLE": 7}
    assert result.answered_count == 0


def test_open_loop_sends_without_waiting_for_answers(target: str) -> None:
    # 20 calls of 0.2 s on 4 server threads take at least 1 s; callers that wait for answers would see 0.2 s.
    plan = LoadPlan(
        target, (make_request("slow"),), "open", rate=1000, client_count=1, duration_s=5, request_count_max=20
    )
    result = run_load(plan)
    assert result.answered_count == 20
    assert result.latency_ms_max > 800


def test_open_loop_measures_from_the_intended_time() -> None:
    class StalledCall:
        """Takes 20 ms to send, and is answered at once: a client that falls behind its own plan."""

        def future(self, request: bytes, timeout: float) -> futures.Future[bytes]:
            del timeout
            time.sleep(0.02)
            answered: futures.Future[bytes] = futures.Future()
            answered.set_result(request)
            return answered

    plan = LoadPlan(
        "127.0.0.1:1", (b"",), "open", rate=1000, client_count=1, duration_s=5, request_count_max=20
    )
    report = _run_open(plan, 0, StalledCall(), np.random.default_rng(1))
    # The last of 20 was meant to go at about 0.02 s and went at 0.4 s; from its real sending it took nothing.
    assert len(report.latencies_s) == 20
    assert max(report.latencies_s) > 0.3


def test_merge_takes_percentiles_over_all_clients() -> None:
    plan = LoadPlan("127.0.0.1:1", (b"",), "closed", concurrency=2)
    reports = [
        ClientReport((0.001,) * 50, {"A": 1}, 10.0, 12.0),
        ClientReport((0.003,) * 50, {"A": 2}, 11.0, 15.0),
    ]
    result = merge_reports(plan, reports, server_cpu_s=0.1)
    assert result.latency_ms_p50 == pytest.approx(2.0)
    assert result.latency_ms_p99 == pytest.approx(3.0)
    assert result.requests_per_s == pytest.approx(20.0)
    assert result.error_counts == {"A": 3}
    assert result.server_cpu_us_per_request == pytest.approx(1000.0)


def test_plan_refuses_a_target_that_is_not_loopback() -> None:
    with pytest.raises(BenchmarkInputError, match=r"example\.com"):
        LoadPlan("example.com:50051", (b"",), "closed")


def test_plan_names_a_value_out_of_range() -> None:
    with pytest.raises(BenchmarkInputError, match="duration_s is 9999"):
        LoadPlan("127.0.0.1:1", (b"",), "closed", duration_s=9999)
