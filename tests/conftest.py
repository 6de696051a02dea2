"""Fixtures that several packages' tests share: a small export with real ONNX towers, and its bundle.

The towers are written node by node, so no torch is needed: a user's vector is the mean of the vectors of the
products in the history plus a small part from the profile; an item's vector is its row of the same table.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from index.build import build_bundle
from index.bundle import Bundle, open_bundle
from index.features import HISTORY_LENGTH, Event, FeatureSpec, Vocabulary, encode_users, fit_features
from index.reference import item_scale_for, user_scale_for
from index.texts import TERM_COUNT
from suitability.policy import default_policy_path

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
DIM = 8
OPSET = 18

_TEXT_LISTS = {"channels", "jurisdictions", "objectives_y", "objectives_n", "needs_served", "tags", "assumed"}


@dataclass(frozen=True)
class ExportCase:
    """A fabricated export with its catalogue: what `python -m index build` takes."""

    export: Path
    products: Path
    policy: Path
    rows: tuple[Mapping[str, Any], ...]


MakeExport = Callable[..., ExportCase]


@pytest.fixture(scope="session", autouse=True)
def keep_priority() -> Iterator[None]:
    """Lets no command that a test calls in this process lower its priority, which would stay so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "nice", lambda _: 0)
        yield


@pytest.fixture(scope="session")
def now() -> datetime:
    """The decision time at which every fixture's product is on sale and every assessment valid."""
    return NOW


@pytest.fixture(scope="session")
def cautious_profile() -> dict[str, Any]:
    """A retail user at risk level 1 with a complete profile."""
    return make_profile(risk_level=1)


@pytest.fixture(scope="session")
def bold_profile() -> dict[str, Any]:
    """A retail user at risk level 5 with a complete profile."""
    return make_profile(risk_level=5)


@pytest.fixture(scope="session")
def catalogue_rows() -> tuple[dict[str, Any], ...]:
    """60 products: 30 courses, 10 unrated and 20 rated financial products, in no particular order."""
    courses = [_course(f"c{number:03}") for number in range(30)]
    unrated = [_fund(f"p{number:03}", level=1, family="INS_PROTECTION") for number in range(10)]
    rated = [_fund(f"f{number:03}", level=1 + number % 5, risk_score=400 * number) for number in range(18)]
    derived = [_fund("f900", level=3), _fund("f901", level=None)]
    rows = [*courses, *unrated, *rated, *derived]
    return tuple(rows[position] for position in np.random.default_rng(7).permutation(len(rows)))


@pytest.fixture(scope="session")
def make_export(catalogue_rows: tuple[dict[str, Any], ...]) -> MakeExport:
    """Returns a function that writes an export of the given rows and vectors into a directory."""

    def make(
        directory: Path,
        rows: Sequence[Mapping[str, Any]] = catalogue_rows,
        vectors: np.ndarray | None = None,
    ) -> ExportCase:
        return _write_export(directory, rows, vectors)

    return make


