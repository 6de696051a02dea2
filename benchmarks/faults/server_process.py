"""Runs the server under test as a process of its own: started, measured, stopped and killed for real."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.errors import ServerStartError
from benchmarks.machine import ROOT
from benchmarks.serving import read_tail

START_S_MAX: Final = 240.0
END_S_MAX: Final = 60.0


@dataclass(frozen=True)
class Usage:
    """What a process holds, as the kernel tells it."""

    cpu_s: float
    resident_bytes: int
    descriptor_count: int
    thread_count: int
    mapping_count: int


@dataclass(frozen=True)
class Ending:
    """How a process ended: its status, negative for a signal, and how long that took."""

    status: int
    elapsed_s: float


class ServerProcess:
    """A server on a port of this machine's own."""

    def __init__(self, process: "subprocess.Popen[bytes]", target: str, log: Path, ready_s: float) -> None:
        """Keeps what `start_server` started."""
        self._process = process
        self.target = target
        self.log = log
        self.ready_s = ready_s

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process as a power cut would."""
        if self.alive:
            self._process.kill()
        self._process.wait(timeout=END_S_MAX)

    def stop(self) -> Ending:
        """Asks the process to drain and waits for its end."""
        start_s = time.monotonic()
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(timeout=END_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            status = -signal.SIGKILL
        return Ending(status, time.monotonic() - start_s)

    def read_usage(self) -> Usage:
        """Reads what the process holds now."""
        place = Path("/proc") / str(self.pid)
        status = dict(
            line.split(":", 1) for line in (place / "status").read_text(encoding="ascii").splitlines()
        )
        times = (place / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return Usage(
            cpu_s=(int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"),
            resident_bytes=int(status["VmRSS"].split()[0]) * 1024,
            descriptor_count=len(list((place / "fd").iterdir())),
            thread_count=int(status["Threads"]),
            mapping_count=len((place / "maps").read_bytes().splitlines()),
        )

    def forget_peak(self) -> None:
        """Lets the kernel measure the process's largest memory anew."""
        (Path("/proc") / str(self.pid) / "clear_refs").write_text("5", encoding="ascii")

    def read_peak_bytes(self) -> int:
        """Returns the most memory in use since `forget_peak`, or since the start."""
        status = (Path("/proc") / str(self.pid) / "status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def read_log(self) -> str:
        """Returns all that the server wrote."""
        return self.log.read_text(encoding="utf-8", errors="replace")


def start_server(
    folder: Path,
    arguments: Sequence[str],
    *,
    program: Sequence[str] = ("server",),
    port: int = 0,
    through: Sequence[str] = (),
) -> ServerProcess:
    """Starts a server and waits until it is ready.

    Args:
        folder: for its port file and its log, which is appended to.
        arguments: the command line after `python -m server`, without a port.
        program: the server's module, or one that breaks something and runs it, with its own arguments.
        port: 0 takes a free one.
        through: a command that runs the server in its own place.

    Raises:
        ServerStartError: the server ended, or was not ready in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, port_file = folder / "server.log", folder / "port"
    port_file.unlink(missing_ok=True)
    start_s = time.monotonic()
    command = [*through, *_command(program, port_file, port), *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        target = _wait_until_ready(process, port_file, log)
    except BaseException:
        process.kill()
        process.wait(timeout=END_S_MAX)
        raise
    return ServerProcess(process, target, log, time.monotonic() - start_s)


@contextmanager
def run_server(
    folder: Path,
    arguments: Sequence[str],
    *,
    program: Sequence[str] = ("server",),
    port: int = 0,
    through: Sequence[str] = (),
) -> Iterator[ServerProcess]:
    """Runs a server as `start_server` does for the length of the block; what is left of it then is killed."""
    server = start_server(folder, arguments, program=program, port=port, through=through)
    try:
        yield server
    finally:
        server.kill()


def try_start(folder: Path, arguments: Sequence[str]) -> tuple[int, str]:
    """Starts a server that is expected to refuse, and returns its status and the end of what it wrote.

    One that becomes ready instead is killed, and its status is 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log, port_file = folder / "refusal.log", folder / "port"
    port_file.unlink(missing_ok=True)
    command = [*_command(("server",), port_file), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        while process.poll() is None and not port_file.exists():
            time.sleep(0.02)
        return (0 if process.returncode is None else process.returncode), read_tail(log)
    finally:
        process.kill()
        process.wait(timeout=END_S_MAX)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port_file: Path, log: Path) -> str:
    """Waits for the port, which a server writes once it is ready; a port with TLS tells nothing else."""
    deadline_s = time.monotonic() + START_S_MAX
    while not (port_file.is_file() and (port := port_file.read_text(encoding="ascii").strip())):
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise ServerStartError(f"the server is not ready, status {process.returncode}:\n{read_tail(log)}")
        time.sleep(0.01)
    return f"127.0.0.1:{port}"


def _command(program: Sequence[str], port_file: Path, port: int = 0) -> list[str]:
    return [sys.executable, "-m", *program, "--port", str(port), "--port-file", str(port_file)]
