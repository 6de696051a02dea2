"""The gRPC ports and health: every service is registered here, and drained here.

Callers have one port. AdminService and reflection may have one of their own, which only this machine reaches;
and health may have one, without certificates, for probes that have none.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from server import admin, feedback_service
from server.accounting import Traces
from server.call_metrics import CallMetrics
from server.config import Settings
from server.health import NOT_SERVING, PROBE_WATCH_COUNT_MAX, SERVING, Health, register_health
from server.identity.access_log import AccessLog
from server.identity.admission import Admission
from server.interceptors import DoorInterceptor
from server.message_watch import CallPool
from server.overload.controller import OverloadController
from server.ports import KEEPALIVE, LIMITS, LOOPBACK, MakeCredentials, Probes, bind

REFUSE_S: Final = 0.2
"""How long new calls are refused before the port closes. When it closes, gRPC cancels calls that it has taken
from the network but not handed over yet; a refusal is worth retrying, a cancelled call is not."""
CONNECTION_GRACE_S: Final = 65
"""How long an old connection's calls may go on: longer than any of them is waited for."""


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
        make_credentials: makes those of one port, which take no second one; None for plaintext.
        access_log: where calls are accounted for, if anywhere.
        metrics: counts calls, if anybody reads the count.
        overload: says how many calls may be under way.
        traces: records calls, if anybody collects traces.
    """

    admission: Admission
    make_credentials: MakeCredentials | None
    access_log: AccessLog | None
    metrics: CallMetrics | None
    overload: OverloadController
    traces: Traces | None


class Door:
    """Takes calls for the services; NOT_SERVING until `set_ready`."""

    def __init__(self, settings: Settings, services: Sequence[Service], entrance: Entrance) -> None:
        """Makes the servers; no port is bound before `start`."""
        self._settings, self._entrance = settings, entrance
        self._names = tuple(service.name for service in services)
        self._pool = CallPool(settings.rpc_thread_count, "rpc")
        self._interceptor = DoorInterceptor(
            self._pool,
            settings.queue_limit,
            # Health is asked for by balancers, and says nothing about load.
            (admin.HALT_METHOD, health.SERVICE_NAME),
            office_service=admin.SERVICE_NAME,
            writing_service=feedback_service.SERVICE_NAME,
            overload=entrance.overload,
            admission=entrance.admission,
            access_log=entrance.access_log,
            metrics=entrance.metrics,
            traces=entrance.traces,
        )
        self._admin_interceptor = self._interceptor.beside()
        self._health, self._probe_health = Health(), Health(PROBE_WATCH_COUNT_MAX)
        for_callers = [
            each for each in services if each.name != admin.SERVICE_NAME or settings.serves_admin_to_callers
        ]
        self._server = self._make_server(
            for_callers, self._interceptor, reflect=settings.serves_admin_to_callers
        )
        self._admin: grpc.Server | None = None
        if settings.admin_port is not None:
            # Reflection describes all services, wherever they are served.
            self._admin = self._make_server(
                [each for each in services if each not in for_callers], self._admin_interceptor, reflect=True
            )
        self._probes = None if settings.probe_port is None else Probes(self._probe_health)
        self.addresses: dict[str, str] = {}
        self.port = 0
        self._set_health(NOT_SERVING)

    def start(self) -> None:
        """Binds the ports and takes calls.

        Raises:
            PortError: an address cannot be bound.
        """
        settings, credentials = self._settings, self._entrance.make_credentials
        self.port = bind(
            self._server,
            settings.host,
            settings.port,
            credentials,
            setting="port",
            shared=settings.processes > 1,
        )
        self.addresses["address"] = f"{settings.host}:{self.port}"
        if self._admin is not None and settings.admin_port is not None:
            bound = bind(
                self._admin,
                LOOPBACK,
                settings.admin_port,
                credentials,
                setting="admin_port",
                shared=settings.processes > 1,
            )
            self.addresses["admin_address"] = f"{LOOPBACK}:{bound}"
            self._admin.start()
        if self._probes is not None and settings.probe_port is not None:
            bound = self._probes.open(settings.host, settings.probe_port)
            self.addresses["probe_address"] = f"{settings.host}:{bound}"
        self._server.start()

    def set_ready(self) -> None:
        """Tells health checks that everything is served."""
        self._set_health(SERVING)

    def drain(self, delay_s: float) -> None:
        """Says NOT_SERVING, goes on answering for `delay_s`, then refuses new calls."""
        for health_of_port in (self._health, self._probe_health):
            health_of_port.enter_graceful_shutdown()
        time.sleep(delay_s)
        for interceptor in (self._interceptor, self._admin_interceptor):
            interceptor.refuse_all()
        time.sleep(REFUSE_S)

    def stop(self, grace_s: float) -> None:
        """Closes the ports and waits up to `grace_s` for calls in flight."""
        stopping = [server.stop(grace_s) for server in (self._server, self._admin) if server is not None]
        for stopped in stopping:
            stopped.wait(timeout=grace_s + 5.0)
        if self._probes is not None:
            self._probes.close()

    def close(self) -> None:
        """Ends the threads that took calls."""
        self._interceptor.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_server(
        self, services: Sequence[Service], interceptor: DoorInterceptor, *, reflect: bool
    ) -> grpc.Server:
        settings = self._settings
        server = grpc.server(
            self._pool,
            interceptors=[interceptor],
            # The outer wall, as RESOURCE_EXHAUSTED; the interceptor refuses long before, worth retrying.
            maximum_concurrent_rpcs=interceptor.call_count_max,
            options=[
                # Two servers would share a port without a word, so only a supervisor's processes may.
                ("grpc.so_reuseport", int(settings.processes > 1)),
                ("grpc.max_connection_age_ms", settings.connection_s_max * 1000),
                ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_S * 1000),
                *KEEPALIVE,
                *LIMITS,
            ],
        )
        for service in services:
            service.register(service.servicer, server)
        register_health(self._health, server)
        if reflect:
            names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        return server

    def _set_health(self, status: int) -> None:
        for name in ("", *self._names):
            self._health.set(name, status)
            self._probe_health.set(name, status)
