"""The gRPC server with its port and health: every service is registered here, and drained here."""

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server import admin, feedback_service
from server.call_metrics import CallMetrics
from server.config import Settings
from server.errors import PortError
from server.identity.access_log import AccessLog
from server.identity.admission import Admission
from server.interceptors import REJECTION_COUNT_MAX, CallPool, DoorInterceptor

MESSAGE_BYTES_MAX: Final = 1 << 20
METADATA_BYTES_MAX: Final = 16 << 10
REFUSE_S: Final = 0.2
"""How long new calls are refused before the port closes. When it closes, gRPC cancels calls that it has taken
from the network but not handed over yet; a refusal is worth retrying, a cancelled call is not."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True, slots=True)
class Service:
    """One gRPC service: its full name, what answers, and the stubs' function that registers it."""

    name: str
    servicer: Any
    register: Callable[[Any, grpc.Server], None]


@dataclass(frozen=True, slots=True)
class Entrance:
    """What is asked of callers.

    Attributes:
        admission: who may call what.
        credentials: of the port; None for plaintext.
        access_log: where calls are accounted for, if anywhere.
        metrics: counts calls, if anybody reads the count.
    """

    admission: Admission
    credentials: grpc.ServerCredentials | None
    access_log: AccessLog | None
    metrics: CallMetrics | None


class Door:
    """Takes calls for the services; NOT_SERVING until `set_ready`."""

    def __init__(self, settings: Settings, services: Sequence[Service], entrance: Entrance) -> None:
        """Binds the port; no call is taken before `start`.

        Raises:
            PortError: the address cannot be bound.
        """
        self._names = tuple(service.name for service in services)
        self._pool = CallPool(settings.rpc_thread_count, "rpc")
        self._interceptor = DoorInterceptor(
            self._pool,
            settings.queue_limit,
            admin.SERVICE_NAME,
            writing_service=feedback_service.SERVICE_NAME,
            admission=entrance.admission,
            access_log=entrance.access_log,
            metrics=entrance.metrics,
        )
        self._server = _make_server(settings, self._pool, self._interceptor)
        for service in services:
            service.register(service.servicer, self._server)
        self._health = health.HealthServicer(experimental_non_blocking=True)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.port = _bind(self._server, settings.host, settings.port, entrance.credentials)
        # The library starts "" as SERVING; nothing is ready yet.
        self._set_health(_NOT_SERVING)

    def start(self) -> None:
        """Takes calls."""
        self._server.start()

    def set_ready(self) -> None:
        """Tells health checks that everything is served."""
        self._set_health(_SERVING)

    def drain(self, delay_s: float) -> None:
        """Says NOT_SERVING, goes on answering for `delay_s`, then refuses new calls."""
        self._health.enter_graceful_shutdown()
        time.sleep(delay_s)
        self._interceptor.refuse_all()
        time.sleep(REFUSE_S)

    def stop(self, grace_s: float) -> None:
        """Closes the port and waits up to `grace_s` for calls in flight."""
        self._server.stop(grace_s).wait(timeout=grace_s + 5.0)

    def close(self) -> None:
        """Ends the threads that took calls."""
        self._interceptor.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _set_health(self, status: int) -> None:
        for name in ("", *self._names):
            self._health.set(name, status)


def _make_server(settings: Settings, pool: CallPool, interceptor: DoorInterceptor) -> grpc.Server:
    return grpc.server(
        pool,
        interceptors=[interceptor],
        # The outer wall, as RESOURCE_EXHAUSTED; the interceptor refuses long before, worth retrying.
        maximum_concurrent_rpcs=settings.queue_limit + settings.rpc_thread_count + REJECTION_COUNT_MAX,
        options=[
            # Two servers would share a port without a word.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
            ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ],
    )


def _bind(server: grpc.Server, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
    address = f"{host}:{port}"
    try:
        # gRPC's own failure to bind says why in its log only, so the address is tried first.
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except (OSError, RuntimeError) as error:
        raise PortError(f"{address}: cannot be bound: {error}") from error
