"""Metrics on a port of this machine's own, in Prometheus' text format."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from server.errors import PortError

_HOST = "127.0.0.1"


@contextmanager
def serve_metrics(registry: CollectorRegistry, port: int) -> Iterator[str]:
    """Serves a registry's metrics until the block ends; yields the address.

    Args:
        registry: what is served.
        port: the port to bind; 0 takes a free one.

    Raises:
        PortError: the port cannot be bound.
    """
    try:
        server, thread = start_http_server(port, addr=_HOST, registry=registry)
    except OSError as error:
        raise PortError(f"metrics_port: {_HOST}:{port}: cannot be bound: {error.strerror}") from error
    try:
        yield f"{_HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
