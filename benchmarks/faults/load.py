"""Sends streams of calls in an open loop from processes of their own, and tells how each call ended.

Every call has its time beforehand, and its latency counts from then: a server that stalls cannot slow down
those who ask it. The generator takes part of the machine's cores; how late it sent is told beside the rest.
"""

import multiprocessing
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError, LoadClientError
from benchmarks.faults.calls import Calls, CpuTimes, merge_calls
from benchmarks.faults.load_client import Stream, run_streams

CLIENT_COUNT_MAX: Final = 16
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
CPU_INTERVAL_S: Final = 0.1
LEAD_S: Final = 0.3
"""From when every client is connected to the first instant of the run."""
START_TIMEOUT_S: Final = 60.0
LATE_TIMEOUT_S: Final = 60.0
"""How long after the last call's deadline a client may take to report."""


@dataclass(frozen=True)
class Load:
    """What is sent to one server.

    Attributes:
        target: `host:port`; loopback only, since servers are overloaded on purpose.
        streams: the calls.
        client_count: processes that share every stream.
        seed: draws times, requests, deadlines and cancellations.
    """

    target: str
    streams: tuple[Stream, ...]
    client_count: int = 2
    seed: int = 1

    def __post_init__(self) -> None:
        if self.target.rpartition(":")[0] not in LOOPBACK_HOSTS:
            raise BenchmarkInputError(
                f"target is {self.target!r}; expected a port on {', '.join(LOOPBACK_HOSTS)}"
            )
        if not 1 <= self.client_count <= CLIENT_COUNT_MAX:
            raise BenchmarkInputError(
                f"client_count is {self.client_count}; expected 1 to {CLIENT_COUNT_MAX}"
            )
        if not self.streams or len({stream.name for stream in self.streams}) < len(self.streams):
            raise BenchmarkInputError("streams: expected at least one, each with a name of its own")

    @property
    def duration_s(self) -> float:
        """From the start to the last intended send."""
        return max(stream.stop_s for stream in self.streams)


@dataclass(frozen=True)
class LoadOutcome:
    """What became of a load.

    Attributes:
        calls: by stream.
        cpu: of the server under load; None where its process was not named.
    """

    calls: dict[str, Calls]
    cpu: CpuTimes | None


@dataclass
class RunningLoad:
    """A load that is being sent; faults are injected meanwhile.

    Attributes:
        start_s: instant of time.monotonic() that the streams' times count from.
        outcome: there once the block has ended.
    """

    start_s: float
    outcome: LoadOutcome | None = None

    def sleep_until(self, offset_s: float) -> None:
        """Waits until so many seconds of the run have passed."""
        time.sleep(max(0.0, self.start_s + offset_s - time.monotonic()))


def run_load(load: Load, server_pid: int | None = None) -> LoadOutcome:
    """Sends a load to its end.

    Args:
        load: what to send.
        server_pid: whose CPU time to watch; None for nobody's.

    Raises:
        LoadClientError: a client process failed or did not report in time.
    """
    with running_load(load, server_pid) as running:
        pass
    assert running.outcome is not None
    return running.outcome


@contextmanager
def running_load(load: Load, server_pid: int | None = None) -> Iterator[RunningLoad]:
    """Sends a load while the block runs, and waits at its end until all of it was sent and has ended.

    Raises:
        LoadClientError: a client process failed or did not report in time.
    """
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork.
    reports: Queue[dict[str, Calls]] = context.Queue()
    ready, start = context.Barrier(load.client_count + 1), context.Value("d", 0.0)
    clients: list[BaseProcess] = [
        context.Process(
            target=run_streams,
            args=(load.target, load.streams, (load.seed, client, load.client_count), ready, start, reports),
            daemon=True,
        )
        for client in range(load.client_count)
    ]
    for client in clients:
        client.start()
    try:
        _wait_until_connected(ready, clients)
        running = RunningLoad(time.monotonic() + LEAD_S)
        start.value = running.start_s
        with _CpuWatch(server_pid, running.start_s) as watch:
            ready.wait(timeout=START_TIMEOUT_S)
            yield running
            found = _collect(load, running.start_s, clients, reports)
        calls = {
            stream.name: merge_calls([report[stream.name] for report in found]) for stream in load.streams
        }
        running.outcome = LoadOutcome(calls, watch.times())
    finally:
        for client in clients:
            client.join(timeout=5.0)
            if client.is_alive():
                client.kill()


def read_cpu_s(pid: int) -> float:
    """Returns the CPU seconds of a process and of its living children; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # The second field is the program's name in brackets, which may hold blanks.
    user, system = status.rpartition(")")[2].split()[11:13]
    own_s = (int(user) + int(system)) / _TICKS_PER_S
    return own_s + sum(read_cpu_s(int(child)) for child in below)


_TICKS_PER_S: Final = 100
"""Of /proc on every Linux (USER_HZ)."""


@dataclass
class _CpuWatch:
    """Reads a process' CPU time again and again while the block runs."""

    pid: int | None
    start_s: float
    _times: list[tuple[float, float]] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "_CpuWatch":
        if self.pid is not None:
            self._thread = threading.Thread(target=self._watch, args=(self.pid,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self, pid: int) -> None:
        last = False
        while not last:
            last = self._ended.wait(CPU_INTERVAL_S)
            self._times.append((time.monotonic() - self.start_s, read_cpu_s(pid)))

    def times(self) -> CpuTimes | None:
        if not self._times:
            return None
        table: NDArray[np.float64] = np.array(self._times)
        return CpuTimes(table[:, 0], table[:, 1])


def _wait_until_connected(ready: "threading.Barrier", clients: Sequence[BaseProcess]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while ready.n_waiting < len(clients):
        failed = [client.exitcode for client in clients if client.exitcode is not None]
        if failed:
            raise LoadClientError(f"a client process ended with status {failed[0]} before sending")
        if time.monotonic() > deadline_s:
            raise LoadClientError(f"client processes were not connected within {START_TIMEOUT_S:.0f} s")
        time.sleep(0.01)


def _collect(
    load: Load, start_s: float, clients: Sequence[BaseProcess], reports: "Queue[dict[str, Calls]]"
) -> list[dict[str, Calls]]:
    patience_s = max(stream.timeout_s[1] for stream in load.streams) + LATE_TIMEOUT_S
    deadline_s = start_s + load.duration_s + patience_s
    found: list[dict[str, Calls]] = []
    while len(found) < len(clients):
        try:
            found.append(reports.get(timeout=0.2))
        except queue.Empty:
            failed = [client.exitcode for client in clients if client.exitcode]
            if failed or time.monotonic() > deadline_s:
                status = f"ended with status {failed[0]}" if failed else "did not report in time"
                raise LoadClientError(f"a client process {status}") from None
    return found
