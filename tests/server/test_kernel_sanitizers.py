"""The kernel reads nothing that is not its own and does nothing undefined, says the compiler's own checker.

A machine without the compiler or the sanitizers' libraries fails here: the project needs a C++ compiler
anyway, and a check that skips itself is none.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from server import native

TESTS = Path(__file__).resolve().parent
KERNEL = TESTS.parent.parent / "server" / "kernel"
FLAGS = (
    *("-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-omit-frame-pointer"),
    *("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compilers = [found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))]
    assert compilers, "a C++17 compiler is needed: none of c++, g++, clang++ was found"
    target = tmp_path_factory.mktemp("kernel") / "kernel_cases"
    command = [compilers[0], *FLAGS, "-I", str(KERNEL), str(TESTS / "kernel_cases.cpp"), "-o", str(target)]
    built = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert built.returncode == 0, f"no program with AddressSanitizer and UBSan came out:\n{built.stderr}"
    return target


def run(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(program), *arguments], check=False, capture_output=True, text=True, timeout=240
    )


def test_random_cases_are_clean_and_equal_on_every_path(program: Path) -> None:
    done = run(program)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [
        f"{path}: {'equal' if path in native.available_paths() else 'not on this machine'}"
        for path in native.SCAN_PATHS
    ]
    assert done.stdout.splitlines() == lines


def test_the_sanitizer_finds_a_read_past_the_end(program: Path) -> None:
    done = run(program, "too-far")
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
