"""Makes a bundle of an older one and a file of new and changed products, without training again.

The file is a delta: products that it does not name stay as they are. A new product is placed by its content,
as training places products without events. A product that is there keeps the bytes of its vector unless what
the item tower reads of it has changed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.ann import IndexKind
from index.assembly import Model, arrange, assemble
from index.bundle import Bundle, open_bundle
from index.delta import Problem, join_catalogue, read_delta, read_removed
from index.errors import BuildInputError
from index.features import ItemInputs, encode_items
from index.files import open_directory, read_proven
from index.item_vectors import ItemVectors, add_bytes
from index.manifest import CALIBRATION, OPTIONAL_FILE_BYTES_MAX, require_version_name
from index.products import STATED_TIME, table_of
from index.reference import count_saturated, quantise

UPDATE_STEPS: Final = ("read", "embed", "order", "index", "golden", "seal")
ITEM_ENCODERS: Final = "prudence.item_encoders"

Embed = Callable[[bytes, Mapping[str, NDArray[Any]]], NDArray[np.float32]]
"""Runs an item tower, given its bytes, over inputs by name: float32 [n, embedding_dim]."""


@dataclass(frozen=True)
class UpdateReport:
    """What an update did with the rows that it was given."""

    parent: str
    new_count: int
    changed_count: int
    unchanged_count: int
    removed_count: int
    embedded_count: int
    problems: tuple[Problem, ...]  # The rows set aside; such a product is not in the new bundle.

    def counts(self) -> dict[str, Any]:
        """Returns what the manifest says of it."""
        quarantined = len({problem.row for problem in self.problems})
        body = {name: value for name, value in asdict(self).items() if name != "problems"}
        return body | {"quarantined_count": quarantined}

    def to_json(self) -> str:
        """Returns the counts, and every problem with its row and field."""
        body = self.counts() | {"problems": [asdict(problem) for problem in self.problems]}
        return json.dumps(body, ensure_ascii=False, indent=2)


def update_bundle(
    *,
    parent: Path,
    products: Path | None,
    removed: Path | None,
    bundles: Path,
    kind: IndexKind = "auto",
    version: str | None = None,
    stated_time: datetime | None = None,
    embed: Embed | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> tuple[Bundle, UpdateReport]:
    """Seals a bundle of the parent's model and the changed catalogue, and makes it current.

    Args:
        parent: the bundle to start from.
        products: new and changed products, whole rows, Parquet.
        removed: ids of products to take out, one on a line.
        bundles: directory of all bundles; created where it is missing.
        kind: which FAISS index to build.
        version: bundle_version; by default the time and a hash of the content.
        stated_time: the instant as of which `products` says what it says; see docs/catalogue.md.
        embed: runs the item tower; by default the encoder that the server installs.
        on_step: called with each of UPDATE_STEPS as it begins.

    Raises:
        BuildInputError: a file is missing or wrong, or a vector does not fit the bundle's scale.
        BundleError: the parent is not whole, or the new bundle cannot be sealed; nothing is left behind.
    """
    if version is not None:
        require_version_name(version)
    create_time = datetime.now(UTC).replace(microsecond=0)
    on_step("read")
    bundle = open_bundle(parent)
    model = _model_of(bundle)
    delta = read_delta(products, bundle.products, stated_time=stated_time, now=create_time)
    gone = read_removed(removed, bundle.products.ids)
    source, kept = join_catalogue(bundle.products, delta, gone)
    table = table_of(source, name="products")
    if table.count == 0:
        raise BuildInputError("products: the update leaves no product; expected at least one")
    on_step("embed")
    given, fresh = _encode(bundle, delta.rows)
    vectors = _embed(embed or find_item_encoder(), bundle, given, fresh, delta.ids)
    items = _join_vectors(bundle, kept, delta.ids, fresh, vectors)
    on_step("order")
    catalogue = arrange(source, table, bundle.policy)
    report = _count(bundle, delta.rows, gone, len(vectors), delta.problems)
    updated = assemble(
        replace(model, source={**model.source, "update": report.counts()}),
        catalogue,
        items.take(catalogue.given_rows),
        policy=bundle.policy,
        bundles=bundles,
        kind=kind,
        version=version,
        create_time=create_time,
        on_step=on_step,
    )
    return updated, report


def find_item_encoder() -> Embed:
    """Returns what runs item towers: this package knows no models, so the server declares it.

    Raises:
        BuildInputError: none is installed.
    """
    found = list(entry_points(group=ITEM_ENCODERS, name="onnx"))
    if not found:
        raise BuildInputError(
            f"no item encoder is installed (entry point onnx in group {ITEM_ENCODERS}); "
            "install the application again"
        )
    embed: Embed = found[0].load()
    return embed


def _model_of(bundle: Bundle) -> Model:
    """Returns the parent's model as a build from an export would have it."""
    manifest, golden = bundle.manifest, bundle.golden.requests
    if bundle.calibration_vectors is None:
        raise BuildInputError(
            f"bundle {manifest.bundle_version}: holds no calibration users to tune an index with; "
            "build it once more from its export"
        )
    names = golden[0].inputs
    files = _read_files(bundle)
    return Model(
        model=manifest.model,
        embedding_dim=manifest.embedding_dim,
        opset=manifest.opset,
        user_scale=manifest.user_scale,
        item_scale=manifest.item_scale,
        parity=manifest.parity,
        quantisation=manifest.quantisation,
        quality=manifest.quality,
        source=manifest.source,
        user_tower=bundle.user_tower,
        item_tower=bundle.item_tower,
        features=files["features.json"],
        vocabulary=files["vocabulary.json"],
        calibration_inputs={
            name: np.concatenate([request.inputs[name] for request in golden]) for name in names
        },
        calibration_vectors=bundle.calibration_vectors,
        optional_files={name: files[name] for name in files if name in OPTIONAL_FILE_BYTES_MAX},
    )


