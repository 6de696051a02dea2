"""A drawn product stands near a trained one of its own family and level."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.bench import catalogue
from benchmarks.bench.catalogue import _add_vectors, _choose_alike
from benchmarks.bench.scene import shorten_count
from benchmarks.pipeline import Artifacts
from index.reference import STEP_LIMIT
from suitability import default_policy_path


def test_a_drawn_product_is_placed_by_one_of_its_family_and_level() -> None:
    trained = pa.table({"family": ["COURSE", "FUND", "FUND", "TRUST"], "level_issuer": [None, 1, 4, 4]})
    drawn = pa.table({"family": ["FUND", "TRUST", "FUND"], "level_issuer": [4, 4, 1]})
    assert _choose_alike(trained, drawn, np.random.default_rng(1)).tolist() == [2, 3, 1]


def test_a_drawn_product_like_no_other_is_placed_by_a_financial_one() -> None:
    trained = pa.table({"family": ["COURSE", "FUND"], "level_issuer": [None, 1]})
    drawn = pa.table({"family": ["WEALTH"] * 9, "level_issuer": [3] * 9})
    assert set(_choose_alike(trained, drawn, np.random.default_rng(1)).tolist()) == {1}


def test_a_drawn_product_is_as_popular_as_the_trained_one_and_keeps_to_the_scale(tmp_path: Path) -> None:
    vectors = np.array([[1.0, 0.0, 40.0], [0.0, 1.0, -50.0]], np.float32)
    np.save(tmp_path / "item_vectors.npy", vectors)
    (tmp_path / "product_ids.json").write_text(json.dumps(["a", "b"]))
    (tmp_path / "export.json").write_text(json.dumps({"item_scale": float(STEP_LIMIT)}))
    table = {"family": ["COURSE", "FUND"], "level_issuer": [None, 1]}
    drawn = pa.table({"id": ["c", "d", "e"], "family": ["FUND"] * 3, "level_issuer": [1] * 3})
    _add_vectors(tmp_path, pa.table({"id": ["a", "b"], **table}), drawn)
    found = np.load(tmp_path / "item_vectors.npy")
    assert np.array_equal(found[:2], vectors)
    assert found[2:, -1].tolist() == [-50.0] * 3
    assert np.abs(found[2:, :-1]).max() <= 1.0


def test_a_count_in_a_file_name_is_short_only_where_it_stays_exact() -> None:
    assert [shorten_count(count) for count in (2_000_000, 100_000, 2_601)] == ["2m", "100k", "2601"]


def test_a_catalogue_is_made_again_only_if_what_it_is_made_of_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    trained = Artifacts(tmp_path / "trained")
    trained.export.mkdir(parents=True)
    trained.data.mkdir()
    (trained.export / "export.json").write_text("{}")
    products = pa.table({"id": ["a"], "family": ["FUND"]})
    pq.write_table(products, trained.data / "products.parquet")
    for name in ("fill_store", "_add_vectors"):
        monkeypatch.setattr(catalogue, name, lambda *_, **__: None)
    monkeypatch.setattr(catalogue, "_draw_products", lambda *_: products)
    monkeypatch.setattr(catalogue, "build_bundle", lambda **_: made.append(1))
    for _ in range(2):
        catalogue.make_catalogue(trained, tmp_path / "larger", 2, default_policy_path())
    assert len(made) == 1
    (trained.export / "export.json").write_text('{"run": 2}')
    catalogue.make_catalogue(trained, tmp_path / "larger", 2, default_policy_path())
    assert len(made) == 2
