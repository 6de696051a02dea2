"""Updating a bundle of a trained run: the graph in the bundle gives what the export gave."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from export.write import export_run
from index import update
from index.build import build_bundle
from index.bundle import Bundle, open_bundle
from index.update import update_bundle
from server.encoder import embed_items
from suitability.policy import default_policy_path
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.run import train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds a tiny run's data, export and bundle."""
    root = tmp_path_factory.mktemp("parity")
    write_data(root / "data", make_events())
    settings = make_config("two_tower", TINY_SETTINGS | {"epochs": 2})
    console = Console(file=io.StringIO())
    train(root / "data", root / "run", settings, resume=False, force=False, console=console)
    export_run(root / "run", root / "data", root / "export", force=False)
    build_bundle(
        export=root / "export",
        products=root / "data" / "products.parquet",
        policy=default_policy_path(),
        bundles=root / "bundles",
        version="full",
    )
    return root


@pytest.fixture(scope="module")
def full(root: Path) -> Bundle:
    return open_bundle(root / "bundles" / "full")


def _update(root: Path, full: Bundle, rows: list[Mapping[str, Any]], version: str) -> Bundle:
    path = root / f"{version}.parquet"
    schema = full.products.rows.to_arrow().schema
    plain = [{n: sorted(v) if isinstance(v, frozenset) else v for n, v in row.items()} for row in rows]
    pq.write_table(pa.Table.from_pylist(plain, schema=schema), path)
    return update_bundle(
        parent=full.path,
        products=path,
        removed=None,
        bundles=root / "bundles",
        version=version,
        embed=embed_items,
    )[0]


def test_embedding_what_training_knew_gives_the_exports_vectors(
    root: Path, full: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(update, "_find_same", lambda _, known, __: np.zeros(len(known), np.bool_))
    updated = _update(root, full, [*full.products.rows], "again")
    assert updated.product_ids == full.product_ids
    assert updated.manifest.source["update"]["embedded_count"] == full.products.count
    steps = updated.item_vectors - full.item_vectors
    # The export's vectors come from torch, which rounds the last bits of a float otherwise.
    assert int(np.abs(steps).max()) <= 8


def test_a_new_product_lies_where_products_of_its_content_lie(root: Path, full: Bundle) -> None:
    twin = {**full.products.row(5), "id": "twin"}
    updated = _update(root, full, [twin], "new")
    assert updated.products.count == full.products.count + 1
    place = updated.item_vectors[updated.product_ids.index("twin")]
    assert place[:-1].any(), "content alone gives a direction"
    again = _update(root, full, [{**twin, "id": "other"}], "other")
    row = again.product_ids.index("other")
    np.testing.assert_array_equal(again.item_vectors[row], place)
