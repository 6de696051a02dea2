"""A small platform with two bundles, and a server on it that the tests of faults share."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.dataset import DataSet
from benchmarks.faults.ground import NEW, OLD, Ground, draw_questions
from benchmarks.faults.server_process import ServerProcess, run_server
from index.build import build_bundle
from index.bundle import write_current
from server.users.opening import StoreAddress, fill_store
from suitability.policy import default_policy_path
from tests.conftest import DIM, NOW, MakeExport, make_profile
from tests.server.conftest import write_tables

SEED = 5
USER_COUNT = 12


@pytest.fixture(scope="session")
def ground(make_export: MakeExport, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A ground of 60 products and 12 users."""
    folder = tmp_path_factory.mktemp("ground")
    rows = _build_pair(make_export, folder)
    dataset = _make_dataset(rows)
    ids = sorted(dataset.products)
    write_tables(folder, {name: dict(profile) for name, profile in dataset.profiles.items()}, ids)
    fill_store(
        StoreAddress(str(folder / "users.sqlite")),
        profiles=folder / "profiles.parquet",
        interactions=folder / "interactions.parquet",
        force=False,
        on_progress=lambda step, done, total: None,
    )
    policy = json.loads(default_policy_path().read_bytes())
    return Ground(
        bundles=folder / "bundles",
        store=folder / "users.sqlite",
        clock=NOW.isoformat(),
        questions=draw_questions(dataset, policy, SEED, 24),
        user_ids=tuple(sorted(dataset.profiles)),
        product_ids=tuple(ids),
        work=folder / "work",
    )


@pytest.fixture(scope="session")
def server(ground: Ground) -> Iterator[ServerProcess]:
    """A server over the old bundle that keeps users and events."""
    folder = ground.make_folder("server")
    settings = ground.settings("--store", ground.copy_store(folder), "--feedback-log", folder / "log")
    with run_server(folder, settings) as running:
        yield running


def _build_pair(make_export: MakeExport, folder: Path) -> tuple[dict[str, object], ...]:
    vectors = np.random.default_rng(SEED).normal(size=(60, DIM)).astype(np.float32)
    for version, sign in ((NEW, -1), (OLD, 1)):
        case = make_export(folder / version, vectors=sign * vectors)
        build_bundle(
            export=case.export,
            products=case.products,
            policy=case.policy,
            bundles=folder / "bundles",
            version=version,
        )
    write_current(folder / "bundles", OLD)
    return tuple(dict(row) for row in case.rows)


def _make_dataset(rows: tuple[dict[str, object], ...]) -> DataSet:
    products = {str(row["id"]): row for row in rows}
    profiles = {f"user-{number:02}": make_profile(risk_level=number % 6) for number in range(USER_COUNT)}
    ids = sorted(products)
    events = [
        {
            "user_id": user,
            "product_id": ids[(7 * place + step) % len(ids)],
            "event_type": "click",
            "event_time": NOW - timedelta(days=1 + step),
        }
        for place, user in enumerate(profiles)
        for step in range(1 + place % 5)
    ]
    return DataSet(
        profiles, products, pa.Table.from_pylist(events), {"clock": NOW.isoformat(), "name": "test"}
    )
