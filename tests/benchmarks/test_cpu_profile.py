"""What py-spy and the kernel say is summed by thread and by function."""

import os
from pathlib import Path

import pytest

from benchmarks.bench.cpu_profile import (
    CORE,
    Stack,
    count_inclusive,
    count_self,
    main,
    read_stacks,
    read_thread_cpu,
    read_thread_names,
    sum_threads,
)

STACKS = [
    Stack(("run (a.py)", "walk (b.py)", "walk (b.py)"), 3),
    Stack(("run (a.py)",), 2),
    Stack(("run (a.py)", "walk (b.py)"), 4),
]


def test_stacks_are_read_without_their_lines() -> None:
    lines = ["thread (7): rpc_0;run (a.py:12);walk (b.py:3);walk (b.py:4) 3", "no stack"]
    assert read_stacks(lines) == STACKS[:1]


def test_threads_of_a_kind_are_summed_and_the_rest_are_libraries() -> None:
    lines = [
        'Thread 7 (active): "rpc_0"',
        "    run (a.py:1)",
        'Thread 8 (idle): "rpc_12"',
        'Thread 9 (idle): "compute"',
    ]
    used = {7: 1.0, 8: 2.0, 9: 4.0, 10: 0.5}
    assert sum_threads(used, read_thread_names("\n".join(lines))) == [
        ("compute", 4.0),
        ("rpc", 3.0),
        (CORE, 0.5),
    ]


def test_a_function_counts_itself_and_once_with_what_it_calls() -> None:
    assert count_self(STACKS) == {"walk (b.py)": 7, "run (a.py)": 2}
    assert count_inclusive(STACKS) == {"run (a.py)": 9, "walk (b.py)": 7}


def test_the_cpu_of_our_own_threads_is_read() -> None:
    assert read_thread_cpu(os.getpid())[os.getpid()] > 0.0


def test_without_py_spy_the_profile_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--py-spy", str(tmp_path / "py-spy")]) == 2
    assert "py-spy: not found" in capsys.readouterr().err
