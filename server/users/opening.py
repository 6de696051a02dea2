"""Opens the store and the keys that settings name, or says in one line why not."""

from pathlib import Path

from server.users.directory import Directory
from server.users.import_users import ImportCounts, Progress, import_users
from server.users.pseudonyms import Pseudonyms, load_pseudonyms, make_key_file
from server.users.sqlite_place import check_place
from server.users.sqlite_schema import create_file
from server.users.sqlite_store import SqliteStore


def open_directory(store: str | None, key_file: Path | None, *, allow_assumed: bool) -> Directory:
    """Opens the users of a server; their store, if there is one, is for the caller to close.

    Args:
        store: path of an SQLite file; None for none.
        key_file: keys of pseudonyms. None: the file beside the store, or without one, a key of this process.
        allow_assumed: whether profiles with assumed values may be read.

    Raises:
        StartError: store or keys are missing or wrong, or are not for each other.
    """
    if store is None:
        return Directory(None, None if key_file is None else load_pseudonyms(key_file))
    path = Path(store)
    check_place(path)
    pseudonyms = load_pseudonyms(key_file or name_key_file(path))
    return Directory(SqliteStore(path, pseudonyms, allow_assumed=allow_assumed), pseudonyms)


def make_store(store: str, key_file: Path | None) -> None:
    """Makes a store without users.

    Raises:
        StartError: it is there already, or it or the keys cannot be written or read.
    """
    create_file(Path(store), _load_or_make_keys(Path(store), key_file))


def fill_store(
    store: str,
    key_file: Path | None,
    *,
    profiles: Path,
    interactions: Path,
    force: bool,
    on_progress: Progress,
) -> ImportCounts:
    """Fills a store from tables, as `import_users` has it.

    Raises:
        StartError: as `import_users`, or the keys cannot be written or read.
    """
    path = Path(store)
    pseudonyms = _load_or_make_keys(path, key_file)
    return import_users(profiles, interactions, path, pseudonyms, force=force, on_progress=on_progress)


def name_key_file(store: Path) -> Path:
    """Returns where the keys of an embedded store are if nobody says otherwise."""
    return store.with_name(f"{store.name}.keys")


def _load_or_make_keys(store: Path, key_file: Path | None) -> Pseudonyms:
    """Loads the keys; makes them where none are named and none are there."""
    path = key_file or name_key_file(store)
    if key_file is None and not path.exists():
        make_key_file(path)
    return load_pseudonyms(path)
