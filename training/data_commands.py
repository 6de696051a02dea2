"""Commands that make a data set: simulate, import, check, shard."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from training.assume import apply_assumptions, read_assumptions
from training.data_progress import show_progress, show_step
from training.dataset import DataSource, check_target, format_clock, parse_clock, write_dataset
from training.errors import TrainingError
from training.importers.far_trans import import_far_trans
from training.importers.feedback import import_feedback
from training.importers.feedback_log import COMPACT
from training.importers.imported import ImportedData
from training.importers.mooccubex import import_mooccubex
from training.importers.movielens import import_movielens
from training.importers.pairs import import_pairs
from training.importers.uci_credit import RISK_IMPORTERS
from training.needed import Gap, find_gaps
from training.quality import CheckedData, check_data, refuse_problems
from training.risk.table import write_table
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.sharding import SHARD_EVENT_COUNT, write_shards
from training.simulate.platform import describe_simulation, simulate
from training.simulate.settings import SimulationSettings
from training.tables import read_table

COMMANDS = ("simulate", "import", "check", "shard")
SHOWN_PROBLEM_COUNT = 5
# Importers that take a directory and nothing else.
_PLAIN_IMPORTERS: Final[Mapping[str, tuple[Callable[[Path], ImportedData], str]]] = MappingProxyType(
    {
        "movielens": (import_movielens, "ratings of films, layouts of 1m and 20m"),
        "mooccubex": (import_mooccubex, "learners, courses and their knowledge graph"),
    }
)


def main(argv: Sequence[str]) -> int:
    """Runs one of the data commands.

    Returns: the exit code; 0 when the data set was written, 1 with a message on stderr otherwise.
    """
    arguments = _parser().parse_args(argv)
    console = Console()
    try:
        arguments.run(arguments, console)
    except TrainingError as error:
        Console(stderr=True).print(
            f"{type(error).__name__}: {error}", markup=False, highlight=False, soft_wrap=True
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_simulate(commands)
    _add_import(commands)
    _add_check(commands)
    _add_shard(commands)
    return parser


def _add_simulate(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("simulate", help="write the simulated platform")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--courses", type=int, default=2_000)
    parser.add_argument("--products", type=int, default=600, help="financial and insurance products")
    parser.add_argument(
        "--taste-correlation",
        type=float,
        default=0.7,
        help="of a user's tastes for courses and financial products",
    )
    parser.add_argument(
        "--embedding-width", type=int, default=0, help="numbers of each product's embedding (default: none)"
    )
    parser.add_argument(
        "--embedding-noise", type=float, default=0.5, help="noise in an embedding, relative to what it tells"
    )
    parser.add_argument("--clock", help="the platform's present, RFC 3339 (default: today, 00:00 UTC)")
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.set_defaults(run=_run_simulate)


def _add_check(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("check", help="check your own tables and write them as a data set")
    parser.add_argument("interactions", type=Path, metavar="INTERACTIONS")
    parser.add_argument("products", type=Path, metavar="PRODUCTS")
    parser.add_argument("profiles", type=Path, metavar="PROFILES")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--name", default="own", help="name of the origin, shown with the results")
    parser.add_argument(
        "--clock", help="instant at which the data is current, RFC 3339; later events are set aside"
    )
    parser.add_argument("--strict", action="store_true", help="refuse the data if any row would be set aside")
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.set_defaults(run=_run_check)


def _add_shard(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("shard", help="part a data set into shards, for one larger than memory")
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--events", type=int, default=SHARD_EVENT_COUNT, help="of a shard, on average")
    parser.add_argument("--force", action="store_true", help="replace the shards of DATA")
    parser.set_defaults(run=_run_shard)


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("import", help="write a published data set")
    names = parser.add_subparsers(required=True, metavar="NAME")
    far_trans = names.add_parser("far-trans", help="bank customers and assets, publisher's layout")
    far_trans.add_argument("directory", type=Path, metavar="DIR")
    far_trans.add_argument("out", type=Path, metavar="OUT")
    far_trans.add_argument("--assume", type=Path, metavar="FILE", help="a documented assumptions file")
    far_trans.add_argument("--force", action="store_true", help="replace OUT")
    far_trans.set_defaults(run=_run_far_trans)
    for name, (_, text) in _PLAIN_IMPORTERS.items():
        plain = names.add_parser(name, help=text)
        plain.add_argument("directory", type=Path, metavar="DIR")
        plain.add_argument("out", type=Path, metavar="OUT")
        plain.add_argument("--force", action="store_true", help="replace OUT")
        plain.set_defaults(run=_run_plain, name=name)
    for name, (_, text) in RISK_IMPORTERS.items():
        borrowers = names.add_parser(name, help=text)
        borrowers.add_argument("directory", type=Path, metavar="DIR")
        borrowers.add_argument("out", type=Path, metavar="OUT")
        borrowers.add_argument("--force", action="store_true", help="replace OUT")
        borrowers.set_defaults(run=_run_borrowers, name=name)
    feedback = names.add_parser("feedback", help="a server's feedback log, joined to what it learned from")
    feedback.add_argument("directory", type=Path, metavar="LOG")
    feedback.add_argument("out", type=Path, metavar="OUT")
    feedback.add_argument(
        "--with", dest="data", type=Path, metavar="DATA", help="the data so far; its user ids are pseudonyms"
    )
    feedback.add_argument(
        "--erased", type=Path, metavar="FILE", help="pseudonyms of users to leave out, one a line"
    )
    feedback.add_argument("--force", action="store_true", help="replace OUT")
    feedback.set_defaults(run=_run_feedback)
    pairs = names.add_parser("pairs", help="user-item lists (LightGCN) or ratings (NCF)")
    pairs.add_argument("directory", type=Path, metavar="DIR")
    pairs.add_argument("out", type=Path, metavar="OUT")
    pairs.add_argument("second", type=Path, nargs="?", metavar="DIR2", help="the second domain")
    pairs.add_argument("--force", action="store_true", help="replace OUT")
    pairs.set_defaults(run=_run_pairs)


def _run_far_trans(arguments: argparse.Namespace, console: Console) -> None:
    check_target(arguments.out, force=arguments.force)
    with show_step(console, "reading"):
        imported = import_far_trans(arguments.directory)
    if arguments.assume is not None:
        clock = parse_clock(str(imported.source.clock))
        imported = apply_assumptions(imported, read_assumptions(arguments.assume), clock)
    _write_import(imported, arguments, console)


def _run_plain(arguments: argparse.Namespace, console: Console) -> None:
    check_target(arguments.out, force=arguments.force)
    with show_step(console, "reading"):
        imported = _PLAIN_IMPORTERS[arguments.name][0](arguments.directory)
    _write_import(imported, arguments, console)


def _run_borrowers(arguments: argparse.Namespace, console: Console) -> None:
    check_target(arguments.out, force=arguments.force)
    imported = RISK_IMPORTERS[arguments.name][0](arguments.directory)
    write_table(imported.table, imported.quality, arguments.out, force=arguments.force)
    quality, table = imported.quality, imported.table
    aside = ", ".join(f"{reason} {len(rows):,}" for reason, rows in quality.set_aside.items())
    console.print(
        f"{table.source.name}: {quality.rows_read:,} rows read, {quality.rows_kept:,} kept, set aside: "
        f"{aside or 'none'}; {int(table.defaulted.sum()):,} defaulted",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"written to {arguments.out}", highlight=False, soft_wrap=True)


def _run_pairs(arguments: argparse.Namespace, console: Console) -> None:
    check_target(arguments.out, force=arguments.force)
    with show_step(console, "reading"):
        imported = import_pairs(arguments.directory, arguments.second)
    _write_import(imported, arguments, console)


def _run_feedback(arguments: argparse.Namespace, console: Console) -> None:
    check_target(arguments.out, force=arguments.force)
    with show_step(console, "reading the log"):
        found = import_feedback(arguments.directory, arguments.data, arguments.erased)
    _write_import(found.imported, arguments, console, files=found.files, report={"feedback": found.report})
    counts = ", ".join(f"{name} {count:,}" for name, count in found.report.items())
    console.print(f"feedback: {counts}", highlight=False, soft_wrap=True)
    if found.segment_count:
        console.print(
            f"not read: {found.segment_count} segments that are not compacted yet; "
            f"`{COMPACT} {arguments.directory}` compacts them",
            highlight=False,
            soft_wrap=True,
        )


def _write_import(
    imported: ImportedData,
    arguments: argparse.Namespace,
    console: Console,
    *,
    files: Mapping[str, bytes] | None = None,
    report: Mapping[str, Any] | None = None,
) -> None:
    with show_step(console, "checking and writing"):
        checked = check_data(
            interactions=imported.interactions,
            products=imported.products,
            profiles=imported.profiles,
            clock=parse_clock(str(imported.source.clock)),
        )
        write_dataset(
            checked,
            imported.source,
            arguments.out,
            force=arguments.force,
            extra_files=files,
            extra_report=report,
        )
    show_quality(console, checked, imported.source, arguments.out)


def _run_simulate(arguments: argparse.Namespace, console: Console) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    settings = SimulationSettings(
        clock=parse_clock(arguments.clock) if arguments.clock else today,
        seed=arguments.seed,
        users=arguments.users,
        courses=arguments.courses,
        products=arguments.products,
        taste_correlation=arguments.taste_correlation,
        embedding_width=arguments.embedding_width,
        embedding_noise=arguments.embedding_noise,
    )
    check_target(arguments.out, force=arguments.force)
    with show_progress(console, text="simulating users", total=settings.users) as advance:
        drawn = simulate(settings, advance)
    with show_step(console, "checking and writing"):
        checked = check_data(
            interactions=drawn.interactions,
            products=drawn.products,
            profiles=drawn.profiles,
            clock=settings.now,
        )
        source = describe_simulation(settings, checked)
        extra_files = {"truth.npz": drawn.truth}
        write_dataset(checked, source, arguments.out, force=arguments.force, extra_files=extra_files)
    show_quality(console, checked, source, arguments.out)


def _run_check(arguments: argparse.Namespace, console: Console) -> None:
    check_target(arguments.out, force=arguments.force)
    clock = parse_clock(arguments.clock) if arguments.clock else None
    with show_step(console, "reading and checking"):
        checked = check_data(
            interactions=read_table(arguments.interactions, INTERACTIONS),
            products=read_table(arguments.products, PRODUCTS),
            profiles=read_table(arguments.profiles, PROFILES),
            clock=clock,
        )
    if arguments.strict:
        refuse_problems(checked)
    source = DataSource(
        name=arguments.name,
        simulated=False,
        licence="",
        attribution="",
        clock=format_clock(clock) if clock else None,
    )
    write_dataset(checked, source, arguments.out, force=arguments.force)
    show_quality(console, checked, source, arguments.out)
    show_gaps(console, find_gaps(checked.products.table, checked.profiles.table))


def _run_shard(arguments: argparse.Namespace, console: Console) -> None:
    with show_step(console, "dealing events into shards"):
        made = write_shards(arguments.data, event_count=arguments.events, force=arguments.force)
    text = f"{made.event_count:,} events of {made.user_count:,} users in {made.shard_count:,} shards"
    console.print(f"{text}; training reads them one at a time", highlight=False, soft_wrap=True)


def show_gaps(console: Console, gaps: list[Gap]) -> None:
    """Prints which missing fields keep how many products and users from being recommended anything."""
    for gap in gaps:
        console.print(gap.describe(), markup=False, highlight=False, soft_wrap=True)


def show_quality(console: Console, checked: CheckedData, source: DataSource, out: Path) -> None:
    """Prints what was read, kept and set aside, the first problems by row, and what was assumed."""
    table = Table(
        title=f"{source.name}{' (simulated)' if source.simulated else ''}, clock {source.clock or 'system'}"
    )
    for heading in ("table", "read", "kept", "set aside", "repeats", "reasons"):
        table.add_column(heading, justify="left" if heading in {"table", "reasons"} else "right")
    for name in ("interactions", "products", "profiles"):
        quality = getattr(checked, name).quality
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in quality.quarantined.items())
        counts = (
            quality.rows_read,
            quality.rows_kept,
            quality.rows_quarantined,
            quality.duplicates_collapsed,
        )
        table.add_row(name, *(f"{count:,}" for count in counts), reasons)
    console.print(table)
    for problem in checked.problems[:SHOWN_PROBLEM_COUNT]:
        text = f"set aside: {problem.table} row {problem.row}: {problem.field}: {problem.reason.value}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if checked.problems:
        text = f"all {len(checked.problems):,} problems, with their rows: {out / 'quarantine.parquet'}"
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    for table_name, fields in source.assumed.items():
        for field, count in fields.items():
            console.print(f"assumed: {table_name}.{field} in {count:,} rows", highlight=False)
    console.print(f"users without a profile: {checked.users_without_profile:,}", highlight=False)
    console.print(f"written to {out}", highlight=False, soft_wrap=True)
