"""Reports on segments and association rules: `python -m benchmarks.segments --artifacts DIR --out OUT`.

Without --data the last tenth of the events is held out and the same model is made again on the rest; with it
the bundle that is there is asked about what newer data hold. It shows sizes, silhouettes, top products and a
projection of the users, lists with and without rules, and what stands in for a vector or a history.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.dataset import read_dataset, read_json
from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.evaluate.bundle_scorer import open_current
from benchmarks.evaluate.task import sample_users
from benchmarks.machine import describe_machine
from benchmarks.pipeline import DEFAULT_POLICY, Artifacts
from benchmarks.report.held_out import HeldOut, compare_with_newer, hold_out
from benchmarks.report_files import WIDTH
from benchmarks.segments.cost import measure_cost
from benchmarks.segments.portrait import count_owners, portray, project
from benchmarks.segments.quality import measure_rules, measure_stand_ins
from benchmarks.segments.report import Report, write_report
from benchmarks.segments.users import ask

NICENESS = 5
SEED = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    os.nice(NICENESS)
    try:
        artifacts = Artifacts(options.artifacts.resolve())
        if options.data is None:
            held_out = hold_out(artifacts, options.work.resolve(), options.policy, console)
        else:
            held_out = compare_with_newer(artifacts, options.data.resolve())
        source = read_json(held_out.artifacts.data / "source.json")["name"]
        report = _measure(held_out, options.policy, options.users)
        write_report(options.out, f"segments-{source}", report, describe_machine(), console)
    except BenchmarkError as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    return 0


def _measure(held_out: HeldOut, policy: Path, user_count: int) -> Report:
    dataset, bundle = read_dataset(held_out.artifacts.data), open_current(held_out.artifacts.bundles)
    if bundle.segments is None:
        raise BenchmarkInputError(f"{bundle.path}: expected segments.json; export and build the bundle again")
    relevant = sample_users(held_out.relevant, user_count, SEED)
    asked = ask(bundle, dataset, sorted(relevant), held_out.known_until)
    owners = count_owners(bundle, bundle.segments, asked, held_out.owned)
    rules, reach = measure_rules(bundle, asked, relevant, held_out.owned)
    points, share = project(asked.vectors)
    return Report(
        segments=bundle.segments,
        portraits=portray(bundle.segments, asked, owners, bundle.product_ids, dataset.products),
        places=bundle.segments.assign(asked.vectors),
        points=points,
        variance_share=share,
        rows=[*rules, *measure_stand_ins(bundle, asked, relevant, held_out.owned, owners)],
        reach=reach,
        costs=measure_cost(held_out.artifacts.bundles, policy, dataset, asked.users, held_out.clock),
        facts=_describe(held_out, dataset.source, len(asked.users)),
    )


def _describe(held_out: HeldOut, source: object, user_count: int) -> list[str]:
    assert isinstance(source, dict), "source.json holds an object"
    name = "the simulated platform" if source.get("simulated") else str(source.get("name"))
    notes = [str(source["attribution"])] if source.get("attribution") else []
    return [f"{user_count:,} tested users of {name}", held_out.looked_at, *notes]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segments", description=__doc__)
    parser.add_argument("--artifacts", type=Path, required=True, help="data and bundles of one source")
    parser.add_argument("--data", type=Path, help="newer data of the same source")
    parser.add_argument("--policy", type=Path, default=DEFAULT_POLICY, help="that rows are ordered under")
    parser.add_argument("--users", type=int, default=4000, help="the most users to test (default: 4000)")
    parser.add_argument("--out", type=Path, required=True, help="directory for tables, JSON and picture")
    parser.add_argument("--work", type=Path, default=Path("artifacts/segments"), help="for what is made")
    return parser


if __name__ == "__main__":
    sys.exit(main())
