"""Counts the kernel's instructions: a driver compiled from its headers, run under callgrind."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.errors import BenchmarkInputError
from benchmarks.machine import ROOT

KERNEL: Final = ROOT / "server" / "kernel"
DRIVER: Final = Path(__file__).with_name("driver.cpp")
SCAN_PATHS: Final = ("avx512vnni", "avx2", "sse2", "portable")
NOT_RUN: Final = "not run"

_FLAGS: Final = ("-std=c++17", "-O3", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
_MISSING_PATH: Final = 3
_REPEATS: Final = (1, 4)
_TIMEOUT_S: Final = 300
_SUMMARY: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One part of the kernel, as the driver names it.

    Attributes:
        name: what the driver runs.
        path: instructions it uses: a path of the scan, or "-" where the kernel chooses for itself.
        title: for people.
        unit: what is counted for.
    """

    name: str
    path: str
    title: str
    unit: str


@dataclass(frozen=True)
class Count:
    """What one case takes.

    Attributes:
        case: the case.
        instructions: for each unit; None where it was not run.
        note: why it was not run, or how many units were counted.
    """

    case: Case
    instructions: float | None
    note: str


CASES: Final = (
    *(Case("scan-1", path, "scan, one user", "item") for path in SCAN_PATHS),
    *(Case("scan-32", path, "scan, batch of 32", "item and user") for path in SCAN_PATHS),
    Case("rescore", "-", "re-score", "candidate"),
    Case("select", "-", "select 20 of 200", "candidate"),
    Case("gate-suits", "-", "gate, product suits", "pair"),
    Case("gate-unsuitable", "-", "gate, nearly every predicate denies", "pair"),
    Case("gate-counts", "-", "gate, counts over a catalogue", "product"),
)


def find_valgrind() -> str | None:
    """Returns where valgrind is, or None."""
    return shutil.which("valgrind")


def build_driver(directory: Path) -> Path:
    """Compiles the driver into a directory.

    Raises:
        BenchmarkInputError: there is no compiler, or it refuses the headers.
    """
    compiler = shutil.which("c++")
    if compiler is None:
        raise BenchmarkInputError("expected a C++ compiler named c++, found none")
    program = directory / "driver"
    command = [compiler, *_FLAGS, f"-I{KERNEL}", str(DRIVER), "-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
    if done.returncode != 0:
        raise BenchmarkInputError(f"the driver does not compile:\n{done.stderr[-2000:]}")
    return program


def count_case(valgrind: str, program: Path, case: Case) -> Count:
    """Counts one case: what more repeats take, for each unit.

    Raises:
        BenchmarkInputError: the driver or valgrind failed.
    """
    totals = []
    for repeats in _REPEATS:
        found = _run(valgrind, program, case, repeats)
        if found is None:
            return Count(case, None, f"valgrind has no {case.path}")
        totals.append(found)
    (first, units), (last, _) = totals
    more = units * (_REPEATS[1] - _REPEATS[0])
    return Count(case, (last - first) / more, f"{more:,} units")


def _run(valgrind: str, program: Path, case: Case, repeats: int) -> tuple[int, int] | None:
    """Returns the instructions of a run and the units of one repeat; None where the path is missing."""
    out = program.with_name("callgrind.out")
    command = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", str(program)]
    command += [case.name, case.path, str(repeats)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)  # noqa: S603
    if done.returncode == _MISSING_PATH:
        return None
    found = _SUMMARY.search(out.read_text(encoding="utf-8")) if out.is_file() else None
    if done.returncode != 0 or found is None:
        raise BenchmarkInputError(
            f"{case.name}: valgrind ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    return int(found.group(1)), int(done.stdout)
