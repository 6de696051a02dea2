"""Proven files that are not what their names say, or do not fit together, are refused and named."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from index.ann import build_index
from index.bundle import (
    Bundle,
    open_bundle,
)
from index.errors import (
    BundleConsistencyError,
    BundleError,
    BundleFormatError,
    BundleVectorNormError,
)
from index.manifest import FILE_BYTES_MAX
from index.products import read_products, write_products

FILES = tuple(FILE_BYTES_MAX)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("products.parquet", b"PAR1", "expected a Parquet table"),
        ("index.faiss", b"nonsense", "8 bytes; expected parts of"),
        ("features.json", b"{}", "format_version"),
        ("vocabulary.json", b"{}", "format_version"),
        ("vocabulary.json", b"[" * 100_000, "expected JSON"),
        ("policy.json", b"{}", "policy.json"),
        ("golden.json", b'{"format_version": 1}', "expected golden requests"),
        ("golden.json", b'{"format_version": 1, "format_version": 1}', "there twice"),
        ("evaluation.json", b"[]", "expected a JSON object"),
        ("item_vectors.int32.npy", b"\x80\x04.", "expected an .npy header"),
    ],
)
def test_proven_content_of_a_wrong_kind_is_refused_and_named(
    copy: Any, name: str, content: bytes, message: str
) -> None:
    copy.replace(name, content)
    with pytest.raises(BundleFormatError, match=message) as caught:
        open_bundle(copy.path)
    assert caught.value.file == name


@pytest.mark.parametrize(
    "values",
    [
        np.zeros((60, 8), np.float32),
        np.zeros((60, 8), ">i4"),
        np.zeros((59, 8), np.int32),
        np.zeros((60, 9), np.int32),
        np.zeros((8, 60), np.int32).T,
        np.array([{"a": 1}], object),
    ],
)
def test_vectors_of_another_dtype_shape_or_order_are_refused(copy: Any, values: np.ndarray, npy: Any) -> None:
    copy.replace("item_vectors.int32.npy", npy(values))
    with pytest.raises(BundleFormatError, match=r"expected int32 \(60, 8\) in C order"):
        open_bundle(copy.path)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': (",
        "{'descr': '''",
        "   x\n y\n  z",
        "-" * 3000 + "1",
        "{[]: 1}",
        "{1: 2, 'a': 3}",
        "{'descr': ('O',), 'fortran_order': False, 'shape': (60,)}",
        "{'descr': 5, 'fortran_order': False, 'shape': (60,)}",
    ],
)
def test_a_header_that_is_no_header_is_refused_whatever_numpy_makes_of_it(copy: Any, header: str) -> None:
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    copy.replace("item_vectors.int32.npy", content)
    with pytest.raises(BundleFormatError, match=r"int32\.npy: expected an \.npy header"):
        open_bundle(copy.path)


def test_bytes_at_a_scale_that_makes_all_items_alike_are_refused(copy: Any, npy: Any) -> None:
    copy.replace("item_vectors.int8.npy", npy(np.zeros((60, 8), np.int8)))
    copy.edit_manifest(lambda body: body.update({"int8_scale": 1e-9}))
    with pytest.raises(BundleConsistencyError, match="int8_scale is 1e-09"):
        open_bundle(copy.path)


def test_vectors_longer_than_their_header_says_are_refused(copy: Any) -> None:
    copy.replace("item_vectors.int8.npy", (copy.path / "item_vectors.int8.npy").read_bytes() + b"\0")
    with pytest.raises(BundleFormatError, match=r"item_vectors\.int8\.npy: 609 bytes; its header says 608"):
        open_bundle(copy.path)


def test_one_vector_far_longer_than_the_others_is_refused(copy: Any, npy: Any) -> None:
    vectors = np.ones((60, 8), np.int32)
    vectors[17] = 32767
    copy.replace("item_vectors.int32.npy", npy(vectors))
    with pytest.raises(BundleVectorNormError, match=r"int32\.npy: 1 of 60 vectors .*: 'c017' has norm"):
        open_bundle(copy.path)


def test_one_popularity_far_larger_than_the_other_vectors_is_refused(copy: Any, npy: Any) -> None:
    vectors = np.full((60, 8), 1000, np.int32)
    vectors[18, -1] = 10**6
    copy.replace("item_vectors.int32.npy", npy(vectors))
    with pytest.raises(BundleVectorNormError, match="'c018' has norm"):
        open_bundle(copy.path)


@pytest.mark.parametrize("value", [2**23, -(2**23), -(2**31)])
def test_a_value_with_which_scores_could_overflow_is_refused(copy: Any, npy: Any, value: int) -> None:
    vectors = np.full((60, 8), 2**23 - 1, np.int32)
    vectors[59, 0] = value
    copy.replace("item_vectors.int32.npy", npy(vectors))
    with pytest.raises(BundleConsistencyError, match=f"values are .*{value}.*; expected -8388607 to 8388607"):
        open_bundle(copy.path)


def test_zero_vectors_do_not_make_the_others_look_long(copy: Any, npy: Any) -> None:
    vectors = np.zeros((60, 8), np.int32)
    vectors[:9, :-1] = 1000
    copy.replace("item_vectors.int32.npy", npy(vectors))
    with pytest.raises(BundleConsistencyError, match="int8_scale"):  # The next check: the norms pass.
        open_bundle(copy.path)


def test_vectors_that_are_all_zero_are_refused(copy: Any, npy: Any) -> None:
    copy.replace("item_vectors.int32.npy", npy(np.zeros((60, 8), np.int32)))
    with pytest.raises(BundleConsistencyError, match="every vector is zero"):
        open_bundle(copy.path)


def test_int8_vectors_that_differ_from_the_int32_ones_are_refused(copy: Any, npy: Any) -> None:
    values = np.load(copy.path / "item_vectors.int8.npy")
    values[3, 3] ^= 1
    copy.replace("item_vectors.int8.npy", npy(values))
    with pytest.raises(BundleConsistencyError, match="rounded to int8"):
        open_bundle(copy.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"product_count": 61}, "item_vectors"),
        ({"learning_count": 29}, "learning_count is 30; the manifest says 29"),
        ({"vocabulary_count": 59}, "vocabulary_count is 60"),
        ({"policy_hash": "0" * 64}, "policy_hash is"),
        ({"score_scale": 1.0}, "score_scale is 1.0"),
        ({"user_scale": 1e200, "item_scale": 1e200}, "score_scale is"),
        ({"int8_scale": 1e-3}, "int8_scale is 0.001; the largest component asks for"),
        ({"int8_scale": 1e300}, "int8_scale is 1e"),
        ({"embedding_dim": 9}, "item_vectors"),
    ],
)
def test_a_manifest_that_does_not_fit_its_files_is_refused(
    copy: Any, change: dict[str, Any], message: str
) -> None:
    copy.edit_manifest(lambda body: body.update(change))
    with pytest.raises(BundleError, match=message):
        open_bundle(copy.path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "IndexIVFFlat"}, r"index\.faiss: IndexIVFFlat of rows \[0, 60\): it is"),
        ({"row_stop": 61}, "expected 61 rows"),
        ({"row_start": 1, "row_stop": 61}, r"expected parts that together are rows \[0, 61\)"),
        ({"size": 7}, r"expected parts of \[7\]"),
    ],
)
def test_an_index_that_is_not_what_the_manifest_says_is_refused(
    copy: Any, change: dict[str, Any], message: str
) -> None:
    copy.edit_manifest(lambda body: body["index"][0].update(change))
    with pytest.raises(BundleFormatError, match=message):
        open_bundle(copy.path)


def test_rows_out_of_order_are_refused_and_named(copy: Any, tiny_bundle: Bundle) -> None:
    source = read_products(str(copy.path / "products.parquet"), name="products.parquet")
    order = list(range(60))
    order[40], order[41] = order[41], order[40]
    copy.replace("products.parquet", write_products(source, order))
    with pytest.raises(
        BundleConsistencyError, match=r"row 40 is 'f001'; under policy\.json it should be 'f000'"
    ):
        open_bundle(copy.path)


def test_an_index_of_other_vectors_is_refused(copy: Any, tiny_bundle: Bundle) -> None:
    copy.replace("index.faiss", build_index(-tiny_bundle.item_vectors.astype(np.float32)).content)
    with pytest.raises(BundleConsistencyError, match=r"index\.faiss: finds 0\.\d+ of the best products"):
        open_bundle(copy.path)


def test_an_index_that_finds_a_little_less_than_when_it_was_built_is_refused(
    copy: Any, tiny_bundle: Bundle
) -> None:
    assert tiny_bundle.manifest.recall["golden_found"] == 1.0
    vectors = tiny_bundle.item_vectors.astype(np.float32)
    best = Counter(name for request in tiny_bundle.golden.requests for name in request.product_ids)
    hidden = tiny_bundle.product_ids.index(best.most_common(1)[0][0])
    vectors[hidden] = -vectors[hidden]
    copy.replace("index.faiss", build_index(vectors).content)
    with pytest.raises(BundleConsistencyError, match=r"finds 0\.9\d+ of the best .*; expected 0\.9900"):
        open_bundle(copy.path)
