"""Mutation of the gate's C++: it is compiled with a fault in it and judges a dump of packed records."""

import importlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.machine import ROOT
from benchmarks.suitability.batches import Batch, open_gate, put_under_overlay
from benchmarks.suitability.python_mutants import Mutant

KERNEL: Final = "server/kernel"
GATE_HEADER: Final = f"{KERNEL}/gate.hpp"
HARNESS: Final = Path(__file__).with_name("gate_harness.cpp")
COMPILE_TIMEOUT_S: Final = 3600
"""It takes a second, on a busy machine much longer; a slow compiler is no fault that was noticed."""


def write_dump(batches: Sequence[Batch], path: Path) -> None:
    """Writes packed records, pairs and expected masks for the harness: blocks of a count and its items."""
    join_users = importlib.import_module("server.user_record").join_users
    with path.open("wb") as file:
        for batch in batches:
            gate, users = open_gate(batch)
            arrays = join_users([user.arrays for user in users])
            _write_batch(file, gate, arrays, batch, batch.expected)
            put_under_overlay(gate, batch)
            _write_batch(file, gate, arrays, batch, batch.under_overlay)


def _write_batch(file: BinaryIO, gate: Any, arrays: Any, batch: Batch, expected: NDArray[np.uint64]) -> None:
    live = gate._live  # What the kernel is given; it has no other reader outside the gate.
    user_of_pair, rows = batch.user_of_pair[: len(expected)], batch.rows[: len(expected)]
    blocks = (
        *(gate.columns.records, gate.columns.sets.words.reshape(-1), gate.columns.sets.starts),
        *(arrays.records, arrays.sets.reshape(-1), arrays.held_issuers, arrays.held_groups),
        *(live.halted, np.array([live.level_cap], np.int64), user_of_pair, rows, expected),
    )
    for block in blocks:
        file.write(struct.pack("<Q", len(block)) + np.ascontiguousarray(block).tobytes())


def native_notices(dump: Path, mutant: Mutant) -> bool:
    """Compiles the kernel's headers with the mutant among them and judges the dump."""
    with tempfile.TemporaryDirectory() as folder:
        build = Path(folder)
        for header in (ROOT / KERNEL).glob("*.hpp"):
            shutil.copy(header, build)
        (build / Path(mutant.path).name).write_text(mutant.source, encoding="utf-8")
        program = compile_harness(build)
        # What cannot be compiled is no fault that could be shipped.
        return program is None or subprocess.run([program, dump], check=False).returncode != 0  # noqa: S603


def compile_harness(headers: Path) -> Path | None:
    """Compiles the harness against headers, into their folder; None where they cannot be compiled.

    Raises:
        BenchmarkInputError: there is no compiler.
    """
    compiler = shutil.which("c++")
    if compiler is None:
        raise BenchmarkInputError("expected a C++ compiler named c++, found none")
    program = headers / "harness"
    command = [compiler, "-std=c++17", "-O0", "-w", f"-I{headers}", str(HARNESS), "-o", str(program)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=COMPILE_TIMEOUT_S)  # noqa: S603
    return program if done.returncode == 0 else None
