"""Judges the rules and the gate: `python -m benchmarks.suitability gate | parity | mutation`.

Exit code 1 where gate, definition and checker differ, where a comparison shows too little, or where a mutant
survives without a reason.
"""

import argparse
import hashlib
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT, describe_machine
from benchmarks.suitability.batches import make_batches
from benchmarks.suitability.battery import Battery, make_battery
from benchmarks.suitability.gate_mutation import GATE_HEADER, native_notices, write_dump
from benchmarks.suitability.mutation import (
    MutationResult,
    definition_notices,
    explain,
    list_definition_files,
    require_unnoticed,
    run_mutants,
)
from benchmarks.suitability.native_mutants import list_native_mutants
from benchmarks.suitability.packing_mutation import PACKING_FILES, list_stops, packing_notices
from benchmarks.suitability.parity import compare
from benchmarks.suitability.python_mutants import Mutant, list_mutants
from benchmarks.suitability.report import (
    WIDTH,
    draw_speed,
    print_mutations,
    print_parity,
    print_speed,
    write_json,
)
from benchmarks.suitability.speed import measure_gate

PARTS: Final = ("definition", "gate", "packing")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of the benchmarks; returns 0, or 1 where what it judges fails."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        passed: bool = options.run(options, console)
    except BenchmarkError as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0 if passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.suitability", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "suitability")
    commands = parser.add_subparsers(required=True)
    gate = commands.add_parser("gate", help="how fast the gate is, beside the definition")
    gate.add_argument("--repeats", type=int, default=200)
    gate.set_defaults(run=_run_gate)
    parity = commands.add_parser("parity", help="definition, gate and checker on many pairs")
    parity.add_argument("--pairs", type=int, default=1_000_000)
    parity.add_argument("--seed", type=int, default=1)
    parity.set_defaults(run=_run_parity)
    mutation = commands.add_parser("mutation", help="small faults, and whether the battery notices them")
    mutation.add_argument("--part", choices=PARTS, help="default: all of them")
    mutation.add_argument("--matching", default="", help="only faults in lines that hold this text")
    mutation.set_defaults(run=_run_mutation)
    return parser


def _run_gate(options: argparse.Namespace, console: Console) -> bool:
    machine = describe_machine()
    console.print(machine.line, markup=False, soft_wrap=True)
    result = measure_gate(options.repeats, console.print)
    write_json("gate", machine, result, options.out)
    with (options.out / "suitability-gate.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=WIDTH, highlight=False, emoji=False)):
            target.print(machine.line, markup=False, soft_wrap=True)
            print_speed(result, target)
    draw_speed(result, machine, options.out / "suitability-gate.png")
    return all(gate.difference_count == 0 for gate in result.gates)


def _run_parity(options: argparse.Namespace, console: Console) -> bool:
    machine = describe_machine()
    with console.status("comparing") as status:
        result = compare(
            options.pairs,
            options.seed,
            lambda done, total: status.update(f"{done:,} of {total:,} chunks"),
        )
    write_json("parity", machine, result, options.out)
    console.print(machine.line, markup=False, soft_wrap=True)
    print_parity(result, console)
    return result.passed


def _run_mutation(options: argparse.Namespace, console: Console) -> bool:
    machine = describe_machine()
    console.print(machine.line, markup=False, soft_wrap=True)
    battery = make_battery()
    results = []
    suffix = f"-{options.matching}" if options.matching else ""
    for part in (options.part,) if options.part else PARTS:
        results.append(_mutate(part, options.matching, battery, options.out, console))
        write_json(f"mutation-{part}{suffix}", machine, results[-1], options.out)
    name = (f"mutation-{options.part}" if options.part else "mutation") + suffix
    with (options.out / f"suitability-{name}.txt").open("w", encoding="utf-8") as file:
        print_mutations(results, console)
        text = Console(file=file, width=WIDTH, highlight=False, emoji=False)
        text.print(machine.line, markup=False, soft_wrap=True)
        print_mutations(results, text)
    return all(result.unexplained_count == 0 for result in results)


def _mutate(part: str, matching: str, battery: Battery, out: Path, console: Console) -> MutationResult:
    out.mkdir(parents=True, exist_ok=True)
    batches = [] if part == "definition" else make_batches(battery)
    mutants: list[Mutant]
    if part == "definition":
        mutants = [mutant for path in list_definition_files() for mutant in list_mutants(ROOT, path)]
        notices = partial(definition_notices, battery)
    elif part == "packing":
        mutants = [mutant for path in PACKING_FILES for mutant in list_mutants(ROOT, path)]
        notices = partial(packing_notices, batches, list_stops())
    else:
        mutants = list(list_native_mutants(ROOT, GATE_HEADER))
        dump = out / "mutation-gate.dump"
        write_dump(batches, dump)
        notices = partial(native_notices, dump)
    mutants = [mutant for mutant in mutants if matching in mutant.context]
    known = out / f"mutation-{part}-{_digest_inputs()}.jsonl"
    require_unnoticed(mutants, notices)
    with console.status(part) as status:
        survivors = run_mutants(
            mutants,
            notices,
            known,
            lambda done, total: status.update(f"{part}: {done:,} of {total:,} mutants"),
        )
    # Once more, because sources that change meanwhile would be noticed in place of the faults.
    require_unnoticed(mutants, notices)
    cases = battery.cases if part == "definition" else [case for each in batches for case in each.cases]
    return MutationResult(
        part=part,
        case_count=len(cases),
        eligible_count=sum(not case.codes for case in cases),
        mutant_count=len(mutants),
        killed_count=len(mutants) - len(survivors),
        survivors=explain(survivors),
    )


def _digest_inputs() -> str:
    """Returns a digest of all sources that decide what is noticed: another state begins anew."""
    digest = hashlib.sha256()
    folders = ("suitability", "server", "benchmarks/suitability", "tests/golden")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()):
        if path.suffix in (".py", ".hpp", ".cpp") or path.name == "suitability.json":
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(main())
