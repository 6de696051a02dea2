"""One supervised process, as its supervisor sees it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Final

import structlog

from server.processes.restarts import Restarts
from server.processes.wire import COMMAND, Orders, Ready

_LINE_BYTES_MAX: Final = 4096
_KILL_WAIT_S: Final = 5.0

_log = structlog.get_logger("server")


class Child:
    """Starts a process as often as needed; whoever owns it watches `fileno` and calls `hear`."""

    def __init__(self, orders: Orders, clock: Callable[[], float] = time.monotonic) -> None:
        """Keeps the orders; nothing runs before `start`."""
        self.number = orders.number
        self.restarts = Restarts(clock)
        self.ready: Ready | None = None
        self.start_s: float | None = None
        """When the process is to be started again, by the clock; None while it runs."""
        self._orders = orders.write()
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
        )
        self.start_s, self.ready, self._heard = None, None, b""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(self._orders)
            self._process.stdin.flush()
        except BrokenPipeError:
            # It ended at once; its own output says why, and `hear` will find its end.
            _log.warning("a process took no orders", process=self.number)

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

    def hear(self) -> int | None:
        """Reads what the process said; returns its exit status if it ended, else None."""
        assert self._process is not None
        assert self._process.stdout is not None
        said = self._process.stdout.read1(_LINE_BYTES_MAX)  # type: ignore[attr-defined]
        if said:
            self._heard = (self._heard + said)[-_LINE_BYTES_MAX:]
            if self._heard.endswith(b"\n"):
                self._take(self._heard.splitlines()[-1])
            return None
        return self._end()

    def terminate(self) -> None:
        """Asks the process to drain."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the process at once."""
        if self._process is not None:
            self._process.kill()
            self._end()

    def _take(self, line: bytes) -> None:
        try:
            self.ready = Ready.read(line)
        except ValueError:
            _log.warning("a process said what is no message of ours", process=self.number)
            return
        self.restarts.became_ready()

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
