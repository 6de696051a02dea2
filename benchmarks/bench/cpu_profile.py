"""Says where the CPU of a request goes: `python -m benchmarks.bench profile`.

Threads are told apart by the kernel's own clock of each, functions by samples of py-spy, which has to be
installed beside us; it is no dependency of ours.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import grpc
from rich.console import Console
from rich.table import Table

from benchmarks.bench.report import WIDTH
from benchmarks.bench.scene import open_scene
from benchmarks.demo.measure import make_pool
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.load.driver import run_load
from benchmarks.load.plan import LoadPlan
from benchmarks.machine import describe_machine
from benchmarks.serving import run_server

CALLER_COUNT: Final = 8
SAMPLES_PER_S: Final = 200
SHOWN_COUNT: Final = 25
K: Final = 10
NAME: Final = "bench-profile"
CORE: Final = "gRPC's and other libraries' own"
"""Threads that never run Python."""

_STACK: Final = re.compile(r"^thread [^;]*;(?P<frames>.*) (?P<count>\d+)$")
_LINE: Final = re.compile(r":\d+\)$")
_THREAD: Final = re.compile(r'^Thread (?P<id>\d+) \([^)]*\): "(?P<name>[^"]*)"', re.MULTILINE)
_NUMBER: Final = re.compile(r"[_-]\d+( \(.*\))?$")


@dataclass(frozen=True)
class Stack:
    """Samples of one stack: functions from the outermost to the innermost."""

    functions: tuple[str, ...]
    count: int


def main(arguments: Sequence[str]) -> int:
    """Profiles a server; returns 0, 1 with a message on stderr, or 2 where py-spy is not installed."""
    options = _parser().parse_args(arguments)
    errors = Console(stderr=True, soft_wrap=True)
    tool = shutil.which(options.py_spy)
    if tool is None:
        errors.print(
            f"py-spy: not found as {options.py_spy}; pip install py-spy, or say --py-spy", markup=False
        )
        return 2
    try:
        _run(options, tool, Console(highlight=False, width=WIDTH))
    except (BenchmarkError, grpc.RpcError) as error:
        errors.print(f"{type(error).__name__}: {error}", markup=False)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench profile", description=__doc__)
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts/simulated"), help="what the demonstration made"
    )
    parser.add_argument("--products", type=int, help="products of a larger catalogue, as of the benchmark")
    parser.add_argument("--out", type=Path, default=Path("artifacts/bench"), help="directory for the result")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each of two load runs")
    parser.add_argument("--py-spy", default="py-spy", help="name or path of py-spy")
    return parser


def _run(options: argparse.Namespace, tool: str, console: Console) -> None:
    scene = open_scene(options.artifacts, options.products, console)
    requests = make_pool(scene.dataset, k=K, domain="both", seed=1)
    with run_server(scene.make_plan(), scene.log) as server:
        plan = LoadPlan(server.target, requests, "closed", concurrency=CALLER_COUNT, client_count=2, seed=1)
        run_load(replace(plan, duration_s=2.0))  # Warms up.
        before = read_thread_cpu(server.pid)
        load = run_load(replace(plan, duration_s=options.seconds))
        after = read_thread_cpu(server.pid)
        stacks = _sample(tool, server.pid, replace(plan, duration_s=options.seconds))
        names = _read_names(tool, server.pid)
    used = {thread: cpu_s - before.get(thread, 0.0) for thread, cpu_s in after.items()}
    lines = (
        describe_machine().line,
        f"{CALLER_COUNT} callers, {load.answered_count} requests at {load.requests_per_s:,.0f} a second, "
        f"{load.server_cpu_us_per_request:,.0f} us of the server's CPU each",
        "python -m benchmarks.bench profile; who lost the core while holding the lock is sampled, too",
    )
    tables = (
        _tabulate(
            "CPU by thread, us a request",
            [(name, f"{cpu_s / load.answered_count * 1e6:,.0f}") for name, cpu_s in sum_threads(used, names)],
        ),
        _tabulate(
            "Functions that hold Python's lock, % of the samples: itself", _show(count_self(stacks), stacks)
        ),
        _tabulate("The same, with all that it calls", _show(count_inclusive(stacks), stacks)),
    )
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / f"{NAME}{scene.suffix}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=WIDTH, highlight=False)):
            for line in lines:
                target.print(line, markup=False, soft_wrap=True)
            for table in tables:
                target.print(table)


def _sample(tool: str, pid: int, plan: LoadPlan) -> list[Stack]:
    """Samples the server during a load run, a little shorter than it."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "stacks"
        rate, duration_s = str(SAMPLES_PER_S), str(max(1, int(plan.duration_s) - 1))
        command = [tool, "record", "--gil", "-t", "-f", "raw", "-r", rate, "-d", duration_s, "-o", str(path)]
        process = subprocess.Popen(  # noqa: S603
            [*command, "-p", str(pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            run_load(plan)
            output, _ = process.communicate(timeout=30.0)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0 or not path.is_file():
            raise BenchmarkInputError(f"py-spy ended with status {process.returncode}: {output.strip()}")
        return read_stacks(path.read_text(encoding="utf-8").splitlines())


def _read_names(tool: str, pid: int) -> dict[int, str]:
    done = subprocess.run(  # noqa: S603
        [tool, "dump", "-p", str(pid)], capture_output=True, text=True, timeout=30.0, check=False
    )
    if done.returncode != 0:
        raise BenchmarkInputError(f"py-spy ended with status {done.returncode}: {done.stderr.strip()}")
    return read_thread_names(done.stdout)


def read_stacks(lines: Iterable[str]) -> list[Stack]:
    """Reads what py-spy writes with `-t -f raw`: a stack and its number of samples on each line."""
    stacks = []
    for line in lines:
        found = _STACK.match(line)
        if found is not None:
            functions = tuple(_LINE.sub(")", frame) for frame in found["frames"].split(";"))
            stacks.append(Stack(functions, int(found["count"])))
    return stacks


def read_thread_cpu(pid: int) -> dict[int, float]:
    """Returns the CPU seconds of each of a process's threads, as Linux counts them."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue  # The thread has ended meanwhile.
    return found


def read_thread_names(text: str) -> dict[int, str]:
    """Reads the threads' names, without their numbers, from what `py-spy dump` writes."""
    return {int(found["id"]): _NUMBER.sub("", found["name"]) for found in _THREAD.finditer(text)}


def sum_threads(used_s: Mapping[int, float], names: Mapping[int, str]) -> list[tuple[str, float]]:
    """Sums CPU seconds by thread to those of all threads of a kind, the most first."""
    totals: defaultdict[str, float] = defaultdict(float)
    for thread, cpu_s in used_s.items():
        totals[names.get(thread, CORE)] += cpu_s
    return sorted(totals.items(), key=lambda entry: -entry[1])


def count_self(stacks: Iterable[Stack]) -> Counter[str]:
    """Counts the samples in which a function was the innermost."""
    counts: Counter[str] = Counter()
    for stack in stacks:
        counts[stack.functions[-1]] += stack.count
    return counts


def count_inclusive(stacks: Iterable[Stack]) -> Counter[str]:
    """Counts the samples in which a function was anywhere on the stack; a recursive one counts once."""
    counts: Counter[str] = Counter()
    for stack in stacks:
        for function in set(stack.functions):
            counts[function] += stack.count
    return counts


def _show(counts: Counter[str], stacks: Sequence[Stack]) -> list[tuple[str, str]]:
    total = sum(stack.count for stack in stacks)
    return [(name, f"{100 * count / total:.1f}") for name, count in counts.most_common(SHOWN_COUNT)]


def _tabulate(title: str, rows: Sequence[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    return table
