"""Mutation of the gate: its C++ against a dump of packed records, its packing against the battery."""

import importlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.machine import ROOT
from benchmarks.suitability.battery import Battery, Case
from benchmarks.suitability.mutation import imported
from benchmarks.suitability.python_mutants import Mutant
from suitability.codes import CODES_BY_NUMBER, code_mask, codes_of_mask
from suitability.errors import PolicyError

KERNEL: Final = "server/kernel"
GATE_HEADER: Final = f"{KERNEL}/gate.hpp"
PACKING_FILES: Final = ("server/columns.py", "server/set_bits.py", "server/user_record.py", "server/gate.py")
HARNESS: Final = Path(__file__).with_name("gate_harness.cpp")
COMPILE_TIMEOUT_S: Final = 50
BATCH_CASE_COUNT: Final = 500
OVERLAY_CASE_COUNT: Final = 60
OVERLAY: Final = {
    "schema": "suitability-overlay/1",
    "sequence": 1,
    "reason": "an emergency",
    "halted_products": ["x3", "x1", "x0002"],
    "halted_issuers": ["issuer 0", "issuer 2"],
    "level_cap": 1,
}
_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True)
class Batch:
    """Cases under one policy: case i is user i against product i."""

    policy: Mapping[str, Any]
    cases: tuple[Case, ...]
    expected: NDArray[np.uint64]  # [cases, 2]


def make_batches(battery: Battery) -> list[Batch]:
    """Groups the cases that the gate takes: records are mappings, policies well formed, clocks are clocks."""
    groups: dict[str, list[Case]] = {}
    for case in battery.cases:
        if _can_be_served(case) and _is_well_formed(battery.policies[case.policy]):
            groups.setdefault(case.policy, []).append(case)
    parts = [
        (name, tuple(cases[start : start + BATCH_CASE_COUNT]))
        for name, cases in groups.items()
        for start in range(0, len(cases), BATCH_CASE_COUNT)
    ]
    # The largest come first: most cases, so most faults are noticed at once.
    parts.sort(key=lambda part: -len(part[1]))
    return [Batch(battery.policies[name], cases, _masks_of(cases)) for name, cases in parts]


def _can_be_served(case: Case) -> bool:
    records = all(type(each) in (dict, MappingProxyType) for each in (case.user, case.product))
    return records and isinstance(case.now, datetime) and isinstance(case.channel, str)


def _is_well_formed(policy: Mapping[str, Any]) -> bool:
    try:
        importlib.import_module("suitability.policy").load_policy(policy)
    except PolicyError:
        return False
    return True


def _masks_of(cases: Sequence[Case]) -> NDArray[np.uint64]:
    masks = np.empty((len(cases), 2), np.uint64)
    for row, case in enumerate(cases):
        number = code_mask(case.codes)
        masks[row] = number & _WORD, number >> 64
    return masks


def packing_notices(batches: Sequence[Batch], mutant: Mutant) -> bool:
    """Tells whether the gate with the mutant in its packing differs from the battery on any case."""
    with imported(mutant):
        return any(_gate_differs(batch) for batch in batches)


def _gate_differs(batch: Batch) -> bool:
    gate, users = _open_gate(batch)
    rows = np.arange(len(users), dtype=np.int64)
    if not np.array_equal(gate.judge_many(users, rows, rows), batch.expected):
        return True
    for row, (user, case) in enumerate(zip(users, batch.cases, strict=True)):
        # What is eligible lies before the row at which a search may stop.
        if not case.codes and not (
            row < user.row_stop and gate.find_valid_until(user, rows[row : row + 1]) == [case.valid_until]
        ):
            return True
    return _counts_differ(gate, users[0], batch.cases) or _overlay_differs(gate, users, batch)


def _counts_differ(gate: Any, user: Any, cases: Sequence[Case]) -> bool:
    """Tells whether what the gate counts and reads for one user differs from its own masks."""
    module = importlib.import_module("server.gate")
    masks = gate.judge(user, np.arange(len(cases), dtype=np.int64))
    codes = [codes_of_mask(int(low) | int(high) << 64) for low, high in masks.tolist()]
    totals = {code.name: sum(code.name in each for each in codes) for code in CODES_BY_NUMBER.values()}
    counts = [(name, count) for name, count in totals.items() if count]
    return bool(
        gate.count_codes(user) != counts
        or module.count_codes(masks) != counts
        or any(frozenset(module.read_codes(mask)) != each for mask, each in zip(masks, codes, strict=True))
        or any(module.holds_code(masks, name).sum() != count for name, count in counts)
    )


def _overlay_differs(gate: Any, users: Sequence[Any], batch: Batch) -> bool:
    """Tells whether the gate under an overlay differs from the definition under the tightened policy."""
    count = min(OVERLAY_CASE_COUNT, len(users))
    rows = np.arange(count, dtype=np.int64)
    expected = _put_under_overlay(gate, batch, count)
    return not np.array_equal(gate.judge_many(users[:count], rows, rows), expected)


def _put_under_overlay(gate: Any, batch: Batch, count: int) -> NDArray[np.uint64]:
    """Puts an overlay into force; returns what the definition then says of the first cases, [count, 2]."""
    rules = importlib.import_module("suitability")
    cap = batch.policy["level_cap"]
    changes = {"policy_id": batch.policy["policy_id"], "level_cap": 1 if cap is None else min(cap, 1)}
    overlay = rules.load_overlay({**OVERLAY, **changes})
    gate.set_overlay(overlay)
    policy = rules.tighten(rules.load_policy(batch.policy), overlay)
    return _masks_of(
        [
            replace(
                case,
                codes=rules.evaluate(case.user, case.product, policy, case.now, case.channel, case.limit),
            )
            for case in batch.cases[:count]
        ]
    )


def _open_gate(batch: Batch) -> tuple[Any, list[Any]]:
    policy = importlib.import_module("suitability.policy").load_policy(batch.policy)
    gate = importlib.import_module("server.gate").Gate([case.product for case in batch.cases], policy)
    users = [gate.admit(case.user, case.now, case.channel, case.limit) for case in batch.cases]
    return gate, users


def write_dump(batches: Sequence[Batch], path: Path) -> None:
    """Writes packed records, pairs and expected masks for the harness: blocks of a count and its items."""
    join_users = importlib.import_module("server.user_record").join_users
    with path.open("wb") as file:
        for batch in batches:
            gate, users = _open_gate(batch)
            arrays = join_users([user.arrays for user in users])
            _write_batch(file, gate, arrays, batch.expected)
            count = min(OVERLAY_CASE_COUNT, len(users))
            _write_batch(file, gate, arrays, _put_under_overlay(gate, batch, count))


def _write_batch(file: BinaryIO, gate: Any, arrays: Any, expected: NDArray[np.uint64]) -> None:
    live = gate._live  # What the kernel is given; it has no other reader outside the gate.
    rows = np.arange(len(expected), dtype=np.int64)
    blocks = (
        *(gate.columns.records, gate.columns.sets.words.reshape(-1), gate.columns.sets.starts),
        *(arrays.records, arrays.sets.reshape(-1), arrays.held_issuers, arrays.held_groups),
        *(live.halted, np.array([live.level_cap], np.int64), rows, rows, expected),
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
