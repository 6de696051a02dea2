"""Binds gRPC's ports, with what every one of them has: limits, keepalive, and a probe port's health."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final

import grpc

from server.errors import PortError
from server.health import Health, register_health
from server.interceptors import DoorInterceptor
from server.message_watch import CallPool

LOOPBACK: Final = "127.0.0.1"
MESSAGE_BYTES_MAX: Final = 1 << 20
METADATA_BYTES_MAX: Final = 16 << 10
KEEPALIVE: Final = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 30_000),
    # Callers that ping more often are cut off after the library's two warnings.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 30_000),
)
LIMITS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    # Between the two limits gRPC refuses at random.
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    # By itself gRPC answers a call over a limit after 0.1 to 1 s, drawn at random.
    ("grpc.http.tarpit", 0),
    # What came of a message that is too large is kept until it is refused: 64 KiB without probes, MiB with.
    ("grpc.http2.bdp_probe", 0),
    # Nothing holds back headers: with the library's 4 MiB each flood of them took 2 MiB more for itself.
    ("grpc.experimental.tcp_max_read_chunk_size", 64 << 10),
)
_PROBE_THREAD_COUNT: Final = 2
_PROBE_COUNT_MAX: Final = 64

MakeCredentials = Callable[[], grpc.ServerCredentials]


class Probes:
    """A port that answers health and nothing else, to whoever asks."""

    def __init__(self, health: Health) -> None:
        """Makes the server; no port is bound before `open`."""
        self._pool = CallPool(_PROBE_THREAD_COUNT, "probe")
        self._interceptor = DoorInterceptor(self._pool, _PROBE_COUNT_MAX)
        self._server = grpc.server(
            self._pool,
            interceptors=[self._interceptor],
            maximum_concurrent_rpcs=2 * _PROBE_COUNT_MAX,
            options=[("grpc.so_reuseport", 0), *KEEPALIVE, *LIMITS],
        )
        register_health(health, self._server)

    def open(self, host: str, port: int) -> int:
        """Binds the port, takes calls, and returns the port's number.

        Raises:
            PortError: the address cannot be bound.
        """
        bound = bind(self._server, host, port, None, setting="probe_port")
        self._server.start()
        return bound

    def close(self) -> None:
        """Closes the port."""
        self._server.stop(0).wait(timeout=5.0)
        self._interceptor.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


def bind(
    server: grpc.Server,
    host: str,
    port: int,
    make_credentials: MakeCredentials | None,
    *,
    setting: str,
    shared: bool = False,
) -> int:
    """Binds a port of a server and returns its number.

    Args:
        server: not started yet.
        host: the address.
        port: 0 takes a free one.
        make_credentials: None for plaintext.
        setting: what named the port.
        shared: whether other processes bind it, too; it was reserved then.

    Raises:
        PortError: the address cannot be bound.
    """
    address = f"{host}:{port}"
    try:
        # gRPC's own failure to bind says why in its log only, so the address is tried first.
        if not shared:
            _bind_socket(host, port, socket.SO_REUSEADDR).close()
        if make_credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, make_credentials())
    except (OSError, RuntimeError, UnicodeError) as error:
        raise PortError(f"{setting}: {address} cannot be bound: {error}") from error


@contextlib.contextmanager
def reserve_port(host: str, port: int, *, setting: str = "port") -> Iterator[int]:
    """Keeps a port for the processes that share it, for the length of the block; yields its number.

    Args:
        host: the address.
        port: 0 takes a free one.
        setting: what named the port.

    Raises:
        PortError: the address cannot be bound, or somebody else listens there.
    """
    try:
        # Whoever listens there would let further processes share his port without a word.
        _bind_socket(host, port, socket.SO_REUSEADDR).close()
        # It is bound and never listens, so the kernel gives it no connection.
        reserved = _bind_socket(host, port, socket.SO_REUSEPORT)
    except (OSError, UnicodeError) as error:
        raise PortError(f"{setting}: {host}:{port} cannot be bound: {error}") from error
    with reserved:
        yield int(reserved.getsockname()[1])


def _bind_socket(host: str, port: int, option: int) -> socket.socket:
    """Binds a socket with one option. Raises OSError."""
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(where)
    except BaseException:
        bound.close()
        raise
    return bound
