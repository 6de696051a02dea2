"""Makes a large catalogue for the benchmark of a server out of what the demonstration trained.

The trained products stay, so users keep their histories. What is added is drawn as the simulator draws its
products, and each stands near a trained one of its own family and level: clusters differ in risk, as they do
where a model was trained on what people may buy.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError
from benchmarks.pipeline import Artifacts
from benchmarks.stages import Stage, compute_key
from index.build import build_bundle
from index.bundle import Bundle
from index.reference import STEP_LIMIT
from server.users.opening import StoreAddress, fill_store
from server.users.sqlite_schema import FORMAT_VERSION
from training.schema import PRODUCTS
from training.simulate.products import draw_products
from training.simulate.settings import COUNT_LIMITS, SimulationSettings
from training.simulate.tastes import draw_latents
from training.tables import from_columns

SEED: Final = 7
COUNT_MAX: Final = 2_000_000
NOISE: Final = 0.5
"""Length of a drawn product's offset from a trained one, as a share of the trained one's length."""

_KEY = "made-from.sha256"
_FAMILY, _LEVEL = "family", "level_issuer"


class Catalogue(Mapping[str, Mapping[str, Any]]):
    """Finds the products of a bundle by id; makes each when it is first asked for, and keeps it."""

    def __init__(self, bundle: Bundle) -> None:
        """Keeps the bundle."""
        self._rows = bundle.products.rows
        self._row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
        self._made: dict[str, Mapping[str, Any]] = {}

    def __getitem__(self, product_id: str) -> Mapping[str, Any]:
        """Returns one product."""
        made = self._made.get(product_id)
        if made is None:
            made = self._made[product_id] = self._rows[self._row_of[product_id]]
        return made

    def __contains__(self, product_id: object) -> bool:
        """Tells whether there is such a product, without making it."""
        return product_id in self._row_of

    def __iter__(self) -> Iterator[str]:
        """Yields the ids in row order."""
        return iter(self._row_of)

    def __len__(self) -> int:
        """Returns the number of products."""
        return len(self._row_of)


def make_catalogue(trained: Artifacts, out: Path, count: int, policy: Path) -> Artifacts:
    """Makes a bundle of many products and a store of the trained users, unless they are there.

    They are made again if the demonstration was run again, or the code that builds a bundle has changed.

    Args:
        trained: what the demonstration made of simulated data.
        out: directory for the larger export and bundle.
        count: products in all.
        policy: policy under which rows are ordered.

    Raises:
        BenchmarkInputError: the count is too small to hold the trained products, or too large.
    """
    artifacts = Artifacts(out)
    inputs = (trained.export, trained.data, policy)
    plan = (str(count), str(FORMAT_VERSION))
    key = compute_key(Stage("catalogue", "", plan, inputs, ("index",), out))
    record = out / _KEY
    if record.is_file() and record.read_text(encoding="utf-8") == key:
        return artifacts
    table = pq.read_table(trained.data / "products.parquet")
    if not table.num_rows < count <= COUNT_MAX:
        raise BenchmarkInputError(f"products is {count}; expected {table.num_rows + 1} to {COUNT_MAX}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    drawn = _draw_products(trained, table.schema, count - table.num_rows)
    shutil.copytree(trained.export, artifacts.export)
    profiles, interactions = trained.data / "profiles.parquet", trained.data / "interactions.parquet"
    fill_store(
        StoreAddress(str(artifacts.store)),
        profiles=profiles,
        interactions=interactions,
        force=True,
        on_progress=lambda *_: None,
    )
    _add_vectors(artifacts.export, table, drawn)
    products = out / "products.parquet"
    pq.write_table(pa.concat_tables([table, drawn]), products)
    build_bundle(export=artifacts.export, products=products, policy=policy, bundles=artifacts.bundles)
    record.write_text(key, encoding="utf-8")
    return artifacts


def _draw_products(trained: Artifacts, schema: pa.Schema, count: int) -> pa.Table:
    """Draws products; above the simulator's limit the same ones come again, under other ids."""
    clock = datetime.fromisoformat(read_json(trained.data / "source.json")["clock"])
    settings = SimulationSettings(clock, seed=SEED, users=1, courses=1)
    settings = replace(settings, products=min(count, COUNT_LIMITS["products"]))
    random = np.random.default_rng(SEED)
    columns, _ = draw_products(settings, draw_latents(settings, random), random)
    table = from_columns(PRODUCTS, columns).table
    for name in set(schema.names) - set(table.column_names):
        field = schema.field(name)
        nothing: list[str] | None = [] if pa.types.is_list(field.type) else None
        table = table.append_column(name, pa.array([nothing] * table.num_rows, field.type))
    table = table.select(schema.names).cast(schema)
    table = table.take(np.arange(count) % table.num_rows)
    ids = pa.array([f"D{number:07d}" for number in range(count)], schema.field("id").type)
    return table.set_column(schema.get_field_index("id"), schema.field("id"), ids)


def _add_vectors(export: Path, trained: pa.Table, drawn: pa.Table) -> None:
    """Adds a vector for each drawn product: near that of a trained one of the same family and level."""
    ids = read_json(export / "product_ids.json")
    vectors: NDArray[np.float32] = np.load(export / "item_vectors.npy", allow_pickle=False)  # [trained, dim]
    row_of = {product_id: row for row, product_id in enumerate(ids)}
    vector_rows = np.array([row_of[product_id] for product_id in trained.column("id").to_pylist()])
    random = np.random.default_rng(SEED)
    near = vectors[vector_rows[_choose_alike(trained, drawn, random)]]  # [drawn, dim]
    noise = random.standard_normal((len(near), near.shape[1] - 1), dtype=np.float32)
    lengths = np.linalg.norm(near[:, :-1], axis=1, keepdims=True)
    added = near.copy()
    # The last component is popularity and stays what it is in the trained one.
    added[:, :-1] += noise * (NOISE * lengths / np.sqrt(noise.shape[1])).astype(np.float32)
    added[:, :-1] *= lengths / np.linalg.norm(added[:, :-1], axis=1, keepdims=True)
    # What is stored in whole numbers keeps to the trained scale.
    largest = np.float32(STEP_LIMIT / read_json(export / "export.json")["item_scale"])
    added[:, :-1] = np.clip(added[:, :-1], -largest, largest)
    np.save(export / "item_vectors.npy", np.concatenate([vectors, added]))
    (export / "product_ids.json").write_text(json.dumps([*ids, *drawn.column("id").to_pylist()]))


def _choose_alike(trained: pa.Table, drawn: pa.Table, random: np.random.Generator) -> NDArray[np.int64]:
    """Returns for each drawn product a row of a trained financial one; where nothing is alike, of any."""
    keys = list(zip(*(trained.column(name).to_pylist() for name in (_FAMILY, _LEVEL)), strict=True))
    rows: dict[Any, list[int]] = {}
    for row, key in enumerate(keys):
        if key[0] != "COURSE":
            rows.setdefault(key, []).append(row)
    financial = [row for alike in rows.values() for row in alike]
    wanted = list(zip(*(drawn.column(name).to_pylist() for name in (_FAMILY, _LEVEL)), strict=True))
    draws = random.random(len(wanted))
    pools = [rows.get(key, financial) for key in wanted]
    return np.array([pool[int(draw * len(pool))] for pool, draw in zip(pools, draws, strict=True)])
