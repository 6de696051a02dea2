"""Builds a bundle from an export: reads, orders the rows, quantises; `index.assembly` does the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from index.ann import IndexKind
from index.assembly import Catalogue, arrange, assemble
from index.bundle import Bundle
from index.errors import BuildInputError
from index.export_input import ExportInput, read_export
from index.item_vectors import make_item_vectors
from index.manifest import require_version_name
from index.products import read_products, state_time, table_of
from index.reference import count_saturated
from index.risk_files import read_risk_export
from suitability.policy import Policy, load_policy

BUILD_STEPS = ("read", "order", "quantise", "index", "golden", "seal")


def build_bundle(
    *,
    export: Path,
    products: Path,
    policy: Path,
    bundles: Path,
    kind: IndexKind = "auto",
    version: str | None = None,
    stated_time: datetime | None = None,
    risk_model: Path | None = None,
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
        stated_time: the instant as of which `products` says what it says; see docs/catalogue.md.
        risk_model: directory that `python -m export risk` wrote, where the bundle is to hold a risk model.
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
    risk_files = {} if risk_model is None else read_risk_export(risk_model)
    rules = load_policy(policy)
    on_step("order")
    catalogue, rows = _order_catalogue(
        exported, _read(products, stated_time, create_time), products.name, rules
    )
    on_step("quantise")
    items = make_item_vectors(exported.item_vectors[rows], catalogue.product_ids, exported.item_scale)
    return assemble(
        dataclasses.replace(
            exported,
            quantisation=_quantisation(exported),
            optional_files={**exported.optional_files, **risk_files},
        ),
        catalogue,
        items,
        policy=rules,
        bundles=bundles,
        kind=kind,
        version=version,
        create_time=create_time,
        on_step=on_step,
    )


def _read(path: Path, stated_time: datetime | None, now: datetime) -> pa.Table:
    if not path.is_file():
        raise BuildInputError(f"{path.name}: expected a file at {path}, found none")
    return state_time(read_products(str(path), name=path.name), stated_time, now)


def _order_catalogue(
    exported: ExportInput, source: pa.Table, name: str, policy: Policy
) -> tuple[Catalogue, NDArray[np.int64]]:
    """Returns the catalogue in bundle order, and the row of each product in the export, [n]."""
    table = table_of(source, name=name)
    if table.count == 0:
        raise BuildInputError(f"{name}: holds no product; expected at least one")
    export_row = {product_id: row for row, product_id in enumerate(exported.product_ids)}
    if len(export_row) != len(exported.product_ids) or export_row.keys() != set(table.ids):
        odd = sorted(export_row.keys() ^ set(table.ids))[:3]
        raise BuildInputError(
            f"product_ids.json: {len(exported.product_ids)} ids, {name} has {table.count}; "
            f"expected the same distinct ids, and these differ: {odd}"
        )
    catalogue = arrange(source, table, policy)
    rows = np.array([export_row[product_id] for product_id in catalogue.product_ids], dtype=np.int64)
    return catalogue, rows


def _quantisation(exported: ExportInput) -> dict[str, Any]:
    return {
        **exported.quantisation,
        "item_saturated_count": count_saturated(exported.item_vectors, exported.item_scale),
        "user_saturated_count": count_saturated(exported.calibration_vectors, exported.user_scale),
    }
