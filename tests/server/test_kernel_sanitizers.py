"""The kernel reads nothing that is not its own and does nothing undefined, says the compiler's own checker.

A machine without the compiler or the sanitizers' libraries fails here: the project needs a C++ compiler
anyway, and a check that skips itself is none.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from server import native

TESTS = Path(__file__).resolve().parent
KERNEL = TESTS.parent.parent / "server" / "kernel"
FLAGS = (
    *("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)
SOURCES = {"scan": "kernel_cases.cpp", "list": "kernel_list_cases.cpp", "gate": "kernel_gate_cases.cpp"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """A program for each part of the kernel."""
    compilers = [found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))]
    assert compilers, "a C++17 compiler is needed: none of c++, g++, clang++ was found"
    directory = tmp_path_factory.mktemp("kernel")

    def build(part: str) -> Path:
        source, target = TESTS / SOURCES[part], directory / part
        command = [compilers[0], *FLAGS, "-I", str(KERNEL), str(source), "-o", str(target)]
        built = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
        assert built.returncode == 0, f"no program with AddressSanitizer and UBSan came out:\n{built.stderr}"
        return target

    with ThreadPoolExecutor(2) as threads:
        return dict(zip(SOURCES, threads.map(build, SOURCES), strict=True))


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], check=False, capture_output=True, text=True, timeout=240
    )


def test_random_scans_are_clean_and_equal_on_every_path(programs: Mapping[str, Path]) -> None:
    done = run(programs["scan"])
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [
        f"{path}: {'equal' if path in native.available_paths() else 'not on this machine'}"
        for path in native.SCAN_PATHS
    ]
    assert done.stdout.splitlines() == lines


def test_random_lists_are_clean_and_equal_in_every_version(programs: Mapping[str, Path]) -> None:
    done = run(programs["list"])
    assert done.returncode == 0, done.stdout + done.stderr
    avx2 = "equal" if "avx2" in native.available_paths() else "not on this machine"
    x86 = [f"avx2: {avx2}"] if "sse2" in native.SCAN_PATHS else []
    assert done.stdout.splitlines() == [*x86, "portable: equal"]


def test_random_pairs_are_judged_cleanly_and_bad_ones_refused(programs: Mapping[str, Path]) -> None:
    done = run(programs["gate"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "equal\n"


@pytest.mark.parametrize("part", SOURCES)
def test_the_sanitizer_finds_a_read_past_the_end(programs: Mapping[str, Path], part: str) -> None:
    done = run(programs[part], "too-far")
    assert done.returncode != 0
    assert "ERROR: AddressSanitizer" in done.stderr
