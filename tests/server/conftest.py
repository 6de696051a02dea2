"""A real server process over a catalogue of 720 products, half of them with something wrong, and a store."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prudence.v1 import recommendation_pb2_grpc

from benchmarks.redis_server import RedisServer
from index.build import build_bundle
from server.users.import_redis import make_redis
from server.users.import_tables import ImportCounts
from server.users.import_users import import_users
from server.users.opening import StoreAddress, fill_store
from server.users.pseudonyms import Pseudonyms
from server.users.redis_store import RedisStore
from server.users.sqlite_schema import create_file
from server.users.sqlite_store import SqliteStore
from server.users.store import UserStore
from tests.conftest import DIM, MakeExport
from tests.server.cases import FAMILIES, NOW, draw_products, eligible_product, eligible_user
from tests.server.store_cases import EVENTS, PROFILES, PSEUDONYMS, SCHEMA, Import

ROOT = Path(__file__).resolve().parents[2]
PRODUCT_COUNT = 720
SEED = 7
HISTORY_COUNT = 8
START_TIMEOUT_S = 180.0
CLOCK = NOW.isoformat()
_TEXTS = pa.list_(pa.string())
_KINDS: dict[str, type] = {
    name: type(value)
    for family in FAMILIES
    for name, value in (
        eligible_product("x", family) | {"risk_score": 0, "computed_risk_class": 1, "dup_group": "a group"}
    ).items()
}


@dataclass
class Server:
    """A server process that is ready."""

    process: "subprocess.Popen[bytes]"
    target: str
    log: Path

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=START_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass
class Platform:
    """What the server under test serves."""

    bundles: Path
    store: Path
    products: dict[str, dict[str, Any]]
    stored: dict[str, dict[str, Any]]
    histories: dict[str, tuple[str, ...]]


def run_command(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the server's command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "server", *_unsigned(arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_TIMEOUT_S,
    )


def _unsigned(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """Lets a server that is not about signatures serve bundles without them."""
    serves = "--bundles" in arguments and arguments[0] != "doctor"
    return (*arguments, "--allow-unsigned") if serves and "--bundle-keys" not in arguments else arguments


def start_server(directory: Path, *arguments: str, program: Sequence[str] = ("-m", "server")) -> Server:
    """Starts a server on a free port and waits until it is ready; `program` is what Python is to run."""
    directory.mkdir(parents=True, exist_ok=True)
    log, port_file = directory / "log", directory / "port"
    command = [sys.executable, *program, "--port", "0", "--port-file", str(port_file)]
    if "--latency-target-s" not in arguments:
        # A busy machine is slow; fewer calls at once would be let in by the server's own target and threads.
        command += ["--latency-target-s", "60"]
        if "--rpc-thread-count" not in arguments:
            command += ["--rpc-thread-count", "128"]
    command += _unsigned(arguments)
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    server = Server(process, read_port(process, port_file, log), log)
    # The port is there a moment before the line that tests read.
    announced = b'"supervising"' if "--processes" in arguments else b'"serving"'
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while announced not in log.read_bytes():
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.01)
    return server


def count_codes(access_log: Path) -> Counter[str]:
    """Counts how the calls of an access log ended."""
    return Counter(json.loads(line)["code"] for line in access_log.read_text().splitlines())


def read_port(process: "subprocess.Popen[bytes]", port_file: Path, log: Path | None = None) -> str:
    """Waits until a server is ready and returns its address."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not (port_file.is_file() and port_file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > deadline_s:
            process.kill()
            process.wait()
            raise AssertionError("the server did not start" if log is None else log.read_text())
        time.sleep(0.02)
    return f"127.0.0.1:{port_file.read_text().strip()}"


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "users.sqlite"


@pytest.fixture
def run_import(tmp_path: Path, store_path: Path) -> Import:
    def run(
        profiles: list[dict[str, Any]] = PROFILES,
        events: list[dict[str, Any]] = EVENTS,
        *,
        force: bool = False,
    ) -> ImportCounts:
        pq.write_table(pa.Table.from_pylist(profiles, SCHEMA), tmp_path / "p.parquet")
        pq.write_table(pa.Table.from_pylist(events), tmp_path / "i.parquet")
        return import_users(
            tmp_path / "p.parquet",
            tmp_path / "i.parquet",
            store_path,
            PSEUDONYMS,
            force=force,
            on_progress=lambda step, done, total: None,
        )

    return run


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of the tests' own that writes before it answers."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["sqlite", "redis"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer
) -> Callable[[Pseudonyms], UserStore]:
    """Opens the one store of a test under some keys; the first time it is made."""
    path = tmp_path / "users.sqlite"
    made: list[bool] = []

    def open_sqlite(pseudonyms: Pseudonyms) -> UserStore:
        if not made:
            create_file(path, pseudonyms)
        made.append(True)
        return SqliteStore(path, pseudonyms)

    def open_redis(pseudonyms: Pseudonyms) -> UserStore:
        if not made:
            redis_server.empty()
            make_redis(redis_server.url, None, pseudonyms)
        made.append(True)
        return RedisStore(redis_server.url, None, pseudonyms, allow_assumed=False)

    return open_redis if request.param == "redis" else open_sqlite


