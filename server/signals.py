"""Waits for SIGTERM or SIGINT without ever missing one.

A lock or a queue would miss a signal that comes after Python last looked for one and before the main thread
sleeps: on two busy cores, 2 of about 60 stops right after the start. Here the C handler itself writes a byte
to a socket, at once and from whatever thread, and the main thread reads it.
"""

import signal
import socket
from types import FrameType
from typing import Final, Self

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """While it is entered, in the main thread, SIGTERM and SIGINT end `wait` and nothing else."""

    heard: bool = False
    """Whether one of the signals has come."""

    def __enter__(self) -> Self:
        """Catches the signals."""
        self.heard = False
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._former_fd = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, _ignore) for number in _STOPPING}
        return self

    def __exit__(self, *error: object) -> None:
        """Gives the signals back to who had them."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_fd)
        self._reader.close()
        self._writer.close()

    def wait(self) -> None:
        """Returns once a signal has come, be it before the call."""
        while not self.heard:
            self.hear()

    def hear(self) -> None:
        """Waits for any signal."""
        self.heard = self._reader.recv(1)[0] in _STOPPING or self.heard

    def fileno(self) -> int:
        """Returns the descriptor that is readable once a signal has come."""
        return self._reader.fileno()


def _ignore(number: int, frame: FrameType | None) -> None:
    """Stands where the default would end the process; the byte in the socket is what counts."""
    del number, frame
