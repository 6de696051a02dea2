"""A server of one process with a port for each amount of door, from none to all of it.

`python -m benchmarks.interceptors.served DIRECTORY`, with its settings in DIRECTORY/settings.json; writes the
ports to DIRECTORY/ports.json and serves until its standard input ends.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Final

import grpc
from prometheus_client import CollectorRegistry
from prudence.v1 import recommendation_pb2_grpc

from server.active_policy import ActivePolicy
from server.bundles.opener import Opener
from server.config import Settings
from server.identity.access_log import AccessLog
from server.identity.admission import Admission
from server.identity.callers import Callers
from server.identity.tls import Certificates, TlsFiles
from server.interceptors import DoorInterceptor, Interceptor
from server.message_watch import CallPool
from server.opening import open_active_policy, open_overload, open_recommendation, open_users
from server.pipeline import Pipeline
from server.ports import KEEPALIVE, LIMITS, bind
from server.services import RecommendationService
from server.telemetry import Metrics
from server.users.directory import Directory

BARE: Final = "none"
VARIANTS: Final = (BARE, "door", "identity", "metrics", "all")
"""Each has what those before it have, and one thing more."""
_IDENTITY: Final = VARIANTS.index("identity")
_METRICS: Final = VARIANTS.index("metrics")


def main(directory: Path) -> None:
    """Serves every variant on a port of its own."""
    settings = Settings.model_validate_json((directory / "settings.json").read_bytes())
    with contextlib.ExitStack() as held:
        active = open_active_policy(settings, Opener(settings), None, held)
        users = open_users(settings, CollectorRegistry(), held)
        ports = {}
        for variant in VARIANTS:
            metrics = Metrics(CollectorRegistry()) if VARIANTS.index(variant) >= _METRICS else None
            service = _open_service(settings, active, users, metrics, held)
            ports[variant] = _serve(variant, settings, service, metrics, directory, held)
        draft = directory / "ports.tmp"
        draft.write_text(json.dumps(ports), encoding="utf-8")
        draft.replace(directory / "ports.json")
        sys.stdin.read()


def _open_service(
    settings: Settings,
    active: ActivePolicy,
    users: Directory,
    metrics: Metrics | None,
    held: contextlib.ExitStack,
) -> RecommendationService:
    """Opens a service with a compute thread of its own, as the server does."""
    pipeline = Pipeline(
        active,
        users,
        clock=settings.decision_clock(),
        channel=settings.channel,
        queue_limit=settings.queue_limit,
        metrics=metrics,
    )
    held.callback(pipeline.close)
    service = open_recommendation(settings, assumed_data=True)
    service.open(pipeline)
    return service


def _serve(
    variant: str,
    settings: Settings,
    service: RecommendationService,
    metrics: Metrics | None,
    directory: Path,
    held: contextlib.ExitStack,
) -> int:
    """Serves one variant; returns its port."""
    pool = CallPool(settings.rpc_thread_count, variant)
    interceptors: list[Interceptor] = []
    if variant != BARE:
        identity = VARIANTS.index(variant) >= _IDENTITY
        access_log = AccessLog(directory / "access.jsonl") if variant == "all" else None
        if access_log is not None:
            held.callback(access_log.close)
        assert settings.callers is not None
        interceptors.append(
            DoorInterceptor(
                pool,
                settings.queue_limit,
                overload=open_overload(settings, metrics) if identity else None,
                admission=Admission(Callers(settings.callers) if identity else None),
                access_log=access_log,
                metrics=None if metrics is None else metrics.calls,
            )
        )
    server = grpc.server(pool, interceptors=interceptors, options=[*KEEPALIVE, *LIMITS])
    recommendation_pb2_grpc.add_RecommendationServiceServicer_to_server(service, server)
    assert settings.tls_certificate is not None
    assert settings.tls_key is not None
    assert settings.tls_client_ca is not None
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    port = bind(server, "127.0.0.1", 0, Certificates(files).make_credentials, setting="port")
    server.start()
    held.callback(server.stop, 0)
    return port


if __name__ == "__main__":
    main(Path(sys.argv[1]))
