"""Embeddings of products: centred, scaled, missing, refused; and columns that a catalogue must have."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from index.errors import FeatureColumnError, FeatureSchemaError, FeatureValueError
from index.features import FeatureSpec, Vocabulary, encode_items, fit_features
from index.item_embedding import WIDTH_MAX, EmbeddingScale, encode_embedding, fit_embedding
from index.products import read_products, write_products

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def make_products(*embeddings: Any) -> list[dict[str, Any]]:
    return [{"id": f"p{row}", "embedding": vector} for row, vector in enumerate(embeddings)]


def test_directions_and_distances_stay_as_the_encoder_made_them() -> None:
    vectors = np.random.default_rng(3).normal(5.0, (1.0, 7.0, 0.1), (11, 3))
    products = make_products(*vectors.tolist())
    fitted = fit_embedding(products)
    assert fitted is not None
    encoded = encode_embedding(fitted, products)
    # float32 holds seven digits, and the mean of eleven is a sum.
    np.testing.assert_allclose(encoded[:, :3] * fitted.scale, vectors - vectors.mean(axis=0), atol=1e-5)
    assert encoded[:, :3].std() == pytest.approx(1.0, rel=1e-5)
    assert not encoded[:, 3].any()


def test_a_product_without_an_embedding_is_marked_and_stands_in_the_middle() -> None:
    products = make_products([1.0, 2.0], None, [3.0, 6.0])
    fitted = fit_embedding(products)
    assert fitted is not None
    encoded = encode_embedding(fitted, products)
    assert encoded[1].tolist() == [0.0, 0.0, 1.0]
    assert fitted.mean == (2.0, 4.0)


@pytest.mark.parametrize("vectors", [[[4.0]], [[4.0], [4.0]], [[1.0], [-3.0], None]])
def test_width_one_and_equal_vectors_are_finite(vectors: list[Any]) -> None:
    products = make_products(*vectors)
    fitted = fit_embedding(products)
    assert fitted is not None
    encoded = encode_embedding(fitted, products)
    assert encoded.shape == (len(vectors), 2)
    assert np.isfinite(encoded).all()


@pytest.mark.parametrize("products", [[], [{"id": "p"}], make_products(None, None)])
def test_no_embedding_fits_nothing(products: list[dict[str, Any]]) -> None:
    assert fit_embedding(products) is None


@pytest.mark.parametrize(
    ("vectors", "told"),
    [
        ([[1.0, 2.0], [1.0]], r"embedding: expected 2 numbers in row 1, as in the others, got 1"),
        ([[1.0, 2.0], [1.0, math.nan]], r"embedding: expected finite numbers in row 1"),
        ([[math.inf]], r"embedding: expected finite numbers in row 0"),
        ([[1e39]], r"embedding: expected finite numbers in row 0"),
        ([[]], rf"embedding: expected 1 to {WIDTH_MAX} numbers, got 0"),
        ([[0.0] * (WIDTH_MAX + 1)], rf"expected 1 to {WIDTH_MAX} numbers, got {WIDTH_MAX + 1}"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_cannot_be_fitted_names_field_and_row(vectors: list[Any], told: str) -> None:
    with pytest.raises(FeatureValueError, match=told):
        fit_features([], make_products(*vectors), NOW)


def test_another_width_than_the_fitted_one_is_refused() -> None:
    with pytest.raises(FeatureValueError, match="expected 2 numbers in row 0, as in the others, got 3"):
        encode_embedding(EmbeddingScale((0.0, 0.0), 1.0), make_products([1.0, 2.0, 3.0]))


def test_a_spec_with_embeddings_comes_back_equal() -> None:
    spec = fit_features([], make_products([0.1, 0.2], [0.3, -1e-3]), NOW)
    assert FeatureSpec.from_json(spec.to_json()) == spec
    assert spec.item_embedding is not None
    assert spec.item_embedding.width == 2


def test_a_spec_without_embeddings_is_written_as_before_there_were_any() -> None:
    spec = fit_features([], [{"id": "p0", "price_minor": 3}], NOW)
    assert list(json.loads(spec.to_json())) == [
        "format_version",
        "user_categorical",
        "user_numeric",
        "item_categorical",
        "item_numeric",
    ]
    assert list(encode_items(spec, Vocabulary(()), [{"id": "p0"}]).feed()) == [
        "item_token",
        "item_categorical",
        "item_numeric",
        "item_term",
    ]


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"mean": [], "scale": 1.0},
        {"mean": [0.0], "scale": 0.0},
        {"mean": [0.0], "scale": math.inf},
        {"mean": [math.nan], "scale": 1.0},
        {"mean": ["0"], "scale": 1.0},
        {"mean": [0.0]},
        {"mean": [0.0], "scale": 1.0, "std": 1.0},
    ],
)
def test_a_spec_with_a_wrong_embedding_is_refused(body: Any) -> None:
    spec = json.loads(fit_features([], make_products([1.0]), NOW).to_json()) | {"item_embedding": body}
    with pytest.raises(FeatureSchemaError, match="item_embedding"):
        FeatureSpec.from_json(json.dumps(spec))


@pytest.mark.parametrize("gone", ["embedding", "price_minor", "scale", "category"])
def test_a_column_that_the_model_learned_from_must_be_there(gone: str) -> None:
    product = {"scale": "CN5", "level_issuer": 2, "level_distributor": 2, "category": "a", "price_minor": 5}
    spec = fit_features([], [{"id": "p0", "embedding": [1.0], **product}], NOW)
    columns = {"id", "embedding", *product}
    spec.require_columns(columns)
    with pytest.raises(FeatureColumnError, match=f"column '{gone}' is missing"):
        spec.require_columns(columns - {gone})


def test_a_column_that_stated_nothing_is_not_asked_for() -> None:
    fit_features([], [{"id": "p0"}], NOW).require_columns({"id"})


def test_a_bundle_keeps_no_embeddings() -> None:
    table = pa.table({"id": ["a", "b"], "embedding": pa.array([[1.0], None], pa.list_(pa.float32()))})
    written = read_products(pa.BufferReader(write_products(table, [1, 0])), name="products.parquet")
    assert written.to_pylist() == [{"id": "b"}, {"id": "a"}]
