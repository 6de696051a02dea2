"""Embedding products for an update: row by row, under the name by which the index finds it."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from index.bundle import Bundle
from index.features import encode_items
from server.encoder import embed_items
from server.errors import SnapshotError

ROOT = Path(__file__).resolve().parents[2]


def test_the_entry_point_names_the_encoder() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    value = project["entry-points"]["prudence.item_encoders"]["onnx"]
    assert EntryPoint("onnx", value, "prudence.item_encoders").load() is embed_items


def test_a_products_vector_does_not_depend_on_what_else_is_embedded(tiny_bundle: Bundle) -> None:
    rows = [tiny_bundle.products.row(row) for row in range(7)]
    feed = encode_items(tiny_bundle.features, tiny_bundle.vocabulary, rows).feed()
    together = embed_items(tiny_bundle.item_tower, feed)
    assert (together.shape, together.dtype) == ((7, 8), np.float32)
    for row in range(7):
        alone = embed_items(
            tiny_bundle.item_tower, {name: part[row : row + 1] for name, part in feed.items()}
        )
        np.testing.assert_array_equal(alone[0], together[row])


def test_what_is_no_tower_is_refused() -> None:
    with pytest.raises(SnapshotError, match=r"item_tower\.onnx: onnxruntime cannot run it"):
        embed_items(b"nonsense", {"item_token": np.zeros(1, np.int64)})
