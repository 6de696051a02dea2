"""What a bundle's bytes mean: parsed once, and checked to fit together.

Sealing and opening both go through `parse_contents`, so a bundle that was sealed is one that opens.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.ann import load_index
from index.ann_format import check_index
from index.associations import Associations, place_rules, read_rules
from index.errors import (
    AnnError,
    AnnFormatError,
    BuildInputError,
    BundleConsistencyError,
    BundleFormatError,
    BundleVectorNormError,
    FeatureSchemaError,
)
from index.features import FeatureSpec, Vocabulary
from index.golden import GOLDEN, Golden, measure_found, read_golden
from index.item_vectors import find_int8_scale, to_int8
from index.manifest import (
    ASSOCIATIONS,
    CALIBRATION,
    GOLDEN_FOUND,
    INDEX,
    SEGMENTS,
    Manifest,
    strict_json,
)
from index.products import ProductTable, count_learning, is_ordered, order_rows, read_products, table_of
from index.reference import STEP_LIMIT
from index.risk_files import BundledRisk, parse_risk
from index.segments import Segments, read_segments
from index.tiers import IndexFile
from index.vector_norms import describe_overlong, measure_norms
from suitability.errors import PolicyError
from suitability.policy import Policy, load_policy

_NPY_HEADER_MAX = 4096
_SCALE_TOLERANCE = 1e-9

FOUND_MIN = 0.9
"""An index is built to find .99 of the best. One of other vectors finds far less, and only this shows it."""
FOUND_MARGIN = 0.01
"""How much less than when it was built an index may find: sums of floats differ a little between machines."""


@dataclass(frozen=True)
class Contents:
    """The parsed files of a bundle."""

    item_vectors: NDArray[np.int32]  # [n, dim]
    item_vectors_int8: NDArray[np.int8]  # [n, dim]
    products: ProductTable
    features: FeatureSpec
    vocabulary: Vocabulary
    policy: Policy
    evaluation: Mapping[str, Any]
    golden: Golden
    user_tower: bytes
    item_tower: bytes
    calibration_vectors: NDArray[np.float32] | None  # [users, dim], whom the index was tuned with
    segments: Segments | None  # None in a bundle without that file
    associations: Associations | None  # the same
    risk: BundledRisk | None  # None in a bundle without a risk model


def parse_contents(manifest: Manifest, files: Mapping[str, bytes], index: IndexFile) -> Contents:
    """Parses every file and checks that they describe one catalogue under one policy.

    Args:
        manifest: the bundle's manifest.
        files: proven content by file name.
        index: the proven FAISS index.

    Raises:
        BundleFormatError: a file is not what its name says.
        BundleConsistencyError: files do not fit together, or with the manifest.
    """
    shape = (manifest.product_count, manifest.embedding_dim)
    try:
        products = table_of(
            read_products(pa.BufferReader(files["products.parquet"]), name="products.parquet"),
            name="products.parquet",
        )
        contents = Contents(
            item_vectors=parse_vectors("item_vectors.int32.npy", files, np.dtype("<i4"), shape),
            item_vectors_int8=parse_vectors("item_vectors.int8.npy", files, np.dtype("i1"), shape),
            products=products,
            features=FeatureSpec.from_json(files["features.json"]),
            vocabulary=Vocabulary.from_json(files["vocabulary.json"]),
            policy=load_policy(files["policy.json"]),
            evaluation=strict_json(files["evaluation.json"], "evaluation.json"),
            golden=read_golden(files[GOLDEN]),
            user_tower=files["user_tower.onnx"],
            item_tower=files["item_tower.onnx"],
            calibration_vectors=_parse_calibration(files, manifest.embedding_dim),
            segments=(read_segments(files[SEGMENTS], manifest.embedding_dim) if SEGMENTS in files else None),
            associations=(
                place_rules(read_rules(files[ASSOCIATIONS]), products.ids, manifest.score_scale)
                if ASSOCIATIONS in files
                else None
            ),
            risk=parse_risk(files),
        )
    except BuildInputError as error:
        raise BundleFormatError("products.parquet", str(error)) from error
    except FeatureSchemaError as error:
        name = "vocabulary.json" if str(error).startswith("vocabulary") else "features.json"
        raise BundleFormatError(name, str(error)) from error
    except PolicyError as error:
        raise BundleFormatError("policy.json", str(error)) from error
    _check_manifest(manifest, contents)
    _check_order(contents)
    _check_vectors(manifest, contents)
    _check_index(manifest, index)
    _check_golden(manifest, contents)
    _check_found(manifest, contents, index)
    return contents


def parse_vectors(
    name: str, files: Mapping[str, bytes], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Returns a view of an .npy file's array, without copying and without pickle.

    Raises:
        BundleFormatError: it is not an .npy file of exactly this dtype, shape and length.
    """
    content = files[name]
    found_shape, fortran, found_dtype, offset = _read_header(name, content)
    if fortran or found_dtype != dtype or found_shape != shape:
        raise BundleFormatError(
            name, f"{found_dtype} {found_shape}, fortran {fortran}; expected {dtype} {shape} in C order"
        )
    expected_size = offset + dtype.itemsize * math.prod(shape)
    if len(content) != expected_size:
        raise BundleFormatError(name, f"{len(content)} bytes; its header says {expected_size}")
    return np.frombuffer(content, dtype=dtype, offset=offset).reshape(shape)


