"""Traces: a span for each call in its caller's trace, one for each stage, and nothing where none is asked."""

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as collector_grpc
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server import tracing as tracing_module
from server.current_call import CurrentCall
from server.messages import StageTime
from server.tracing import Tracing
from tests.server.conftest import CLOCK, ROOT, Platform, run_command, start_server
from tests.server.wire import recommend, to_user

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METHOD = "/prudence.v1.RecommendationService/Recommend"
CAME = datetime(2026, 1, 2, tzinfo=UTC)
CALL = CurrentCall("request-1", "bundle-1", (StageTime("user", 0.001), StageTime("search", 0.002)))
WAIT_S = 120.0
SILENT_S = 10.0


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traceparent(*, sampled: bool) -> tuple[tuple[str, str | bytes], ...]:
    return (("traceparent", f"00-{TRACE}-{PARENT}-{int(sampled):02x}"), ("other", b"\xff"))


def test_a_call_is_a_span_of_the_caller_s_trace_and_holds_its_stages(exporter: InMemorySpanExporter) -> None:
    tracing = Tracing(exporter, 0.0)
    tracing.record(METHOD, traceparent(sampled=True), CAME, 0.004, grpc.StatusCode.OK, CALL)
    tracing.close()
    user, search, call = exporter.get_finished_spans()
    assert (user.name, search.name, call.name) == ("user", "search", METHOD[1:])
    assert call.parent is not None
    assert (f"{call.context.trace_id:032x}", f"{call.parent.span_id:016x}") == (TRACE, PARENT)
    start_ns = int(CAME.timestamp()) * 10**9
    assert (call.start_time, call.end_time) == (start_ns, start_ns + 4_000_000)
    assert (user.start_time, user.end_time) == (start_ns, start_ns + 1_000_000)
    assert (search.start_time, search.end_time) == (start_ns + 1_000_000, start_ns + 3_000_000)
    for stage in (user, search):
        assert stage.parent is not None
        assert stage.parent.span_id == call.context.span_id
    assert call.attributes is not None
    assert call.attributes["rpc.method"] == "Recommend"
    assert call.attributes["prudence.request_id"] == "request-1"
    assert call.attributes["prudence.bundle_version"] == "bundle-1"
    assert call.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.INTERNAL, StatusCode.ERROR),
        (grpc.StatusCode.UNAVAILABLE, StatusCode.ERROR),
        (grpc.StatusCode.INVALID_ARGUMENT, StatusCode.UNSET),
    ],
)
def test_what_is_the_server_s_fault_is_an_error(
    exporter: InMemorySpanExporter, code: grpc.StatusCode, status: StatusCode
) -> None:
    tracing = Tracing(exporter, 1.0)
    tracing.record(METHOD, (), CAME, 0.1, code, CurrentCall("request-1"))
    tracing.close()
    assert [span.status.status_code for span in exporter.get_finished_spans()] == [status]


def test_a_caller_that_does_not_sample_is_not_traced_and_others_by_their_share(
    exporter: InMemorySpanExporter,
) -> None:
    tracing = Tracing(exporter, 1.0)
    tracing.record(METHOD, traceparent(sampled=False), CAME, 0.1, grpc.StatusCode.OK, CALL)
    tracing.close()
    never = Tracing(exporter, 0.0)
    never.record(METHOD, (), CAME, 0.1, grpc.StatusCode.OK, CALL)
    never.record(METHOD, (("traceparent", "not one"),), CAME, 0.1, grpc.StatusCode.OK, CALL)
    never.close()
    assert exporter.get_finished_spans() == ()


class SilentExporter(SpanExporter):
    """Waits for a collector that never answers."""

    def __init__(self) -> None:
        self.gave_up = threading.Event()
        self.released = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if not self.released.wait(SILENT_S):
            self.gave_up.set()
        return SpanExportResult.FAILURE


def test_a_collector_that_is_down_does_not_hold_the_end_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing_module, "CLOSE_S_MAX", 0.1)
    exporter = SilentExporter()
    tracing = Tracing(exporter, 1.0)
    tracing.record(METHOD, (), CAME, 0.1, grpc.StatusCode.OK, CALL)
    tracing.close()
    assert not exporter.gave_up.is_set()
    exporter.released.set()


class Collector(collector_grpc.TraceServiceServicer):
    """Keeps what a server sends."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.came = threading.Event()

    def Export(  # noqa: N802
        self, request: collector_pb.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> collector_pb.ExportTraceServiceResponse:
        del context
        for resource in request.resource_spans:
            self.names += [span.name for scope in resource.scope_spans for span in scope.spans]
        self.came.set()
        return collector_pb.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    server, kept = grpc.server(ThreadPoolExecutor(2)), Collector()
    collector_grpc.add_TraceServiceServicer_to_server(kept, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(0).wait()


def test_a_server_sends_what_it_measured_to_a_collector(
    platform: Platform, tmp_path: Path, collector: tuple[Collector, str]
) -> None:
    kept, endpoint = collector
    plan = ("--bundles", str(platform.bundles), "--store", str(platform.store), "--clock", CLOCK)
    with start_server(tmp_path, *plan, "--otlp-endpoint", endpoint) as server:
        with grpc.insecure_channel(server.target) as channel:
            stub = pb_grpc.RecommendationServiceStub(channel)
            sent = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
            stub.Recommend(recommend(to_user("bold"), 3), timeout=WAIT_S, metadata=sent)
        assert server.stop() == 0
    assert kept.came.wait(WAIT_S)
    assert kept.names[-1] == METHOD[1:]
    assert {"user", "queue", "embed", "gate", "select"} <= set(kept.names)


def test_nothing_of_it_is_loaded_where_it_is_not_asked_for() -> None:
    script = "import sys, server.app; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, timeout=180).returncode == 0


def test_an_address_that_is_none_is_refused(platform: Platform) -> None:
    done = run_command("--bundles", str(platform.bundles), "--otlp-endpoint", "localhost:4317")
    assert done.returncode == 1
    assert "otlp_endpoint" in done.stderr
