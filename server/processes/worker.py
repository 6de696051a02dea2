"""A supervised process: serves as its supervisor says, and ends when the supervisor does."""

import os
import signal

import structlog

from server.app import serve
from server.errors import ProcessError
from server.processes.link import Link
from server.processes.wire import Orders


def run_worker() -> int:
    """Reads the orders from standard input and serves; returns the exit status."""
    # Standard input and output.
    link = Link(0, 1)
    line = link.read_line()
    if not line:
        raise ProcessError("orders: expected a line of them, got its end; `--processes` starts workers")
    orders = Orders.read(line)
    _name_lines(orders.number)
    link.start(_drain)
    serve(orders.settings, link)
    return 0


def _name_lines(number: int) -> None:
    """Has every line of the log say which process wrote it."""

    def add(logger: object, method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        del logger, method
        return {**event, "process": number}

    structlog.configure(processors=[add, *structlog.get_config()["processors"]])


def _drain() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
