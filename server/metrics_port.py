"""Serves metrics to Prometheus over HTTP: few readers at a time, and no reader for long."""

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from server.errors import PortError

LOOPBACK: Final = "127.0.0.1"
READER_COUNT_MAX: Final = 16
"""Connections that are served at once; one more ends the one that is open longest."""
SILENT_S_MAX: Final = 5.0
"""A connection on which nothing moves for so long is closed."""


class _Handler(WSGIRequestHandler):
    timeout = SILENT_S_MAX

    def log_message(self, *args: object) -> None:
        """Logs nothing: the log is the server's own."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each connection, and no more of them than READER_COUNT_MAX, whatever their callers do."""

    daemon_threads = True

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._lock = threading.Lock()
        self._open: deque[socket.socket] = deque()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Gives a connection to a thread."""
        with self._lock:
            if len(self._open) >= READER_COUNT_MAX:
                # Whoever trickles would keep Prometheus out; Prometheus itself reads within milliseconds.
                with suppress(OSError):
                    self._open.popleft().shutdown(socket.SHUT_RDWR)
            self._open.append(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Closes a connection."""
        with self._lock, suppress(ValueError):
            self._open.remove(request)
        super().shutdown_request(request)

    def handle_error(self, *args: object) -> None:
        """Says nothing of a reader that went away."""


@contextmanager
def serve_metrics(registry: CollectorRegistry, port: int, host: str = LOOPBACK) -> Iterator[str]:
    """Serves a registry's metrics until the block ends; yields the address.

    Args:
        registry: what is served.
        port: the port to bind; 0 takes a free one.
        host: the address to bind.

    Raises:
        PortError: the port cannot be bound.
    """
    try:
        server = _Server(host, port)
    except (OSError, UnicodeError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise PortError(f"metrics_port: {host}:{port}: cannot be bound: {problem}") from error
    server.set_app(make_wsgi_app(registry))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