def _read_header(name: str, content: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Returns shape, whether the order is Fortran's, dtype, and where the values begin."""
    stream = io.BytesIO(content[:_NPY_HEADER_MAX])
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise BundleFormatError(name, f".npy version is {version}; expected (1, 0)")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except Exception as error:  # NumPy reads a header as Python's own text, and raises whatever that does.
        raise BundleFormatError(name, f"expected an .npy header: {error}") from error
    return shape, fortran, dtype, stream.tell()


def _parse_calibration(files: Mapping[str, bytes], dim: int) -> NDArray[np.float32] | None:
    if CALIBRATION not in files:
        return None
    user_count = next(iter(_read_header(CALIBRATION, files[CALIBRATION])[0]), 0)
    vectors = parse_vectors(CALIBRATION, files, np.dtype("<f4"), (user_count, dim))
    if user_count == 0 or not np.isfinite(vectors).all():
        raise BundleFormatError(CALIBRATION, "expected finite vectors of at least one user")
    return vectors


def _check_manifest(manifest: Manifest, contents: Contents) -> None:
    facts: dict[str, tuple[str, object, object]] = {
        "product_count": ("products.parquet", contents.products.count, manifest.product_count),
        "learning_count": (
            "products.parquet",
            count_learning(contents.products.rows),
            manifest.learning_count,
        ),
        "vocabulary_count": (
            "vocabulary.json",
            len(contents.vocabulary.product_ids),
            manifest.vocabulary_count,
        ),
        "policy_hash": ("policy.json", contents.policy.sha256, manifest.policy_hash),
    }
    for field, (file, found, expected) in facts.items():
        if found != expected:
            raise BundleConsistencyError(file, f"{field} is {found}; the manifest says {expected}")
    product = manifest.user_scale * manifest.item_scale
    if not math.isclose(manifest.score_scale, product, rel_tol=_SCALE_TOLERANCE):
        raise BundleConsistencyError(
            "manifest.json", f"score_scale is {manifest.score_scale}; user_scale * item_scale is {product}"
        )


def _check_order(contents: Contents) -> None:
    if is_ordered(contents.products.rows, contents.policy):
        return
    ids, order = contents.products.ids, order_rows(contents.products.rows, contents.policy)
    wrong = next(row for row, position in enumerate(order) if row != position)
    raise BundleConsistencyError(
        "products.parquet",
        f"row {wrong} is {ids[wrong]!r}; under policy.json it should be {ids[order[wrong]]!r}",
    )


def _check_vectors(manifest: Manifest, contents: Contents) -> None:
    name, vectors = "item_vectors.int32.npy", contents.item_vectors
    least, most = int(vectors.min()), int(vectors.max())
    if least < -STEP_LIMIT or most > STEP_LIMIT:
        raise BundleConsistencyError(
            name, f"values are {least} to {most}; expected {-STEP_LIMIT} to {STEP_LIMIT}"
        )
    norms = measure_norms(vectors)  # [n]
    if not norms.any():
        raise BundleConsistencyError(name, "every vector is zero; expected vectors of a trained model")
    overlong = describe_overlong(norms, contents.products.ids)
    if overlong is not None:
        raise BundleVectorNormError(name, overlong)
    # At another scale the bytes could fit the manifest and still tell the items apart no more.
    int8_scale = find_int8_scale(vectors, manifest.item_scale)
    if not math.isclose(manifest.int8_scale, int8_scale, rel_tol=_SCALE_TOLERANCE):
        raise BundleConsistencyError(
            "manifest.json",
            f"int8_scale is {manifest.int8_scale}; the largest component asks for {int8_scale}",
        )
    expected = to_int8(vectors, manifest.item_scale, manifest.int8_scale)
    if not np.array_equal(contents.item_vectors_int8, expected):
        raise BundleConsistencyError("item_vectors.int8.npy", f"differs from {name} rounded to int8")


def _check_index(manifest: Manifest, index: IndexFile) -> None:
    try:
        check_index(index, count=manifest.product_count, dim=manifest.embedding_dim)
    except AnnFormatError as error:
        raise BundleFormatError(INDEX, str(error)) from error


def _check_golden(manifest: Manifest, contents: Contents) -> None:
    known = frozenset(contents.products.ids)
    if not contents.golden.requests:
        raise BundleConsistencyError(GOLDEN, "holds no request; expected at least one")
    for position, request in enumerate(contents.golden.requests):
        if request.user_vector.shape != (manifest.embedding_dim,):
            raise BundleConsistencyError(
                GOLDEN,
                f"request {position}: vector of shape {request.user_vector.shape}; expected "
                f"({manifest.embedding_dim},)",
            )
        if len(request.product_ids) != len(request.scores) or not known.issuperset(request.product_ids):
            raise BundleConsistencyError(GOLDEN, f"request {position}: unknown products or scores missing")


def _check_found(manifest: Manifest, contents: Contents, index: IndexFile) -> None:
    """Checks that the index finds as much of what is best for the golden users as when it was built."""
    try:
        found = measure_found(contents.golden, load_index(index), contents.item_vectors)
    except AnnError as error:
        raise BundleFormatError(INDEX, str(error)) from error
    expected = max(FOUND_MIN, manifest.recall.get(GOLDEN_FOUND, 0.0) - FOUND_MARGIN)
    if found < expected:
        raise BundleConsistencyError(
            INDEX, f"finds {found:.4f} of the best products of the golden requests; expected {expected:.4f}"
        )
