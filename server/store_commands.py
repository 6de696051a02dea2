"""Commands about users: stores (`import-users`, `make-store`), keys and data sets under pseudonyms."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from server.users.import_tables import ImportCounts
from server.users.opening import StoreAddress, fill_store, make_store, open_directory
from server.users.pseudonymise import pseudonymise
from server.users.pseudonyms import add_epoch, make_key_file


def run_import_users(arguments: list[str]) -> int:
    """Fills a store from tables; returns the exit status."""
    parser = _make_parser("import-users", "Fills a store of users from tables.")
    parser.add_argument("--profiles", type=Path, required=True, help="Parquet table of profiles.")
    parser.add_argument("--interactions", type=Path, required=True, help="Parquet table of interactions.")
    _add_store(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="Replace an existing store; erasures, holds and hidden products stay.",
    )
    options = parser.parse_args(arguments)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in ("users", "events")}
        counts = fill_store(
            _read_address(options),
            profiles=options.profiles,
            interactions=options.interactions,
            force=options.force,
            on_progress=lambda step, done, total: progress.update(tasks[step], completed=done, total=total),
        )
    console.print(_summarise(counts, options.store), soft_wrap=True)
    return 0


def run_make_store(arguments: list[str]) -> int:
    """Makes a store without users; returns the exit status."""
    parser = _make_parser("make-store", "Makes a store without users.")
    _add_store(parser)
    options = parser.parse_args(arguments)
    make_store(_read_address(options))
    return 0


def run_make_keys(arguments: list[str]) -> int:
    """Makes a key file; returns the exit status."""
    parser = _make_parser("make-keys", "Makes a file with a key for pseudonyms, for its owner only.")
    parser.add_argument("file", type=Path, metavar="FILE", help="File to make.")
    make_key_file(parser.parse_args(arguments).file)
    return 0


def run_add_key_epoch(arguments: list[str]) -> int:
    """Adds a key to a key file; returns the exit status."""
    parser = _make_parser(
        "add-key-epoch", "Adds a key, under which users who are new are stored from then on."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="Key file.")
    options = parser.parse_args(arguments)
    epoch = add_epoch(options.file)
    Console(stderr=True).print(f"{options.file}: epoch {epoch}", soft_wrap=True, highlight=False)
    return 0


def run_pseudonymise(arguments: list[str]) -> int:
    """Writes a data set under the pseudonyms of a store; returns the exit status."""
    parser = _make_parser("pseudonymise", "Writes a data set under the pseudonyms of a store.")
    parser.add_argument("data", type=Path, metavar="DATA", help="Data set with the callers' user ids.")
    parser.add_argument("out", type=Path, metavar="OUT", help="Directory to write.")
    _add_store(parser)
    options = parser.parse_args(arguments)
    directory = open_directory(_read_address(options), allow_assumed=True)
    assert directory.store is not None, "a store was named"
    try:
        counts = pseudonymise(options.data, options.out, directory.store, directory.pseudonyms)
    finally:
        directory.store.close()
    Console(stderr=True).print(
        f"{options.out}: {counts.user_count} users ({counts.new_count} not in the store), "
        f"{counts.erased_count} erased ones left out",
        soft_wrap=True,
    )
    return 0


COMMANDS: Final[Mapping[str, Callable[[list[str]], int]]] = {
    "import-users": run_import_users,
    "make-store": run_make_store,
    "make-keys": run_make_keys,
    "add-key-epoch": run_add_key_epoch,
    "pseudonymise": run_pseudonymise,
}


def _make_parser(name: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"python -m server {name}", description=description, allow_abbrev=False
    )


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", required=True, help="SQLite file, or redis://HOST:PORT/DB.")
    parser.add_argument(
        "--pseudonym-keys",
        type=Path,
        help="Key file. Default: STORE.keys beside an SQLite file, made if it is not there.",
    )
    parser.add_argument(
        "--store-password-file", type=Path, help="File with the password of a redis:// store."
    )


def _read_address(options: argparse.Namespace) -> StoreAddress:
    return StoreAddress(options.store, options.pseudonym_keys, options.store_password_file)


def _summarise(counts: ImportCounts, store: str) -> str:
    return (
        f"{store}: {counts.user_count} users ({counts.user_without_profile_count} without a profile), "
        f"{counts.event_count} events kept, {counts.event_left_out_count} older ones left out"
    )
