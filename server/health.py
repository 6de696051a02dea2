"""Health of the services: whoever asks is told, and what callers hold open is bounded.

The library's servicer keeps every name that was ever watched, and as many watches as callers like to open. It
also sends under a lock that gRPC's own thread needs when a call ends: a caller who hangs up in that instant
stops the server for good.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
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


class _Watcher:
    """Who watches a service: told in order, by one thread at a time, and of nothing twice."""

    def __init__(self, read: Callable[[], Any], send: _Send) -> None:
        """Keeps how the status of now is read and sent; nothing is sent before `tell`."""
        self.read, self.send = read, send
        self._sending = threading.Lock()
        self._told: Any = None

    def tell(self) -> None:
        """Sends the status of now if it is another than was sent last."""
        # Whoever sends meanwhile looks again afterwards: a caller who takes nothing keeps one thread at most.
        while self._told != self.read() and self._sending.acquire(blocking=False):
            try:
                status = self.read()
                if status != self._told:
                    self._told = status
                    self.send(health_pb2.HealthCheckResponse(status=status))
            finally:
                self._sending.release()


class Health:
    """Knows the status of the services that it was told of; all are NOT_SERVING once the server drains.

    The lock is never held while something is sent: gRPC waits there for its own thread, which ends other
    calls and needs the lock for that.
    """

    def __init__(self, watch_count_max: int = WATCH_COUNT_MAX) -> None:
        """Starts without a service.

        Args:
            watch_count_max: watches that may be held at once.
        """
        self._watch_count_max = watch_count_max
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
        watcher = _Watcher(lambda: self._statuses[service], send)
        if not self._takes_in(service, watcher):
            # Clients take this code for a healthy server that tells nothing; any other keeps them away.
            context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            context.set_details("too many watches; use Check")
            send(None)
            return
        if not context.add_callback(lambda: self._end(service, watcher)):
            self._end(service, watcher)
            return
        watcher.tell()

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]

    def set(self, service: str, status: Any) -> None:
        """Sets the status of a service, and tells those who watch it."""
        with self._lock:
            if self._draining or self._statuses.get(service) == status:
                return
            self._statuses[service] = status
            told = [*self._watchers[service]]
        _tell_all(told)

    def enter_graceful_shutdown(self) -> None:
        """Sets every service NOT_SERVING for good."""
        with self._lock:
            self._draining = True
            self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
            told = [watcher for watchers in self._watchers.values() for watcher in watchers]
        _tell_all(told)

    def _takes_in(self, service: str, watcher: _Watcher) -> bool:
        with self._lock:
            if sum(map(len, self._watchers.values())) >= self._watch_count_max:
                return False
            self._watchers[service].add(watcher)
            return True

    def _end(self, service: str, watcher: _Watcher) -> None:
        with self._lock:
            self._watchers[service].discard(watcher)
        watcher.send(None)


def _tell_all(watchers: Sequence[_Watcher]) -> None:
    """Tells watchers, and returns at once: one who takes nothing would keep a drain waiting."""

    def tell() -> None:
        for watcher in watchers:
            watcher.tell()

    if watchers:
        threading.Thread(target=tell, name="health", daemon=True).start()


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
