"""The benchmark of several processes: it reads all of them, and counts what they share once."""

import io
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from rich.console import Console

from benchmarks.messages import make_recommend, make_user
from benchmarks.processes.__main__ import make_table
from benchmarks.processes.measure import Memory, Run, list_processes, measure_run, read_cpu_s, read_memory
from benchmarks.serving import ServerPlan


def test_a_server_of_two_processes_is_read_as_a_whole(tiny_bundles: Path, tmp_path: Path) -> None:
    request = make_recommend(make_user("nobody"), domain="both", k=1).SerializeToString()
    run = measure_run(ServerPlan(tiny_bundles), (request,), 2, 0.3, tmp_path / "log")
    assert run.answers_per_s > 0
    assert run.cpu_us > 0
    assert run.memory.whole == pytest.approx(run.memory.own + run.memory.files, rel=0.05)


def test_the_time_of_another_process_is_what_it_says_itself() -> None:
    program = "import sys, time\nfor _ in sys.stdin: print(time.process_time(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", program], stdin=PIPE, stdout=PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert list_processes(os.getpid()).count(process.pid) == 1
        for _ in range(3):
            before_s = read_cpu_s(process.pid)
            process.stdin.write("now\n")
            process.stdin.flush()
            told_s = float(process.stdout.readline())
            assert 0 < before_s <= told_s <= read_cpu_s(process.pid)


def test_memory_that_a_process_takes_is_its_own() -> None:
    before = read_memory([os.getpid()])
    taken = bytearray(b"1") * (64 << 20)
    after = read_memory([os.getpid()])
    assert after.own - before.own == pytest.approx(len(taken) / 2**20, abs=8)
    assert read_memory([os.getpid()] * 2).whole == pytest.approx(2 * after.whole, rel=0.05)


def test_the_table_shows_medians_by_number_of_processes() -> None:
    runs = [
        Run(count, speed, 1.0, 1.0, 1.0, 1.0, 0, 1.0, 1.0, Memory(1.0, 1.0, 1.0))
        for count, speed in ((1, 10.0), (2, 30.0), (1, 20.0), (2, 50.0), (1, 90.0))
    ]
    told = io.StringIO()
    Console(width=200, file=told).print(make_table(runs))
    assert " 20 " in told.getvalue()
    assert " 40 " in told.getvalue()