def _read_files(bundle: Bundle) -> dict[str, bytes]:
    """Returns the parent's files that an update takes over as they are."""
    taken = {"features.json", "vocabulary.json", *OPTIONAL_FILE_BYTES_MAX} - {CALIBRATION}
    entries = {name: entry for name, entry in bundle.manifest.files.items() if name in taken}
    with open_directory(bundle.path) as directory:
        return {
            name: read_proven(directory, name, size=entry.size, sha256=entry.sha256)
            for name, entry in entries.items()
        }


def _encode(bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> tuple[ItemInputs, NDArray[np.int64]]:
    """Encodes the delta, and finds the rows of it that the tower has to embed, int64 [fresh]."""
    row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
    places = [place for place, row in enumerate(rows) if row["id"] in row_of]
    known = np.array(places, np.int64)
    given = encode_items(bundle.features, bundle.vocabulary, rows)
    former = [bundle.products.row(row_of[rows[place]["id"]]) for place in places]
    same = _find_same(given, known, encode_items(bundle.features, bundle.vocabulary, former))
    return given, np.setdiff1d(np.arange(len(rows)), known[same])


def _find_same(given: ItemInputs, known: NDArray[np.int64], former: ItemInputs) -> NDArray[np.bool_]:
    """Tells of which known products the tower reads what it read before, bool [known]."""
    before, same = former.feed(), np.ones(len(known), np.bool_)
    for name, values in given.feed().items():
        same &= (values[known] == before[name]).all(axis=tuple(range(1, values.ndim)))
    return same


def _embed(
    embed: Embed, bundle: Bundle, inputs: ItemInputs, fresh: NDArray[np.int64], ids: Sequence[str]
) -> NDArray[np.float32]:
    """Returns the vectors of the rows to embed, float32 [fresh, dim], all within the bundle's scale."""
    dim, scale = bundle.manifest.embedding_dim, bundle.manifest.item_scale
    if not len(fresh):
        return np.empty((0, dim), np.float32)
    feed = {name: values[fresh] for name, values in inputs.feed().items()}
    try:
        vectors = embed(bundle.item_tower, feed)
    except Exception as error:  # Another package's encoder has errors of its own.
        raise BuildInputError(f"the new products cannot be embedded: {error}") from error
    if vectors.dtype != np.float32 or vectors.shape != (len(fresh), dim):
        raise BuildInputError(
            f"item_tower.onnx: gave {vectors.dtype} {vectors.shape}; expected float32 {(len(fresh), dim)}"
        )
    for place, vector in zip(fresh.tolist(), vectors, strict=True):
        if not np.isfinite(vector).all():
            raise BuildInputError(f"item_tower.onnx: the vector of {ids[place]!r} holds NaN or infinity")
        if count_saturated(vector, scale):
            raise BuildInputError(
                f"item_tower.onnx: the vector of {ids[place]!r} does not fit the bundle's scale {scale:.6g}; "
                "export the run again with this catalogue"
            )
    return vectors


def _join_vectors(
    bundle: Bundle,
    kept: NDArray[np.int64],
    ids: Sequence[str],
    fresh: NDArray[np.int64],
    vectors: NDArray[np.float32],
) -> ItemVectors:
    """Returns the vectors of the kept products, then of the delta: old bytes where nothing was embedded."""
    row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
    # A new product has no old row; its place is written below.
    rows = np.concatenate([kept, np.array([row_of.get(product_id, 0) for product_id in ids], np.int64)])
    joined, scale = bundle.item_vectors[rows], bundle.manifest.item_scale  # [n, dim]
    joined[len(kept) + fresh] = quantise(vectors, scale)
    return add_bytes(joined, scale)


def _count(
    bundle: Bundle,
    rows: Sequence[Mapping[str, Any]],
    gone: frozenset[str],
    embedded_count: int,
    problems: tuple[Problem, ...],
) -> UpdateReport:
    row_of = {product_id: row for row, product_id in enumerate(bundle.product_ids)}
    known = [row for row in rows if row["id"] in row_of]
    same = sum(_states(row) == _states(bundle.products.row(row_of[row["id"]])) for row in known)
    return UpdateReport(
        parent=bundle.manifest.bundle_version,
        new_count=len(rows) - len(known),
        changed_count=len(known) - same,
        unchanged_count=same,
        removed_count=len(gone),
        embedded_count=embedded_count,
        problems=problems,
    )


def _states(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a row says of its product, whenever it was said."""
    return {name: value for name, value in row.items() if name != STATED_TIME}
