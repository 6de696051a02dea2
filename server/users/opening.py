"""Opens the store and the keys that settings name, or says in one line why not."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from server.errors import StoreError
from server.users.directory import Directory
from server.users.import_tables import ImportCounts, Progress
from server.users.import_users import import_users
from server.users.pseudonyms import Pseudonyms, load_pseudonyms, make_key_file
from server.users.sqlite_place import check_place, settle_log
from server.users.sqlite_schema import create_file
from server.users.sqlite_store import SqliteStore

REDIS_SCHEMES = ("redis://", "rediss://")


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """Where a store is and what opens it.

    Attributes:
        store: path of an SQLite file, or URL of a Redis without a password.
        key_file: keys of pseudonyms; None for the file beside an SQLite file.
        password_file: file that holds the password of a Redis and nothing else; None for none.
    """

    store: str
    key_file: Path | None = None
    password_file: Path | None = None

    def __post_init__(self) -> None:
        if self.shared and urlsplit(self.store).password:
            # Settings are shown and logged; the URL itself must not be repeated here.
            raise StoreError(
                "store: expected no password in the URL; store_password_file names a file with it"
            )

    @property
    def shared(self) -> bool:
        """Whether it is a Redis."""
        return self.store.startswith(REDIS_SCHEMES)

    def find_key_file(self) -> Path:
        """Returns where the keys are.

        Raises:
            StoreError: the store is shared, and no file is named.
        """
        if self.key_file is not None:
            return self.key_file
        if self.shared:
            raise StoreError(
                f"pseudonym_keys: store {self.store} needs a key file; every server has the same"
            )
        path = Path(self.store)
        return path.with_name(f"{path.name}.keys")

    def read_password(self) -> str | None:
        """Reads the password.

        Raises:
            StoreError: the file cannot be read.
        """
        if self.password_file is None:
            return None
        try:
            return self.password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"store_password_file: {self.password_file} cannot be read") from error


def open_directory(address: StoreAddress, *, allow_assumed: bool) -> Directory:
    """Opens the users of a server; their store is for the caller to close.

    Raises:
        StartError: store or keys are missing or wrong, or are not for each other.
    """
    if address.shared:
        # Only what a Redis keeps needs its library.
        from server.users.redis_store import RedisStore

        pseudonyms = load_pseudonyms(address.find_key_file())
        password = address.read_password()
        store = RedisStore(address.store, password, pseudonyms, allow_assumed=allow_assumed)
        return Directory(store, pseudonyms)
    path = Path(address.store)
    check_place(path)
    settle_log(path)
    pseudonyms = load_pseudonyms(address.find_key_file())
    return Directory(SqliteStore(path, pseudonyms, allow_assumed=allow_assumed), pseudonyms)


def open_without_store(key_file: Path | None) -> Directory:
    """Opens users of whom nothing is stored: under a key of this process where no key file is named.

    Raises:
        PseudonymKeyError: the key file cannot be read.
    """
    return Directory(None, None if key_file is None else load_pseudonyms(key_file))


def make_store(address: StoreAddress) -> None:
    """Makes a store without users.

    Raises:
        StartError: it is there already, or it or the keys cannot be written or read.
    """
    pseudonyms = _load_or_make_keys(address)
    if address.shared:
        from server.users.import_redis import make_redis

        make_redis(address.store, address.read_password(), pseudonyms)
    else:
        create_file(Path(address.store), pseudonyms)


def fill_store(
    address: StoreAddress, *, profiles: Path, interactions: Path, force: bool, on_progress: Progress
) -> ImportCounts:
    """Fills a store from tables, as `import_users` and `import_redis` have it.

    Raises:
        StartError: as these, or the keys cannot be written or read.
    """
    pseudonyms = _load_or_make_keys(address)
    if address.shared:
        from server.users.import_redis import import_redis

        return import_redis(
            profiles,
            interactions,
            address.store,
            address.read_password(),
            pseudonyms,
            force=force,
            on_progress=on_progress,
        )
    path = Path(address.store)
    return import_users(profiles, interactions, path, pseudonyms, force=force, on_progress=on_progress)


def _load_or_make_keys(address: StoreAddress) -> Pseudonyms:
    """Loads the keys; makes them where none are named and none are there."""
    path = address.find_key_file()
    if address.key_file is None and not path.exists():
        make_key_file(path)
    return load_pseudonyms(path)