@pytest.fixture
def store(open_store: Callable[[Pseudonyms], UserStore]) -> Iterator[UserStore]:
    store = open_store(PSEUDONYMS)
    yield store
    store.close()


@pytest.fixture(scope="session")
def platform(make_export: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """A sealed bundle with an inverted file, and a store of a few users."""
    directory = tmp_path_factory.mktemp("platform")
    drawn = draw_products(np.random.default_rng(SEED), PRODUCT_COUNT)
    rows = [_storable(product, number) for number, product in enumerate(drawn)]
    case = make_export(directory, rows=rows)
    build_bundle(
        export=case.export,
        products=case.products,
        policy=case.policy,
        bundles=directory / "bundles",
        kind="ivf_flat",
        version="test-1",
    )
    stored = {
        "bold": eligible_user(5),
        "cautious": eligible_user(1),
        "blocked": eligible_user(5) | {"blocked": True},
        "withdrawn": eligible_user(5) | {"consent_sensitive": False},
    }
    store = directory / "users.sqlite"
    ids = sorted(row["id"] for row in rows)
    write_tables(directory, stored, ids)
    fill_store(
        StoreAddress(str(store)),
        profiles=directory / "profiles.parquet",
        interactions=directory / "interactions.parquet",
        force=False,
        on_progress=lambda step, done, total: None,
    )
    histories = dict.fromkeys(stored, tuple(ids[::7][:HISTORY_COUNT]))
    return Platform(directory / "bundles", store, {row["id"]: row for row in rows}, stored, histories)


@pytest.fixture(scope="session")
def two_bundles(make_export: MakeExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles, "old" and "new", of one catalogue in opposite orders of preference; "old" is current."""
    folder = tmp_path_factory.mktemp("two")
    vectors = np.random.default_rng(SEED).normal(size=(60, DIM)).astype(np.float32)
    for version, sign in (("new", -1), ("old", 1)):
        case = make_export(folder / version, vectors=sign * vectors)
        build_bundle(
            export=case.export,
            products=case.products,
            policy=case.policy,
            bundles=folder / "bundles",
            version=version,
        )
    return folder / "bundles"


@pytest.fixture(scope="session")
def server(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server under an evaluation clock."""
    with start_server(
        tmp_path_factory.mktemp("server"),
        "--bundles",
        str(platform.bundles),
        "--store",
        str(platform.store),
        "--clock",
        CLOCK,
    ) as running:
        yield running
        running.stop()


@pytest.fixture(scope="session")
def stub(server: Server) -> Iterator[recommendation_pb2_grpc.RecommendationServiceStub]:
    with grpc.insecure_channel(server.target) as channel:
        yield recommendation_pb2_grpc.RecommendationServiceStub(channel)


def _storable(product: dict[str, Any], number: int) -> dict[str, Any]:
    """Drops what a Parquet table of the right types cannot hold; a distinct id is the format's own demand."""
    row = {name: _stored(value, _KINDS[name]) for name, value in product.items()}
    return {name: value for name, value in row.items() if value is not None} | {"id": f"x{number:04}"}


def _stored(value: Any, kind: Any) -> Any:
    """Returns a value as a column of its kind holds it, None where it cannot."""
    if kind is list:
        sound = isinstance(value, (list, set, frozenset)) and all(isinstance(member, str) for member in value)
        return sorted(value) if sound else None
    if type(value) is not kind or (kind is int and abs(value) >= 2**63):
        return None
    in_range = kind is not datetime or (value.tzinfo is not None and value.year < 9999)
    return value if in_range else None


def write_tables(
    directory: Path, stored: dict[str, dict[str, Any]], ids: list[str], assumed: tuple[str, ...] = ()
) -> None:
    """Writes profiles.parquet and interactions.parquet, as an import takes them."""
    columns = {"user_id": pa.array(list(stored)), "assumed": pa.array([assumed] * len(stored), _TEXTS)}
    for name in dict.fromkeys(name for profile in stored.values() for name in profile):
        values = [profile.get(name) for profile in stored.values()]
        kind = type(next(value for value in values if value is not None))
        if kind is frozenset:
            columns[name] = pa.array([None if value is None else sorted(value) for value in values], _TEXTS)
        elif kind is dict:
            pairs = [None if value is None else list(value.items()) for value in values]
            columns[name] = pa.array(pairs, pa.map_(pa.string(), pa.int64()))
        elif kind is not bytes:
            columns[name] = pa.array(values)
    pq.write_table(pa.table(columns), directory / "profiles.parquet")
    events = [
        {"user_id": user_id, "product_id": ids[7 * step], "event_type": "click", "event_time": NOW}
        for user_id in stored
        for step in range(HISTORY_COUNT)
    ]
    pq.write_table(pa.Table.from_pylist(events), directory / "interactions.parquet")
