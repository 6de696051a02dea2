"""A drawn product stands near a trained one of its own family and level."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.bench.__main__ import shorten_count
from benchmarks.bench.catalogue import _add_vectors, _choose_alike
from index.reference import INT16_LIMIT


def test_a_drawn_product_is_placed_by_one_of_its_family_and_level() -> None:
    trained = pa.table({"family": ["COURSE", "FUND", "FUND", "TRUST"], "level_issuer": [None, 1, 4, 4]})
    drawn = pa.table({"family": ["FUND", "TRUST", "FUND"], "level_issuer": [4, 4, 1]})
    assert _choose_alike(trained, drawn, np.random.default_rng(1)).tolist() == [2, 3, 1]


def test_a_drawn_product_like_no_other_is_placed_by_a_financial_one() -> None:
    trained = pa.table({"family": ["COURSE", "FUND"], "level_issuer": [None, 1]})
    drawn = pa.table({"family": ["WEALTH"] * 9, "level_issuer": [3] * 9})
    assert set(_choose_alike(trained, drawn, np.random.default_rng(1)).tolist()) == {1}


def test_a_drawn_product_is_as_popular_as_the_trained_one_and_keeps_to_the_scale(tmp_path: Path) -> None:
    # Popularity is beyond what int16 holds at the scale of the other components.
    vectors = np.array([[1.0, 0.0, 40.0], [0.0, 1.0, -50.0]], np.float32)
    np.save(tmp_path / "item_vectors.npy", vectors)
    (tmp_path / "product_ids.json").write_text(json.dumps(["a", "b"]))
    (tmp_path / "export.json").write_text(json.dumps({"item_scale": float(INT16_LIMIT)}))
    table = {"family": ["COURSE", "FUND"], "level_issuer": [None, 1]}
    drawn = pa.table({"id": ["c", "d", "e"], "family": ["FUND"] * 3, "level_issuer": [1] * 3})
    _add_vectors(tmp_path, pa.table({"id": ["a", "b"], **table}), drawn)
    found = np.load(tmp_path / "item_vectors.npy")
    assert np.array_equal(found[:2], vectors)
    assert found[2:, -1].tolist() == [-50.0] * 3
    assert np.abs(found[2:, :-1]).max() <= 1.0


def test_a_count_in_a_file_name_is_short_only_where_it_stays_exact() -> None:
    assert [shorten_count(count) for count in (2_000_000, 100_000, 2_601)] == ["2m", "100k", "2601"]
