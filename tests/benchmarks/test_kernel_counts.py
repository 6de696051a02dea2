"""The callgrind driver runs every case, and what callgrind says of two runs is made into counts per unit."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.kernel import __main__ as command
from benchmarks.kernel.counts import CASES, SCAN_PATHS, Case, build_driver, count_case
from server import native

CASE = Case("select", "-", "select", "candidate")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture
def make_valgrind(tmp_path: Path) -> Callable[[str], str]:
    """Returns a stand-in for valgrind: a script that is given callgrind's arguments."""

    def make(script: str) -> str:
        path = tmp_path / "valgrind"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return make


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.path}")
def test_the_driver_runs_every_case_that_this_machine_has(driver: Path, case: Case) -> None:
    command_line = [str(driver), case.name, case.path, "1"]
    done = subprocess.run(command_line, check=False, capture_output=True, text=True)
    missing = case.path in SCAN_PATHS and case.path not in native.available_paths()
    assert done.returncode == (3 if missing else 0), done.stderr
    assert missing or int(done.stdout) > 0


def test_every_path_of_the_scan_is_asked_for() -> None:
    assert native.SCAN_PATHS in {SCAN_PATHS, ("portable",)}


def test_what_more_repeats_take_is_counted_for_each_unit(
    make_valgrind: Callable[[str], str], tmp_path: Path
) -> None:
    # 1,000 instructions of preparation and 70 for each repeat of 10 units.
    valgrind = make_valgrind('echo "summary: $((1000 + 70 * $6))" > "${2#*=}"; echo 10')
    count = count_case(valgrind, tmp_path / "driver", CASE)
    assert count.instructions == 7.0
    assert count.note == "30 units"


def test_a_path_that_valgrind_lacks_is_not_run(make_valgrind: Callable[[str], str], tmp_path: Path) -> None:
    count = count_case(make_valgrind("exit 3"), tmp_path / "driver", CASE)
    assert (count.instructions, count.note) == (None, "valgrind has no -")


@pytest.mark.parametrize("script", ["echo broken >&2; exit 1", "echo 10"])
def test_a_failed_run_is_an_error_and_no_count(
    make_valgrind: Callable[[str], str], tmp_path: Path, script: str
) -> None:
    with pytest.raises(BenchmarkInputError, match="select: valgrind ended with"):
        count_case(make_valgrind(script), tmp_path / "driver", CASE)


def test_without_valgrind_it_says_so_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "find_valgrind", lambda: None)
    assert command.main(["--out", str(tmp_path)]) == 2
    assert capsys.readouterr().out == "valgrind is not installed: nothing was counted\n"
    assert list(tmp_path.iterdir()) == []
