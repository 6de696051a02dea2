"""One supervised process, as its supervisor sees it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from server.processes.restarts import Restarts
from server.processes.wire import (
    COMMAND,
    LINE_BYTES_MAX,
    FromProcess,
    Orders,
    Ready,
    ToProcess,
    read_from_process,
    write,
)

_READ_BYTES: Final = 1 << 16
_KILL_WAIT_S: Final = 5.0

_log = structlog.get_logger("server")


class Child:
    """Starts a process as often as needed; whoever owns it watches `fileno` and calls `hear`."""

    def __init__(
        self, orders: Orders, held: Sequence[int] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keeps the orders; nothing runs before `start`.

        Args:
            orders: what the process is to do.
            held: descriptors that it holds as long as it runs: files stay locked until the last one ends.
            clock: seconds that never go back.
        """
        self.number = orders.number
        self.restarts = Restarts(clock)
        self.ready: Ready | None = None
        self.start_s: float | None = None
        """When the process is to be started again, by the clock; None while it runs."""
        self._orders, self._held = orders.write(), tuple(held)
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""

    def start(self) -> None:
        """Starts the process: a new program, never a copy of this one, which has threads and gRPC."""
        self._process = subprocess.Popen(  # noqa: S603 - our own program.
            [sys.executable, "-m", "server", COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A Ctrl-C at the terminal is the supervisor's to hear, once.
            start_new_session=True,
            pass_fds=self._held,
        )
        self.start_s, self.ready, self._heard = None, None, b""
        self._write(self._orders)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Id of the process, 0 for none."""
        return 0 if self._process is None else self._process.pid

    def fileno(self) -> int:
        """Returns the descriptor that is readable when there is something to hear."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def say(self, message: ToProcess) -> None:
        """Tells the process something short: a pipe that nobody reads takes some hundred messages."""
        self._write(write(message))

    def hear(self) -> list[FromProcess] | int:
        """Reads what the process said; returns its exit status if it ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        said = self._process.stdout.read1(_READ_BYTES)  # type: ignore[attr-defined]
        if not said:
            return self._end()
        *lines, self._heard = (self._heard + said).split(b"\n")
        try:
            if len(self._heard) > LINE_BYTES_MAX:
                raise ValueError(f"a line of more than {LINE_BYTES_MAX} bytes")
            return [self._take(line) for line in lines]
        except ValueError as error:
            _log.error("a process said what is no message of ours", process=self.number, problem=str(error))
            return self.kill()

    def terminate(self) -> None:
        """Asks the process to drain."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> int:
        """Ends the process at once, sockets and all, and returns its exit status."""
        assert self._process is not None
        self._process.kill()
        return self._end()

    def _write(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            # It ended; its own output says why, and `hear` will find its end.
            _log.warning("a process was told nothing: it has ended", process=self.number)

    def _take(self, line: bytes) -> FromProcess:
        message = read_from_process(line)
        if isinstance(message, Ready):
            self.ready = message
            self.restarts.became_ready()
        return message

    def _end(self) -> int:
        process, self._process, self.ready = self._process, None, None
        assert process is not None
        try:
            # It closed its output: it is about to end.
            status = process.wait(_KILL_WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                # Orders that it did not take are of no use any more.
                _log.debug("orders were left", process=self.number)
        self.start_s = self.restarts.ended()
        return status
