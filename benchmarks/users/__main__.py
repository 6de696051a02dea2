"""Judges the stores of users: `python -m benchmarks.users kills` or `lookup --data DIR`."""

import argparse
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.redis_server import RedisServer
from benchmarks.report_files import write_tables
from benchmarks.users.kills import KillCounts, count_kills
from benchmarks.users.lookup import LookupCost, measure_lookup
from server.users.opening import StoreAddress, fill_store
from server.users.pseudonyms import make_key_file


def main(arguments: list[str]) -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.users", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    kills = commands.add_parser("kills", help="kill stores while they are written")
    kills.add_argument("--count", type=int, default=200, help="kills of each kind of store")
    lookup = commands.add_parser("lookup", help="measure a look-up")
    lookup.add_argument("--data", type=Path, required=True, help="data set with profiles and interactions")
    for command in (kills, lookup):
        command.add_argument("--out", type=Path, default=Path("artifacts/users"), help="folder of the report")
    options = parser.parse_args(arguments)
    console = Console()
    machine = describe_machine()
    if options.command == "kills":
        counts = [_count(kind, options.count) for kind in ("sqlite", "redis")]
        write_tables(
            options.out,
            "users-kills",
            console,
            lambda target: _print_kills(machine.line, counts, target),
            {"machine": asdict(machine), "kills": [asdict(one) for one in counts]},
        )
        return 0 if all(one.sound for one in counts) else 1
    costs = _measure(options.data)
    write_tables(
        options.out,
        "users-lookup",
        console,
        lambda target: _print_costs(machine.line, costs, target),
        {"machine": asdict(machine), "lookups": [asdict(cost) for cost in costs]},
    )
    return 0


def _count(kind: str, count: int) -> KillCounts:
    with tempfile.TemporaryDirectory() as folder:
        return count_kills("redis" if kind == "redis" else "sqlite", count, Path(folder), lambda: None)


def _measure(data: Path) -> list[LookupCost]:
    table = pq.read_table(data / "profiles.parquet", columns=["user_id"])
    user_ids = [str(user_id) for user_id in table["user_id"].to_pylist()]
    costs = []
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        keys = Path(folder) / "keys"
        make_key_file(keys)
        for store in (str(Path(folder) / "users.sqlite"), redis.url):
            fill_store(
                StoreAddress(store, keys),
                profiles=data / "profiles.parquet",
                interactions=data / "interactions.parquet",
                force=False,
                on_progress=lambda *_: None,
            )
            costs.append(measure_lookup(store, keys, user_ids))
    return costs


def _print_kills(machine: str, counts: list[KillCounts], console: Console) -> None:
    console.print(machine, markup=False, soft_wrap=True)
    console.print("kill -9 during changes of profiles and events, 8 writers; everything checked after each")
    columns = ("store", "kills", "changes", "events", "made, unanswered", "lost", "torn", "twice")
    table = Table(*columns, box=box.SIMPLE_HEAD)
    for one in counts:
        table.add_row(
            one.kind,
            str(one.kill_count),
            f"{one.change_count:,}",
            f"{one.event_count:,}",
            str(one.unanswered_count),
            str(one.lost_count),
            str(one.torn_count),
            str(one.duplicate_count),
        )
    console.print(table)


def _print_costs(machine: str, costs: list[LookupCost], console: Console) -> None:
    console.print(machine, markup=False, soft_wrap=True)
    console.print(
        "Looking up a stored user, profile, history and holds: CPU of the calling thread, median of 9"
    )
    table = Table("store", "users", "CPU us", "events read, mean", box=box.SIMPLE_HEAD)
    for cost in costs:
        table.add_row(
            cost.store, f"{cost.user_count:,}", f"{cost.cpu_us:.1f}", f"{cost.mean_event_count:.1f}"
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
