"""A data set under the pseudonyms of a store: the log's names, no id anywhere, nobody who was erased."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from server.errors import StoreError
from server.users.import_users import import_users
from server.users.pseudonymise import pseudonymise
from server.users.pseudonyms import Pseudonyms
from server.users.sqlite_store import SqliteStore
from tests.server.conftest import run_command
from tests.tiny_data import make_events, write_data

OLD = Pseudonyms({1: b"k" * 32})
NEW = Pseudonyms({1: b"k" * 32, 2: b"n" * 32})
ERASED, LATER = "u003", "u060"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data", make_events())


@pytest.fixture
def store(tmp_path: Path, data: Path) -> Any:
    """Holds all users but one, under keys that have a newer epoch by now; one of them was erased."""
    known = [event for event in make_events() if event["user_id"] != LATER]
    first = write_data(tmp_path / "first", known)
    path = tmp_path / "store.sqlite"
    import_users(
        first / "profiles.parquet",
        first / "interactions.parquet",
        path,
        OLD,
        force=False,
        on_progress=lambda *_: None,
    )
    opened = SqliteStore(path, NEW)
    opened.erase(NEW.derive_all(ERASED), 1)
    yield opened
    opened.close()


def test_users_get_the_names_that_the_store_and_its_log_know(tmp_path: Path, data: Path, store: Any) -> None:
    counts = pseudonymise(data, tmp_path / "out", store, NEW)
    assert (counts.user_count, counts.new_count, counts.erased_count) == (60, 1, 1)
    for table in ("interactions", "profiles"):
        before = pq.read_table(data / f"{table}.parquet").to_pylist()
        after = pq.read_table(tmp_path / "out" / f"{table}.parquet").to_pylist()
        keys = {user: NEW if user == LATER else OLD for user in (row["user_id"] for row in before)}
        named = [
            {**row, "user_id": keys[row["user_id"]].derive(row["user_id"]).hex()}
            for row in before
            if row["user_id"] != ERASED
        ]
        assert after == named


def test_no_user_id_is_left_and_erased_users_are_listed_by_name(
    tmp_path: Path, data: Path, store: Any
) -> None:
    (data / "source.json").write_text('{"name": "x", "personas": {"bold": "u001", "gone": "u003"}}')
    (data / "truth.npz").write_bytes(b"u001")
    pseudonymise(data, tmp_path / "out", store, NEW)
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert set(files) == {
        "interactions.parquet",
        "profiles.parquet",
        "products.parquet",
        "source.json",
        "erased.txt",
    }
    assert not any(f"u{row:03}".encode() in content for content in files.values() for row in range(61))
    assert OLD.derive(ERASED).hex() in files["erased.txt"].decode().split()
    assert OLD.derive("u001").hex().encode() in files["source.json"]


@pytest.mark.parametrize(
    "gone", ["interactions.parquet", "profiles.parquet", "products.parquet", "source.json"]
)
def test_a_data_set_that_lacks_a_file_is_refused_and_leaves_nothing(
    tmp_path: Path, data: Path, store: Any, gone: str
) -> None:
    (data / gone).unlink()
    with pytest.raises(StoreError, match="expected a data set"):
        pseudonymise(data, tmp_path / "out", store, NEW)
    assert not [path for path in tmp_path.iterdir() if "out" in path.name]


def test_an_existing_target_is_refused(tmp_path: Path, data: Path, store: Any) -> None:
    with pytest.raises(StoreError, match="already there"):
        pseudonymise(data, tmp_path, store, NEW)


def test_the_command_finds_the_keys_beside_the_store(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "store.sqlite"
    tables = ("--profiles", data / "profiles.parquet", "--interactions", data / "interactions.parquet")
    assert run_command("import-users", *map(str, tables), "--store", str(path)).returncode == 0
    done = run_command("pseudonymise", str(data), str(tmp_path / "out"), "--store", str(path))
    assert done.returncode == 0, done.stderr
    assert "61 users (0 not in the store), 0 erased" in done.stderr
    assert (tmp_path / "out" / "erased.txt").read_text() == ""
