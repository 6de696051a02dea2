"""Reports on experiments: `python -m benchmarks.experiments report | kpi | plan | example | promises`.

`report` and `kpi` read the Parquet files of a server's feedback log; `plan` says how many users an experiment
needs; `example` draws a log of a simulated experiment and reports on it; `promises` draws thousands and
counts how often the tests find what is not there, and what is.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from benchmarks.errors import BenchmarkError, BenchmarkInputError
from benchmarks.experiments import experiment_report, kpi_report
from benchmarks.experiments.compare import METRICS, judge
from benchmarks.experiments.differences import count_users_needed
from benchmarks.experiments.files import write_report
from benchmarks.experiments.log import Log, read_log
from benchmarks.experiments.promises import measure_promises
from benchmarks.experiments.promises_report import write_promises
from benchmarks.experiments.simulate import World, write_log
from benchmarks.machine import describe_machine
from benchmarks.report.page import Heading
from benchmarks.report_files import WIDTH
from server.errors import ExperimentsError
from server.experiments.plan import Experiment, Plan, Variant, find_experiment, load_plan

NICENESS = 5
WINDOW_DAYS = 7
PLANNED_USER_COUNT = 20_000
SIMULATED = "SIMULATED: every person, product and event is invented; figures say nothing about real people."
EXAMPLE_WORLD = World(
    user_count=16_000, lifts=(("varied", 1.15),), slowdowns=(("varied", 1.03), ("slow", 1.30)), seed=3
)
EXAMPLE = Experiment(
    name="variety",
    salt="example of the manual",
    variants=tuple(
        Variant(name=name, share_bps=share, share_bps_max=share)
        for name, share in (("control", 4000), ("varied", 4000), ("slow", 2000))
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of the commands; returns 0, or 1 with a message on stderr."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    os.nice(NICENESS)
    try:
        options.run(options, console)
    except (BenchmarkError, ExperimentsError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    return 0


def _run_report(options: argparse.Namespace, console: Console) -> None:
    plan: Plan = load_plan(options.experiments)
    experiment = find_experiment(plan, options.experiment)
    if experiment is None:
        known = ", ".join(each.name for each in plan.experiments) or "none"
        raise BenchmarkInputError(f"--experiment: expected one of {known}, got {options.experiment}")
    _report(read_log(options.log), experiment, options, console, mark="")


def _report(
    log: Log, experiment: Experiment, options: argparse.Namespace, console: Console, *, mark: str
) -> None:
    judged = judge(
        log,
        experiment,
        metric=options.metric,
        window_days=options.window_days,
        planned_user_count=options.planned_users,
    )
    facts = (("users are looked at for", f"{options.window_days} days from their first answer on"),)
    write_report(
        options.out,
        f"experiment-{experiment.name}",
        _make_heading(f"Experiment {experiment.name}", log, facts, mark),
        experiment_report.make_sections(judged, log),
        experiment_report.make_body(judged, log),
        console,
    )


def _run_kpi(options: argparse.Namespace, console: Console) -> None:
    _report_kpi(read_log(options.log), options, console, mark="")


def _report_kpi(log: Log, options: argparse.Namespace, console: Console, *, mark: str) -> None:
    measured = kpi_report.measure(log)
    write_report(
        options.out,
        "kpi",
        _make_heading("Campaigns and placements", log, (), mark),
        kpi_report.make_sections(measured, log),
        kpi_report.make_body(measured, log),
        console,
    )


def _run_plan(options: argparse.Namespace, console: Console) -> None:
    needed = count_users_needed(options.share, options.share * options.lift, power=options.power)
    console.print(
        f"{needed:,} users of each variant find a share of {options.share:.3%} become "
        f"{options.share * (1 + options.lift):.3%} with a chance of {options.power:.0%}, "
        "looking once at the end"
    )


def _run_example(options: argparse.Namespace, console: Console) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_log(EXAMPLE_WORLD, EXAMPLE, Path(folder))
        log = read_log(Path(folder))
    _report(log, EXAMPLE, options, console, mark=SIMULATED)
    _report_kpi(log, options, console, mark=SIMULATED)


def _run_promises(options: argparse.Namespace, console: Console) -> None:
    found = measure_promises(options.trials, lambda step: console.print(step, markup=False))
    write_promises(found, describe_machine(), options.out, console)


def _make_heading(title: str, log: Log, facts: tuple[tuple[str, str], ...], mark: str) -> Heading:
    first, last = (datetime.fromtimestamp(us / 1e6, UTC) for us in (int(log.time_us.min()), log.end_us))
    own = (
        ("answers", f"{log.answers.num_rows:,}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"),
        *facts,
        ("machine, commit, date", describe_machine().line),
    )
    return Heading(title, mark, own)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True)
    report = commands.add_parser("report", help="report on one experiment")
    report.add_argument("log", type=Path, help="folder of the feedback log")
    report.add_argument("--experiments", type=Path, required=True, help="the server's experiments file")
    report.add_argument("--experiment", required=True, help="name of the experiment")
    report.set_defaults(run=_run_report)
    kpi = commands.add_parser("kpi", help="report on campaigns and placements")
    kpi.add_argument("log", type=Path, help="folder of the feedback log")
    kpi.set_defaults(run=_run_kpi)
    example = commands.add_parser("example", help="draw a log, and report on it")
    example.set_defaults(run=_run_example)
    promises = commands.add_parser("promises", help="count false alarms and what is found of what is there")
    promises.add_argument(
        "--trials", type=_read_count, default=20_000, help="drawn experiments; default %(default)s"
    )
    promises.set_defaults(run=_run_promises)
    for command in (report, kpi, example, promises):
        command.add_argument("--out", type=Path, required=True, help="directory to write")
    for command in (report, example):
        command.add_argument("--metric", choices=tuple(METRICS), default="ctr", help="the one that decides")
        command.add_argument(
            "--window-days", type=_read_count, default=WINDOW_DAYS,
            help="days from the first answer on for which a user is looked at; default %(default)s",
        )  # fmt: skip
        command.add_argument(
            "--planned-users", type=_read_count, default=PLANNED_USER_COUNT,
            help="users of control and variant at which the sequential test is sharpest; default %(default)s",
        )  # fmt: skip
    plan = commands.add_parser("plan", help="say how many users an experiment needs")
    plan.add_argument("--share", type=float, required=True, help="share of the control's users, 0 to 1")
    plan.add_argument("--lift", type=float, required=True, help="smallest relative change worth finding")
    plan.add_argument("--power", type=float, default=0.8, help="chance to find it; default %(default)s")
    plan.set_defaults(run=_run_plan)
    return parser


def _read_count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(f"expected at least 1, got {count}")
    return count


if __name__ == "__main__":
    sys.exit(main())
