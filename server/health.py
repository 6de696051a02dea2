"""Health of the services: whoever asks is told, and what callers hold open is bounded.

The library's servicer keeps every name that was ever watched, and as many watches as callers like to open. It
also sends under a lock that gRPC's own thread needs when a call ends: a caller who hangs up in that instant
stops the server for good.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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


@dataclass(slots=True, eq=False)
class _Watcher:
    """Who watches a service, and whether the call is over."""

    send: _Send
    ended: bool = False


class Health:
    """Knows the status of the services that it was told of; all are NOT_SERVING once the server drains.

    One thread sets statuses. The lock is never held while something is sent: gRPC waits there for its own
    thread, which ends other calls and needs the lock for that.
    """

    def __init__(self, watch_count_max: int = WATCH_COUNT_MAX) -> None:
        """Starts without a service.

        Args:
            watch_count_max: watches that may be held at once.
        """
        self._watch_count_max = watch_count_max
        self._watch_count = 0
        self._lock = threading.Lock()
        self._statuses: dict[str, Any] = {}
        self._watchers: defaultdict[str, set[_Watcher]] = defaultdict(set)
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
        if service not in self._statuses:
            # Services are named before a port is bound: one that is unknown stays so.
            unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            send(health_pb2.HealthCheckResponse(status=unknown))
            send(None)
            return
        with self._lock:
            full = self._watch_count >= self._watch_count_max
            self._watch_count += not full
        if full:
            # Clients take this code for a healthy server that tells nothing; any other keeps them away.
            context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            context.set_details("too many watches; use Check")
            send(None)
            return
        watcher = _Watcher(send)
        if not context.add_callback(lambda: self._end(service, watcher)):
            self._end(service, watcher)
            return
        sent: Any = None
        while not self._joins(service, watcher, sent):
            sent = self._statuses[service]
            send(health_pb2.HealthCheckResponse(status=sent))

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def set(self, service: str, status: Any) -> None:
        """Sets the status of a service, and tells those who watch it."""
        if not self._draining:
            self._tell(service, status)

    def enter_graceful_shutdown(self) -> None:
        """Sets every service NOT_SERVING for good."""
        self._draining = True
        for service in [*self._statuses]:
            self._tell(service, NOT_SERVING)

    def _joins(self, service: str, watcher: _Watcher, sent: Any) -> bool:
        """Has a watcher told of every change from now on if it knows the status of now, or is gone."""
        with self._lock:
            if not watcher.ended and sent == self._statuses[service]:
                self._watchers[service].add(watcher)
            return watcher.ended or watcher in self._watchers[service]

    def _tell(self, service: str, status: Any) -> None:
        with self._lock:
            self._statuses[service] = status
            watchers = [*self._watchers[service]]
        # A caller who takes nothing more keeps whoever tells it waiting, and must not keep a drain waiting.
        threading.Thread(target=_tell_all, args=(watchers, status), name="health", daemon=True).start()

    def _end(self, service: str, watcher: _Watcher) -> None:
        with self._lock:
            watcher.ended = True
            self._watchers[service].discard(watcher)
            self._watch_count -= 1
        watcher.send(None)


def _tell_all(watchers: Sequence[_Watcher], status: Any) -> None:
    for watcher in watchers:
        watcher.send(health_pb2.HealthCheckResponse(status=status))


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
