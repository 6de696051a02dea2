"""The benchmark of several processes: it reads all of them, and counts what they share once."""

import io
import os
from pathlib import Path

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
    # Of supervisor and two processes, the busiest can take neither nothing nor less than a third.
    assert 1 / 3 <= run.busiest_share <= 1
    assert run.memory.whole == pytest.approx(run.memory.own + run.memory.files, rel=0.05)


def test_a_process_is_read_with_its_own_time_and_memory() -> None:
    assert list_processes(os.getpid())[0] == os.getpid()
    assert read_cpu_s(os.getpid()) > 0
    assert read_memory([os.getpid()]).whole > 10


def test_the_table_shows_medians_by_number_of_processes() -> None:
    runs = [
        Run(count, speed, 1.0, 1.0, 1.0, 1.0, 0, 1.0, 1.0, Memory(1.0, 1.0, 1.0))
        for count, speed in ((1, 10.0), (2, 30.0), (1, 20.0), (2, 50.0), (1, 90.0))
    ]
    told = io.StringIO()
    Console(width=200, file=told).print(make_table(runs))
    assert " 20 " in told.getvalue()
    assert " 40 " in told.getvalue()
