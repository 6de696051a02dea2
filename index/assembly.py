"""Assembles a bundle from a model, a catalogue and item vectors: index, golden requests, manifest, seal."""

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
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.ann import FAISS_VERSION, IndexKind, load_index
from index.associations import read_rules
from index.bundle import Bundle, seal_bundle, write_current
from index.errors import BuildInputError
from index.features import Vocabulary
from index.golden import GOLDEN, make_golden, measure_found, write_golden
from index.item_vectors import ItemVectors
from index.manifest import (
    ASSOCIATIONS,
    CALIBRATION,
    FORMAT_VERSION,
    GOLDEN_FOUND,
    INDEX,
    SEGMENTS,
    Manifest,
)
from index.products import ProductTable, count_learning, find_tiers, order_rows, write_products
from index.reference import quantise
from index.segments import read_segments
from index.tuning import CANDIDATE_COUNT, RECALL_K, RECALL_TARGET, TunedIndex, build_tuned
from suitability.policy import Policy


@dataclass(frozen=True)
class Model:
    """What a bundle has of a trained model, whatever its catalogue is."""

    model: str
    embedding_dim: int
    opset: int
    user_scale: float
    item_scale: float
    parity: Mapping[str, Any]
    quantisation: Mapping[str, Any]
    quality: Mapping[str, Any]
    source: Mapping[str, Any]
    user_tower: bytes
    item_tower: bytes
    features: bytes
    vocabulary: bytes
    calibration_inputs: Mapping[str, NDArray[Any]]  # each [inputs, ...], of the first of the users
    calibration_vectors: NDArray[np.float32]  # [users, dim]
    optional_files: Mapping[str, bytes]  # what an export may lack, as a bundle holds it


@dataclass(frozen=True)
class Catalogue:
    """A catalogue in bundle order: its Parquet bytes, ids, and where each row stood in the table given."""

    content: bytes
    product_ids: tuple[str, ...]
    given_rows: NDArray[np.int64]  # [n]
    learning_count: int
    tier_stops: tuple[int, ...]


def arrange(source: pa.Table, table: ProductTable, policy: Policy) -> Catalogue:
    """Puts a catalogue into bundle order.

    Args:
        source: the catalogue.
        table: the same, read.
        policy: the policy under which the rows are ordered.
    """
    order = order_rows(table.rows, policy)
    return Catalogue(
        content=write_products(source, order),
        product_ids=tuple(table.ids[position] for position in order),
        given_rows=np.array(order, dtype=np.int64),
        learning_count=count_learning(table.rows),
        tier_stops=find_tiers(table.rows, policy),
    )


def assemble(
    model: Model,
    catalogue: Catalogue,
    items: ItemVectors,
    *,
    policy: Policy,
    bundles: Path,
    kind: IndexKind,
    version: str | None,
    create_time: datetime,
    on_step: Callable[[str], None],
) -> Bundle:
    """Builds what depends on vectors and order, seals the bundle and makes it current.

    Args:
        model: what the towers are, and the users that the index is tuned with.
        catalogue: the products in bundle order.
        items: their vectors, in the same order.
        policy: the policy under which they were ordered.
        bundles: directory of all bundles; created where it is missing.
        kind: which FAISS index to build.
        version: bundle_version; by default the time and a hash of the content.
        create_time: now, with a zone.
        on_step: called as "index", "golden" and "seal" begin.

    Raises:
        BuildInputError: the clock of the data is none.
        BundleError: the bundle cannot be sealed; nothing is left behind.
    """
    users = quantise(model.calibration_vectors, model.user_scale)  # [users, dim]
    on_step("index")
    tuned = build_tuned(
        items.int32,
        model.calibration_vectors,
        users,
        kind=kind,
        learning_count=catalogue.learning_count,
        tier_stops=catalogue.tier_stops,
    )
    on_step("golden")
    golden = make_golden(
        model.calibration_inputs,
        users,
        items.int32,
        catalogue.product_ids,
        _decision_time(model.source, create_time),
    )
    on_step("seal")
    found = measure_found(golden, load_index(tuned.file), items.int32)
    draft = _draft_manifest(model, catalogue, policy, tuned, found, create_time, items.int8_scale)
    files = _files(model, catalogue, policy, draft, items)
    files |= {INDEX: bytes(tuned.file.content), GOLDEN: write_golden(golden)}
    name = version if version is not None else _version_for(create_time, files)
    bundle = seal_bundle(bundles, dataclasses.replace(draft, bundle_version=name), files)
    write_current(bundles, name)
    return bundle


def _files(
    model: Model,
    catalogue: Catalogue,
    policy: Policy,
    draft: Manifest,
    items: ItemVectors,
) -> dict[str, bytes]:
    """Returns the files that need no computation."""
    evaluation = {name: getattr(draft, name) for name in ("quality", "parity", "quantisation", "recall")}
    if SEGMENTS in model.optional_files:
        segments = read_segments(model.optional_files[SEGMENTS], model.embedding_dim)
        evaluation["segments"] = segments.describe()
    if ASSOCIATIONS in model.optional_files:
        evaluation["associations"] = read_rules(model.optional_files[ASSOCIATIONS]).describe()
    return {
        **model.optional_files,
        "user_tower.onnx": model.user_tower,
        "item_tower.onnx": model.item_tower,
        "item_vectors.int32.npy": _npy(items.int32),
        "item_vectors.int8.npy": _npy(items.int8),
        CALIBRATION: _npy(model.calibration_vectors),
        "products.parquet": catalogue.content,
        "features.json": model.features,
        "vocabulary.json": model.vocabulary,
        "policy.json": policy.canonical,
        "evaluation.json": _json(evaluation),
    }


def _draft_manifest(
    model: Model,
    catalogue: Catalogue,
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
        model=model.model,
        embedding_dim=model.embedding_dim,
        product_count=len(catalogue.product_ids),
        learning_count=catalogue.learning_count,
        vocabulary_count=len(Vocabulary.from_json(model.vocabulary).product_ids),
        user_scale=model.user_scale,
        item_scale=model.item_scale,
        score_scale=model.user_scale * model.item_scale,
        int8_scale=int8_scale,
        opset=model.opset,
        index=tuned.file.parts,
        parity=model.parity,
        quantisation=model.quantisation,
        recall={
            "k": RECALL_K,
            "candidate_count": CANDIDATE_COUNT,
            "target": RECALL_TARGET,
            "user_count": tuned.user_count,
            GOLDEN_FOUND: golden_found,
            "ranges": [dataclasses.asdict(found) for found in tuned.recall],
        },
        quality=model.quality,
        policy_hash=policy.sha256,
        source=model.source,
        tool_versions=_tool_versions(),
        files={},
    )


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
