"""Puts one small fault at a time into the rules or the gate and asks a battery of pairs whether it notices.

What survives is a fault that the battery would not find: either the fault changes nothing, which the
committed list of equivalents says with the reason, or the tests have a hole.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from benchmarks.errors import BenchmarkInputError
from benchmarks.machine import ROOT
from benchmarks.suitability.battery import Battery, Case, prepare_policies
from benchmarks.suitability.python_mutants import Mutant

EQUIVALENTS: Final = Path(__file__).with_name("equivalents.json")
TIMEOUT_S: Final = 60
WORKER_COUNT: Final = 2

_SURVIVED, _KILLED = 0, 1


@dataclass(frozen=True)
class Survivor:
    """A mutant that no pair of the battery noticed; without a reason it is a hole."""

    path: str
    line: int
    context: str
    change: str
    reason: str | None


@dataclass(frozen=True)
class MutationResult:
    """What became of the mutants of one part."""

    part: str
    case_count: int
    eligible_count: int
    mutant_count: int
    killed_count: int
    survivors: tuple[Survivor, ...]

    @property
    def survivor_count(self) -> int:
        """Returns the number of survivors."""
        return len(self.survivors)

    @property
    def unexplained_count(self) -> int:
        """Returns the number of survivors without a reason."""
        return sum(survivor.reason is None for survivor in self.survivors)


def run_mutants(
    mutants: Sequence[Mutant],
    notices: Callable[[Mutant], bool],
    known: Path,
    report_progress: Callable[[int, int], None],
) -> list[Mutant]:
    """Judges every mutant in a forked process of its own, WORKER_COUNT at a time.

    Args:
        mutants: what to judge.
        notices: run in the child; tells whether the fault is noticed. A fault that raises, or that runs
            longer than TIMEOUT_S, is noticed.
        known: a file of what earlier runs found, one JSON line for each mutant; it is read and added to.
        report_progress: called with the mutants judged so far and their number.

    Returns:
        The mutants that survive, in order.
    """
    context = multiprocessing.get_context("fork")
    found = _read_known(known)
    pending = [mutant for mutant in mutants if mutant.key not in found]
    running: list[tuple[ForkProcess, Mutant]] = []
    while pending or running:
        while pending and len(running) < WORKER_COUNT:
            mutant = pending.pop(0)
            process = context.Process(target=_run_in_child, args=(notices, mutant))
            process.start()
            running.append((process, mutant))
        wait([process.sentinel for process, _ in running])
        ended = [pair for pair in running if not pair[0].is_alive()]
        running = [pair for pair in running if pair not in ended]
        with known.open("a", encoding="utf-8") as file:
            for process, mutant in ended:
                found[mutant.key] = process.exitcode == _SURVIVED
                file.write(json.dumps([mutant.key, found[mutant.key]]) + "\n")
        report_progress(len(mutants) - len(pending) - len(running), len(mutants))
    return [mutant for mutant in mutants if found[mutant.key]]


def require_unnoticed(mutants: Sequence[Mutant], notices: Callable[[Mutant], bool]) -> None:
    """Proves that the battery notices faults and nothing else: each file without a fault must pass.

    Raises:
        BenchmarkInputError: a file is noticed as it is.
    """
    paths = sorted({mutant.path for mutant in mutants})
    sound = [Mutant(path, 1, "", "", (ROOT / path).read_text(encoding="utf-8")) for path in paths]
    with tempfile.TemporaryDirectory() as folder:
        alive = run_mutants(sound, notices, Path(folder) / "known.jsonl", lambda done, total: None)
    noticed = [mutant.path for mutant in sound if mutant not in alive]
    if noticed:
        raise BenchmarkInputError(f"{', '.join(noticed)}: expected no difference without a fault, found one")


def _read_known(known: Path) -> dict[str, bool]:
    lines = known.read_text(encoding="utf-8").splitlines() if known.is_file() else []
    return dict(json.loads(line) for line in lines)


def explain(survivors: Iterable[Mutant]) -> tuple[Survivor, ...]:
    """Puts the reason beside each survivor that the committed list explains."""
    reasons = read_equivalents()
    return tuple(
        Survivor(
            each.path,
            each.line,
            each.context,
            each.change,
            reasons.get((each.path, each.context, each.change)),
        )
        for each in survivors
    )


def read_equivalents() -> Mapping[tuple[str, str, str], str]:
    """Reads why a mutant changes nothing, by path, line of source and change.

    Raises:
        BenchmarkInputError: the list is not what it should be.
    """
    try:
        rows = json.loads(EQUIVALENTS.read_text(encoding="utf-8"))
        return {(row["path"], row["context"], row["change"]): row["reason"] for row in rows}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BenchmarkInputError(f"{EQUIVALENTS.name}: expected rows with a reason, {error!r}") from error


def _run_in_child(notices: Callable[[Mutant], bool], mutant: Mutant) -> None:
    # Ends the process by a signal, which is not "survived". CPU time: a busy machine must not notice faults.
    signal.setitimer(signal.ITIMER_PROF, TIMEOUT_S)
    try:
        noticed = notices(mutant)
    except BaseException:  # noqa: BLE001 - whatever a fault raises, it has been noticed.
        noticed = True
    os._exit(_KILLED if noticed else _SURVIVED)


@contextmanager
def imported(mutant: Mutant) -> Iterator[None]:
    """Makes this process import the mutant's file in place of ours; everything of ours is imported anew."""
    sys.dont_write_bytecode = True
    # The native kernel cannot be loaded twice, and it does not depend on what is changed.
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("suitability", "server") and name != "server._kernel":
            del sys.modules[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.py"
        path.write_text(mutant.source, encoding="utf-8")
        sys.meta_path.insert(0, _OneModule(mutant.path.removesuffix(".py").replace("/", "."), path))
        yield


class _OneModule(importlib.abc.MetaPathFinder):
    """Finds one module in a file of our choice."""

    def __init__(self, module: str, path: Path) -> None:
        self._module = module
        self._path = path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Returns the spec of the one module."""
        if fullname != self._module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path)


def definition_notices(battery: Battery, mutant: Mutant) -> bool:
    """Tells whether the definition with the mutant in it differs from the battery on any case."""
    with imported(mutant):
        rules = importlib.import_module("suitability")
        policies = prepare_policies(battery.policies, rules.load_policy)
        return any(_definition_differs(rules, case, policies[case.policy]) for case in battery.cases)


def _definition_differs(rules: Any, case: Case, policy: Any) -> bool:
    asked = [case.user, case.product, policy, case.now, case.channel]
    if case.limit is not None:
        asked.append(case.limit)
    if rules.evaluate(*asked) != case.codes:
        return True
    if case.against:
        apply_predicate = importlib.import_module("suitability.evaluate").apply_predicate
        pair = importlib.import_module("suitability.predicates.pair").Pair(*asked)
        against = (each.number for each in rules.PREDICATES if apply_predicate(each, pair) is not None)
        if tuple(against) != case.against:
            return True
    return case.valid_until is not None and rules.valid_until(*asked) != case.valid_until


def list_definition_files() -> Iterator[str]:
    """Yields the files that decide a verdict, relative to the checkout."""
    for path in sorted((ROOT / "suitability" / "predicates").glob("*.py")):
        if path.name != "__init__.py":
            yield path.relative_to(ROOT).as_posix()
    for name in ("ratings", "records", "calendar_days", "evaluate", "validity"):
        yield f"suitability/{name}.py"
