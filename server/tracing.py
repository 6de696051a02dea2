"""Traces of calls for an OpenTelemetry collector: a span for each call, and one in it for each stage.

Spans are made when a call has ended, of what was measured anyway; a thread of OpenTelemetry's sends them. The
trace is the caller's where its metadata holds a W3C traceparent. Stages follow one another from the call's
first instant: their lengths were measured, the gaps between them were not.
"""

import threading
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from server.current_call import CurrentCall

CLOSE_S_MAX: Final = 2.0

_FAULTS: Final = {
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
}
"""Codes that make a server's span one of an error, as OpenTelemetry's conventions have it."""
_HEADERS: Final = frozenset({"traceparent", "tracestate"})


class Tracing:
    """Records calls; safe between threads."""

    def __init__(self, exporter: SpanExporter, sample_fraction: float) -> None:
        """Starts the thread that sends.

        Args:
            exporter: where spans go.
            sample_fraction: share of the calls that are recorded where the caller's trace does not say.
        """
        resource = Resource.create({"service.name": "prudence"})
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_fraction)), resource=resource, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("prudence.server")
        self._propagator = TraceContextTextMapPropagator()

    def record(
        self,
        method: str,
        metadata: Iterable[tuple[str, str | bytes]],
        came: datetime,
        elapsed_s: float,
        code: grpc.StatusCode,
        call: CurrentCall,
    ) -> None:
        """Records one call that has ended.

        Args:
            method: full name.
            metadata: what the caller sent beside the request.
            came: when the call came.
            elapsed_s: what it took.
            code: how it ended.
            call: its id, bundle and stages.
        """
        carrier = {key: value for key, value in metadata if key in _HEADERS and isinstance(value, str)}
        start_ns = round(came.timestamp() * 1e6) * 1000
        service, _, name = method[1:].rpartition("/")
        span = self._tracer.start_span(
            method[1:],
            context=self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            start_time=start_ns,
            attributes={
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "rpc.grpc.status_code": code.value[0],
                "prudence.request_id": call.request_id,
                "prudence.bundle_version": call.bundle_version,
            },
        )
        if span.is_recording():
            within, at_ns = set_span_in_context(span), start_ns
            for stage in call.stages:
                end_ns = at_ns + round(stage.seconds * 1e9)
                self._tracer.start_span(stage.stage, context=within, start_time=at_ns).end(end_ns)
                at_ns = end_ns
            if code in _FAULTS:
                span.set_status(Status(StatusCode.ERROR))
        span.end(start_ns + round(elapsed_s * 1e9))

    def close(self) -> None:
        """Sends what waits, for CLOSE_S_MAX at most: OpenTelemetry tries a silent collector for 30 s."""
        sending = threading.Thread(target=self._provider.shutdown, name="last traces", daemon=True)
        sending.start()
        sending.join(timeout=CLOSE_S_MAX)


def open_tracing(endpoint: str, sample_fraction: float) -> Tracing:
    """Makes what sends spans to a collector, over TLS unless its address begins with http://.

    Args:
        endpoint: of the collector's gRPC port, such as http://127.0.0.1:4317.
        sample_fraction: as in `Tracing`.
    """
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=endpoint.startswith("http://"))
    return Tracing(exporter, sample_fraction)
