"""Health of the services: whoever asks is told, and what callers hold open is bounded.

The library's servicer keeps every name that was ever watched, and as many watches as callers like to open.
"""

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2

WATCH_COUNT_MAX: Final = 2048
"""Watches that are held at once. Each takes 27 kB for as long as its caller likes."""
PROBE_WATCH_COUNT_MAX: Final = 64
"""The same on a port for everybody: whoever takes them all up keeps no caller of another port out."""

SERVING: Final = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING

_Send = Callable[[health_pb2.HealthCheckResponse | None], None]


class Health:
    """Knows the status of the services that it was told of; all are NOT_SERVING once the server drains."""

    def __init__(self, watch_count_max: int = WATCH_COUNT_MAX) -> None:
        """Starts without a service.

        Args:
            watch_count_max: watches that may be held at once.
        """
        self._watch_count_max = watch_count_max
        self._lock = threading.RLock()
        self._statuses: dict[str, Any] = {}
        self._watches: defaultdict[str, set[_Send]] = defaultdict(set)
        self._draining = False

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Answers Check."""
        status = self._statuses.get(request.service)
        if status is None:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return health_pb2.HealthCheckResponse()
        return health_pb2.HealthCheckResponse(status=status)

    def Watch(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext, send: _Send
    ) -> None:
        """Answers Watch, and ends it where there is nothing to wait for.

        Args:
            request: names the service.
            context: of the call, which holds no thread.
            send: sends an answer; None ends the call.
        """
        service = request.service
        with self._lock:
            status = self._statuses.get(service)
            if status is None:
                # Services are named before a port is bound: one that is unknown stays so.
                unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
                send(health_pb2.HealthCheckResponse(status=unknown))
                send(None)
                return
            if sum(map(len, self._watches.values())) >= self._watch_count_max:
                # Clients take this code for a healthy server that tells nothing; any other keeps them away.
                context.set_code(grpc.StatusCode.UNIMPLEMENTED)
                context.set_details("too many watches; use Check")
                send(None)
                return
            send(health_pb2.HealthCheckResponse(status=status))
            self._watches[service].add(send)
            if not context.add_callback(lambda: self._end(service, send)):
                self._end(service, send)

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def set(self, service: str, status: Any) -> None:
        """Sets the status of a service, and tells those who watch it."""
        with self._lock:
            if not self._draining:
                self._tell(service, status)

    def enter_graceful_shutdown(self) -> None:
        """Sets every service NOT_SERVING for good."""
        with self._lock:
            self._draining = True
            for service in self._statuses:
                self._tell(service, NOT_SERVING)

    def _tell(self, service: str, status: Any) -> None:
        self._statuses[service] = status
        for send in self._watches[service]:
            send(health_pb2.HealthCheckResponse(status=status))

    def _end(self, service: str, send: _Send) -> None:
        with self._lock:
            self._watches[service].discard(send)
        send(None)


def register_health(servicer: Health, server: grpc.Server) -> None:
    """Registers what is answered."""
    messages = {
        "request_deserializer": health_pb2.HealthCheckRequest.FromString,
        "response_serializer": health_pb2.HealthCheckResponse.SerializeToString,
    }
    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(servicer.Check, **messages),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, **messages),
    }
    handler = grpc.method_handlers_generic_handler(health.SERVICE_NAME, handlers)
    server.add_generic_rpc_handlers((handler,))
