"""A supervised process: serves as its supervisor says, and ends when the supervisor does."""

import os
import signal
import threading
from typing import Final

import structlog

from server.app import serve
from server.errors import ProcessError
from server.processes.wire import Orders, Ready

_ORDERS: Final = 0
"""Standard input."""
_READ_BYTES: Final = 1 << 16


def run_worker() -> int:
    """Reads the orders from standard input and serves; returns the exit status."""
    orders = Orders.read(_read_line())
    _name_lines(orders.number)
    threading.Thread(target=_end_with_supervisor, name="supervised", daemon=True).start()
    serve(orders.settings, on_ready=lambda address: _tell(Ready(address)))
    return 0


def _read_line() -> bytes:
    """Reads the one line there is, past Python's buffer: a thread that waits there would hold the end up."""
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(_ORDERS, _READ_BYTES)
        if not read:
            raise ProcessError("orders: expected a line of them, got its end; `--processes` starts workers")
        line += read
    return line


def _name_lines(number: int) -> None:
    """Has every line of the log say which process wrote it."""

    def add(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        del logger, method
        return {**event, "process": number}

    structlog.configure(processors=[add, *structlog.get_config()["processors"]])


def _tell(ready: Ready) -> None:
    os.write(1, ready.write())


def _end_with_supervisor() -> None:
    """Drains once nobody holds the other end of standard input."""
    while os.read(_ORDERS, _READ_BYTES):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
