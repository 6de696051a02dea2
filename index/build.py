"""Builds a bundle: order the rows, quantise, index, answer golden requests, seal, point CURRENT at it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import io
import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.ann import FAISS_VERSION, IndexKind, load_index
from index.bundle import Bundle, seal_bundle, write_current
from index.errors import BuildInputError
from index.export_input import ExportInput, read_export
from index.features import Vocabulary
from index.golden import GOLDEN, make_golden, measure_found, write_golden
from index.item_vectors import ItemVectors, make_item_vectors
from index.manifest import FORMAT_VERSION, GOLDEN_FOUND, INDEX, SEGMENTS, Manifest, require_version_name
from index.products import count_learning, find_tiers, order_rows, read_products, table_of, write_products
from index.reference import count_saturated, quantise
from index.segments import read_segments
from index.tuning import CANDIDATE_COUNT, RECALL_K, RECALL_TARGET, TunedIndex, build_tuned
from suitability.policy import Policy, load_policy

BUILD_STEPS = ("read", "order", "quantise", "index", "golden", "seal")


@dataclass(frozen=True)
class _Catalogue:
    """The catalogue in bundle order: its Parquet bytes, ids, and where each row stood in the export."""

    content: bytes
    product_ids: tuple[str, ...]
    export_rows: NDArray[np.int64]  # [n]
    learning_count: int
    tier_stops: tuple[int, ...]


def build_bundle(
    *,
    export: Path,
    products: Path,
    policy: Path,
    bundles: Path,
    kind: IndexKind = "auto",
    version: str | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> Bundle:
    """Builds and seals a bundle and makes it current.

    Args:
        export: directory that `python -m export` wrote.
        products: clean catalogue, Parquet.
        policy: policy under which the rows are ordered.
        bundles: directory of all bundles; created where it is missing.
        kind: which FAISS index to build.
        version: bundle_version; by default the time and a hash of the content.
        on_step: called with each of BUILD_STEPS as it begins.

    Raises:
        BuildInputError: an input is missing, wrong or empty.
        BundleError: the bundle cannot be sealed; nothing is left behind.
        PolicyError: the policy is not one.
    """
    if version is not None:
        require_version_name(version)
    create_time = datetime.now(UTC).replace(microsecond=0)
    on_step("read")
    exported = read_export(export)
    rules = load_policy(policy)
    on_step("order")
    catalogue = _order_catalogue(exported, products, rules)
    on_step("quantise")
    items = make_item_vectors(
        exported.item_vectors[catalogue.export_rows], catalogue.product_ids, exported.item_scale
    )
    users = quantise(exported.calibration_vectors, exported.user_scale)  # [users, dim]
    on_step("index")
    tuned = build_tuned(
        items.wide,
        exported.calibration_vectors,
        users,
        kind=kind,
        learning_count=catalogue.learning_count,
        tier_stops=catalogue.tier_stops,
    )
    on_step("golden")
    golden = make_golden(
        exported.calibration_inputs,
        users,
        items.int16,
        items.bias,
        catalogue.product_ids,
        _decision_time(exported.source, create_time),
    )
    on_step("seal")
    found = measure_found(golden, load_index(tuned.file), items.int16, items.bias)
    draft = _draft_manifest(exported, catalogue, rules, tuned, found, create_time, items.int8_scale)
    files = _files(exported, catalogue, rules, draft, items)
    files |= {INDEX: bytes(tuned.file.content), GOLDEN: write_golden(golden)}
    name = version if version is not None else _version_for(create_time, files)
    bundle = seal_bundle(bundles, dataclasses.replace(draft, bundle_version=name), files)
    write_current(bundles, name)
    return bundle


def _files(
    exported: ExportInput,
    catalogue: _Catalogue,
    policy: Policy,
    draft: Manifest,
    items: ItemVectors,
) -> dict[str, bytes]:
    """Returns the files that need no computation."""
    evaluation = {name: getattr(draft, name) for name in ("quality", "parity", "quantisation", "recall")}
    if SEGMENTS in exported.optional_files:
        segments = read_segments(exported.optional_files[SEGMENTS], exported.embedding_dim)
        evaluation["segments"] = segments.describe()
    return {
        **exported.optional_files,
        "user_tower.onnx": exported.user_tower,
        "item_tower.onnx": exported.item_tower,
        "item_vectors.int16.npy": _npy(items.int16),
        "item_bias.npy": _npy(items.bias),
        "item_vectors.int8.npy": _npy(items.int8),
        "products.parquet": catalogue.content,
        "features.json": exported.features,
        "vocabulary.json": exported.vocabulary,
        "policy.json": policy.canonical,
        "evaluation.json": _json(evaluation),
    }


def _order_catalogue(exported: ExportInput, path: Path, policy: Policy) -> _Catalogue:
    if not path.is_file():
        raise BuildInputError(f"{path.name}: expected a file at {path}, found none")
    source: pa.Table = read_products(str(path), name=path.name)
    table = table_of(source, name=path.name)
    if table.count == 0:
        raise BuildInputError(f"{path.name}: holds no product; expected at least one")
    export_row = {product_id: row for row, product_id in enumerate(exported.product_ids)}
    if len(export_row) != len(exported.product_ids) or export_row.keys() != set(table.ids):
        odd = sorted(export_row.keys() ^ set(table.ids))[:3]
        raise BuildInputError(
            f"product_ids.json: {len(exported.product_ids)} ids, {path.name} has {table.count}; "
            f"expected the same distinct ids, and these differ: {odd}"
        )
    order = order_rows(table.rows, policy)
    product_ids = tuple(table.ids[position] for position in order)
    return _Catalogue(
        content=write_products(source, order),
        product_ids=product_ids,
        export_rows=np.array([export_row[product_id] for product_id in product_ids], dtype=np.int64),
        learning_count=count_learning(table.rows),
        tier_stops=find_tiers(table.rows, policy),
    )


def _draft_manifest(
    exported: ExportInput,
    catalogue: _Catalogue,
    policy: Policy,
    tuned: TunedIndex,
    golden_found: float,
    create_time: datetime,
    int8_scale: float,
) -> Manifest:
    """Returns the manifest but for its name and files."""
    return Manifest(
        format_version=FORMAT_VERSION,
        bundle_version="draft",
        create_time=create_time.isoformat(),
        source_commit=_source_commit(),
        model=exported.model,
        embedding_dim=exported.embedding_dim,
        product_count=len(catalogue.product_ids),
        learning_count=catalogue.learning_count,
        vocabulary_count=len(Vocabulary.from_json(exported.vocabulary).product_ids),
        user_scale=exported.user_scale,
        item_scale=exported.item_scale,
        score_scale=exported.user_scale * exported.item_scale,
        int8_scale=int8_scale,
        opset=exported.opset,
        index=tuned.file.parts,
        parity=exported.parity,
        quantisation=_quantisation(exported),
        recall={
            "k": RECALL_K,
            "candidate_count": CANDIDATE_COUNT,
            "target": RECALL_TARGET,
            "user_count": tuned.user_count,
            GOLDEN_FOUND: golden_found,
            "ranges": [dataclasses.asdict(found) for found in tuned.recall],
        },
        quality=exported.quality,
        policy_hash=policy.sha256,
        source=exported.source,
        tool_versions=_tool_versions(),
        files={},
    )


def _quantisation(exported: ExportInput) -> dict[str, Any]:
    return {
        **exported.quantisation,
        "item_saturated_count": count_saturated(exported.item_vectors[:, :-1], exported.item_scale),
        "user_saturated_count": count_saturated(exported.calibration_vectors, exported.user_scale),
    }


def _tool_versions() -> dict[str, str]:
    return {
        "faiss": FAISS_VERSION,
        "numpy": np.__version__,
        "prudence": _own_version(),
        "pyarrow": pa.__version__,
        "python": platform.python_version(),
    }


def _decision_time(source: Mapping[str, Any], create_time: datetime) -> datetime:
    """Returns the clock of the data, or the time of the build where the data is of today."""
    clock = source.get("clock")
    if clock is None:
        return create_time
    try:
        decision_time = datetime.fromisoformat(clock)
    except (TypeError, ValueError) as error:
        raise BuildInputError(f"export.json: source.clock is {clock!r:.80}; expected RFC 3339") from error
    if decision_time.utcoffset() is None:
        raise BuildInputError(f"export.json: source.clock is {clock!r}; expected a zone")
    return decision_time


def _version_for(create_time: datetime, files: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(hashlib.sha256(files[name]).digest())
    return f"{create_time:%Y%m%dT%H%M%SZ}-{digest.hexdigest()[:8]}"


def _source_commit() -> str:
    """Returns the commit of this checkout, "unknown" where it is installed or has no git."""
    git = shutil.which("git")
    if git is None:
        return "unknown"
    command = [git, "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    return result.stdout.strip() if result.returncode == 0 else "unknown"


def _own_version() -> str:
    try:
        return importlib.metadata.version("prudence")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def _npy(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(values), allow_pickle=False)
    return stream.getvalue()


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False).encode()