@pytest.fixture(scope="session")
def tiny_bundles(make_export: MakeExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of bundles with one sealed bundle and CURRENT. Do not change it; copy it."""
    directory = tmp_path_factory.mktemp("tiny")
    case = make_export(directory)
    build_bundle(
        export=case.export,
        products=case.products,
        policy=case.policy,
        bundles=directory / "bundles",
        version="tiny",
    )
    return directory / "bundles"


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundles: Path) -> Bundle:
    """The bundle of `tiny_bundles`, opened."""
    return open_bundle(tiny_bundles / "tiny")


def _write_export(
    directory: Path, rows: Sequence[Mapping[str, Any]], vectors: np.ndarray | None
) -> ExportCase:
    export = directory / "export"
    export.mkdir(parents=True)
    ids = [row["id"] for row in rows]
    # Vectors depend on the id alone, so that permuting the catalogue changes nothing.
    if vectors is None:
        vectors = np.array([_vector_of(product_id) for product_id in ids], np.float32).reshape(len(ids), DIM)
    vocabulary = Vocabulary(tuple(sorted(ids)))
    profiles = [make_profile(risk_level=level % 6) for level in range(24)]
    spec = fit_features(profiles, sorted(rows, key=lambda row: row["id"]), NOW)
    table = np.zeros((vocabulary.token_count, DIM), np.float32)
    for product_id, vector in zip(ids, vectors, strict=True):
        table[vocabulary.tokens[product_id]] = vector
    user_tower = _user_tower(table, spec)
    inputs = encode_users(spec, vocabulary, profiles, _histories(sorted(ids), len(profiles)), NOW)
    users = onnxruntime.InferenceSession(user_tower).run(["user_vector"], inputs.feed())[0]
    (export / "user_tower.onnx").write_bytes(user_tower)
    (export / "item_tower.onnx").write_bytes(_item_tower(table, spec))
    np.save(export / "item_vectors.npy", vectors)
    np.savez(export / "calibration_inputs.npz", user_vector=users, **inputs.feed())
    (export / "product_ids.json").write_text(json.dumps(ids))
    (export / "features.json").write_text(spec.to_json())
    (export / "vocabulary.json").write_text(vocabulary.to_json())
    (export / "export.json").write_text(json.dumps(_description(vectors, users)))
    products = directory / "products.parquet"
    pq.write_table(_table(rows), products)
    return ExportCase(export, products, default_policy_path(), tuple(rows))


def _description(vectors: np.ndarray, users: np.ndarray) -> dict[str, Any]:
    finite = bool(len(vectors)) and bool(np.isfinite(vectors).all())
    return {
        "model": "two_tower",
        "embedding_dim": DIM,
        "user_scale": user_scale_for(users, unit_length=False),
        "item_scale": item_scale_for(vectors) if finite else 1.0,
        "opset": OPSET,
        "parity": {"request_count": 24, "relative_max": 0.0},
        "quantisation": {},
        "quality": {"recall@20": 0.5},
        "source": {"name": "test", "simulated": True, "attribution": "", "clock": NOW.isoformat()},
    }


def _user_tower(table: np.ndarray, spec: FeatureSpec) -> bytes:
    numeric_width = 2 * len(spec.user_numeric)
    weights = np.random.default_rng(3).normal(scale=0.01, size=(numeric_width, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "history_token"], ["embedded"]),
        helper.make_node("ReduceMean", ["embedded", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["user_numeric", "weights"], ["profile"]),
        helper.make_node("Add", ["mean", "profile"], ["user_vector"]),
    ]
    inputs = {
        "history_token": (TensorProto.INT64, HISTORY_LENGTH),
        "history_event": (TensorProto.INT64, HISTORY_LENGTH),
        "history_age": (TensorProto.FLOAT, HISTORY_LENGTH),
        "user_categorical": (TensorProto.INT64, len(spec.user_categorical)),
        "user_numeric": (TensorProto.FLOAT, numeric_width),
    }
    constants = {"table": table, "weights": weights, "axes": np.array([1], np.int64)}
    return _model(
        nodes, {name: (kind, ["batch", width]) for name, (kind, width) in inputs.items()}, constants, "user"
    )


def _item_tower(table: np.ndarray, spec: FeatureSpec) -> bytes:
    nodes = [helper.make_node("Gather", ["table", "item_token"], ["item_vector"])]
    inputs: dict[str, tuple[int, list[str | int]]] = {
        "item_token": (TensorProto.INT64, ["batch"]),
        "item_categorical": (TensorProto.INT64, ["batch", len(spec.item_categorical)]),
        "item_numeric": (TensorProto.FLOAT, ["batch", 2 * len(spec.item_numeric)]),
        "item_term": (TensorProto.INT64, ["batch", TERM_COUNT]),
    }
    return _model(nodes, inputs, {"table": table}, "item")


def _model(
    nodes: list[Any], inputs: Mapping[str, Any], constants: Mapping[str, np.ndarray], side: str
) -> bytes:
    graph = helper.make_graph(
        nodes,
        f"{side}_tower",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(f"{side}_vector", TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString()
    return content


def _vector_of(product_id: str) -> np.ndarray:
    return np.random.default_rng(list(product_id.encode())).normal(size=DIM)


def _histories(ids: Sequence[str], user_count: int) -> list[list[Event]]:
    """Gives user n the n products that follow product n; user 0 has no history."""
    moment = NOW.timestamp() - 86_400
    count = max(len(ids), 1)
    return [
        [Event(ids[(user + step) % count], "click", moment - step) for step in range(user if ids else 0)]
        for user in range(user_count)
    ]


def _course(product_id: str) -> dict[str, Any]:
    return {
        "id": product_id,
        "title": f"Course {product_id}",
        "family": "COURSE",
        "issuer": "academy",
        "status": "ON_SALE",
        "sale_start": NOW - timedelta(days=100),
        "sale_end": NOW + timedelta(days=100),
        "channels": ["app", "web"],
        "category": "basics",
        "price_minor": 9900,
        "tags": ["saving"],
    }


def _fund(
    product_id: str, *, level: int | None, risk_score: int | None = None, family: str = "FUND"
) -> dict[str, Any]:
    insurance = {"needs_served": ["HEALTH"], "pay_years": 10, "annual_premium": 200_000}
    investment = {"objectives_y": ["GROWTH"], "objectives_n": []}
    return (
        _course(product_id)
        | {
            "title": f"Fund {product_id}",
            "family": family,
            "issuer": f"issuer-{product_id[-1]}",
            "scale": "CN5",
            "level_issuer": level,
            "level_distributor": level,
            "risk_score": risk_score,
            "registration_code": f"R-{product_id}",
            "licence_until": NOW + timedelta(days=100),
            "offering": "PUBLIC",
            "category": "fund",
            "retail": "Y",
            "min_knowledge": 1,
            "loss_class": 1,
            "max_loss_bps": 2000,
            "min_horizon_months": 6,
            "min_age": 18,
            "max_age": 75,
            "jurisdictions": ["CN"],
            "us_persons_ok": False,
            "currency": "CNY",
            "min_amount": 10_000,
            "capacity_left": 10**9,
        }
        | (insurance if family.startswith("INS") else investment)
    )


def make_profile(*, risk_level: int) -> dict[str, Any]:
    return {
        "pseudonym": b"tester",
        "profile_as_of": NOW - timedelta(hours=1),
        "client_type": "RETAIL",
        "capacity": "FULL",
        "birth_date": date(1985, 5, 17),
        "jurisdiction": "CN",
        "us_person": False,
        "risk_level": risk_level,
        "assessed_on": date(2026, 6, 1),
        "level_changed": False,
        "level_confirmed": True,
        "assessments_today": 0,
        "assessments_12m": 1,
        "change_reported": False,
        "knowledge": {"FUND": 2, "INS_PROTECTION": 2},
        "loss_capacity": 2,
        "max_loss_bps": 3000,
        "horizon_months": 60,
        "objectives": frozenset({"GROWTH"}),
        "needs": frozenset({"HEALTH"}),
        "needs_on": date(2026, 6, 1),
        "liquid": 50_000_000,
        "income": 30_000_000,
        "premium_budget": 5_000_000,
        "currencies": frozenset({"CNY"}),
        "held_issuer": {"elsewhere": 1_000_000},
        "held_high_risk": 0,
        "held_dup_groups": frozenset(),
        "vulnerable": False,
        "blocked": False,
        "consent_sensitive": True,
        "user_risk_band": 2,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    names = sorted({name for row in rows for name in row}) or ["id"]
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        kind = pa.list_(pa.string()) if name in _TEXT_LISTS else None
        kind = pa.timestamp("us", tz="UTC") if isinstance(_first(values), datetime) else kind
        columns[name] = pa.array(values, type=pa.string() if not rows else kind)
    return pa.table(columns)


def _first(values: Sequence[Any]) -> Any:
    return next((value for value in values if value is not None), None)
