"""Drives a server of one or several processes, and reads the memory and CPU time of all of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.load.driver import run_load
from benchmarks.load.plan import LoadPlan
from benchmarks.serving import ServerPlan, run_server

CALLER_COUNT: Final = 16
CLIENT_COUNT: Final = 8
"""Client processes: the kernel spreads connections over the server's processes, and each has one."""
WARM_S: Final = 2.0
_WHOLE_PROCESS: Final = 2
"""Of the clocks of a process: the nanoseconds that all its threads ran, those that ended included."""


@dataclass(frozen=True)
class Memory:
    """Proportional set sizes, in MiB: what several processes share is counted once over all of them."""

    whole: float
    own: float  # Anonymous: heaps, stacks.
    files: float  # Mapped files: the bundle, libraries.


@dataclass(frozen=True)
class Run:
    """What one server reached.

    Attributes:
        process_count: processes that serve, without their supervisor.
        answers_per_s: of a closed loop.
        cpu_us: CPU microseconds of all processes for an answer.
        cores: CPU seconds of all processes in a second.
        latency_ms_p50, latency_ms_p99: of answers.
        error_count: calls that failed, or were refused because too many came.
        busiest_share: part of the CPU time that the busiest process took.
        ready_s: from start to ready.
        memory: of all processes, the supervisor included, after the load.
    """

    process_count: int
    answers_per_s: float
    cpu_us: float
    cores: float
    latency_ms_p50: float
    latency_ms_p99: float
    error_count: int
    busiest_share: float
    ready_s: float
    memory: Memory


def measure_run(plan: ServerPlan, requests: tuple[bytes, ...], count: int, seconds: float, log: Path) -> Run:
    """Serves with `count` processes and drives them as fast as they answer."""
    own = replace(plan, options=(*plan.options, "--processes", str(count)))
    with run_server(own, log) as server:
        load = LoadPlan(
            server.target,
            requests,
            "closed",
            concurrency=CALLER_COUNT,
            client_count=CLIENT_COUNT,
            duration_s=WARM_S,
        )
        run_load(load)
        pids = list_processes(server.pid)
        before, start_s = [read_cpu_s(pid) for pid in pids], time.monotonic()
        found = run_load(replace(load, duration_s=seconds))
        used = [read_cpu_s(pid) - cpu_s for pid, cpu_s in zip(pids, before, strict=True)]
        elapsed_s = time.monotonic() - start_s
        return Run(
            process_count=count,
            answers_per_s=found.requests_per_s,
            cpu_us=sum(used) * 1e6 / found.answered_count,
            # Clients take a moment to start, in which nothing is asked.
            cores=sum(used) / min(elapsed_s, found.elapsed_s),
            latency_ms_p50=found.latency_ms_p50,
            latency_ms_p99=found.latency_ms_p99,
            error_count=found.error_count,
            busiest_share=max(used) / sum(used),
            ready_s=server.ready_s,
            memory=read_memory(pids),
        )


def list_processes(pid: int) -> list[int]:
    """Returns a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [pid, *map(int, children.split())]


def read_cpu_s(pid: int) -> float:
    """Returns the CPU seconds that a process has used, by the clock that it reads itself.

    /proc counts ticks of 10 ms, which is coarse for a short run. Source: glibc, clock_getcpuclockid(3), which
    Python does not have.
    """
    return time.clock_gettime((~pid << 3) | _WHOLE_PROCESS)


def read_memory(pids: Sequence[int]) -> Memory:
    """Adds up the proportional memory of processes."""
    sums = {"Pss": 0, "Pss_Anon": 0, "Pss_File": 0}
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in sums:
                sums[name] += int(rest.split()[0])
    return Memory(sums["Pss"] / 1024, sums["Pss_Anon"] / 1024, sums["Pss_File"] / 1024)
