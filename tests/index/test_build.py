"""Building: what a bundle holds, what an input must be, and that a refusal leaves nothing."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index import ann, reference, tiers
from index.build import BUILD_STEPS, build_bundle
from index.bundle import Bundle, open_bundle, read_current
from index.errors import (
    BuildInputError,
    BundleExistsError,
    BundleFormatError,
    IndexPackageError,
)
from suitability.errors import PolicyError


def _build(case: Any, bundles: Path, **options: Any) -> Bundle:
    return build_bundle(
        export=case.export, products=case.products, policy=case.policy, bundles=bundles, **options
    )


def _edit(path: Path, change: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_a_build_seals_and_makes_current(make_export: Callable[..., Any], tmp_path: Path) -> None:
    steps: list[str] = []
    bundle = _build(make_export(tmp_path), tmp_path / "bundles", on_step=steps.append)
    assert read_current(tmp_path / "bundles") == bundle.path
    assert open_bundle(bundle.path).manifest == bundle.manifest
    assert tuple(steps) == BUILD_STEPS
    assert bundle.manifest.bundle_version.endswith(bundle.path.name[-8:])


def test_vectors_follow_their_products(tiny_bundle: Bundle, make_export: Any, tmp_path: Path) -> None:
    case = make_export(tmp_path)
    vectors = np.load(case.export / "item_vectors.npy")
    ids = json.loads((case.export / "product_ids.json").read_text())
    for row, product_id in enumerate(tiny_bundle.product_ids):
        expected = reference.quantise(vectors[ids.index(product_id)], tiny_bundle.manifest.item_scale)
        np.testing.assert_array_equal(tiny_bundle.item_vectors[row], expected)
        assert tiny_bundle.products.row(row)["id"] == product_id


def test_the_index_holds_whole_vectors(tiny_bundle: Bundle) -> None:
    index = ann.load_index(tiny_bundle.read_index())
    assert (index.kind, index.count, index.dim) == ("IndexFlatIP", 60, 8)
    query = tiny_bundle.item_vectors[41]
    exact = reference.score(query, tiny_bundle.item_vectors)
    assert (
        index.search(query[None].astype(np.float32), 5, 0, 60)[0].tolist() == np.argsort(-exact)[:5].tolist()
    )


def test_permuting_the_catalogue_gives_the_same_bundle(
    make_export: Callable[..., Any], catalogue_rows: tuple[dict[str, Any], ...], tmp_path: Path
) -> None:
    order = np.random.default_rng(99).permutation(len(catalogue_rows))
    permuted = tuple(catalogue_rows[position] for position in order)
    first = _build(make_export(tmp_path / "a"), tmp_path / "a" / "bundles")
    second = _build(make_export(tmp_path / "b", rows=permuted), tmp_path / "b" / "bundles")
    assert first.manifest.files == second.manifest.files


def test_golden_answers_are_the_exact_best(tiny_bundle: Bundle) -> None:
    ranks = reference.rank_ids(tiny_bundle.product_ids)
    assert len(tiny_bundle.golden.requests) == 20
    for request in tiny_bundle.golden.requests:
        scores = reference.score(request.user_vector, tiny_bundle.item_vectors)
        best = reference.select(scores, ranks, 20)
        assert request.product_ids == tuple(tiny_bundle.product_ids[row] for row in best)
        assert request.scores == tuple(scores[best].tolist())
        assert request.inputs["history_token"].shape == (1, 50)
        assert request.inputs["user_numeric"].dtype == np.float32


def test_golden_inputs_keep_every_bit(tiny_bundle: Bundle, make_export: Any, tmp_path: Path) -> None:
    with np.load(make_export(tmp_path).export / "calibration_inputs.npz") as arrays:
        for name in tiny_bundle.golden.requests[0].inputs:
            for position, request in enumerate(tiny_bundle.golden.requests):
                np.testing.assert_array_equal(request.inputs[name][0], arrays[name][position])


def test_a_large_catalogue_gets_an_inverted_file_with_measured_recall(
    make_export: Callable[..., Any], tmp_path: Path
) -> None:
    rows = [{"id": f"c{number:04}", "family": "COURSE"} for number in range(10_001)]
    manifest = _build(make_export(tmp_path, rows=rows), tmp_path / "bundles").manifest
    (part,) = manifest.index
    assert (part.kind, part.row_start, part.row_stop, part.list_count) == ("IndexIVFFlat", 0, 10_001, 100)
    assert 1 <= part.effort < 100
    assert [(found["domain"], found["row_stop"], found["share"]) for found in manifest.recall["ranges"]] == [
        ("learning", 10_001, 1.0),
        ("both", 10_001, 1.0),
        ("both", 10_001, 0.1),
        ("both", 10_001, 0.01),
    ]
    assert min(found["recall"] for found in manifest.recall["ranges"]) >= 0.99
    assert manifest.recall["golden_found"] >= 0.99


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("flat", [("IndexFlatIP", 0, 60)]),
        ("ivf_flat", [("IndexIVFFlat", 0, 60)]),
        ("hnsw", [("IndexHNSWFlat", 0, 60)]),
        ("nested", [("IndexIVFFlat", 0, 30), ("IndexIVFFlat", 30, 46), ("IndexIVFFlat", 30, 51)]),
    ],
)
def test_every_kind_of_index_is_sealed_measured_and_served_from_the_mapped_file(
    kind: ann.IndexKind,
    parts: list[tuple[str, int, int]],
    make_export: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiers, "FLAT_ROW_COUNT_MAX", 5)
    sealed = _build(make_export(tmp_path), tmp_path / "bundles", kind=kind)
    bundle = open_bundle(sealed.path)
    found = [(part.kind, part.row_start, part.row_stop) for part in bundle.manifest.index]
    assert found[: len(parts)] == parts
    recall = {
        (row["domain"], row["row_stop"], row["share"]): row["recall"]
        for row in bundle.manifest.recall["ranges"]
    }
    asked = {("learning", 30), ("financial", 46), ("both", 46), ("both", 60), ("both", 38)}
    assert {(*each, 1.0) for each in asked} | {("both", 60, 0.1), ("both", 60, 0.01)} <= recall.keys()
    assert min(recall.values()) >= 0.99
    file = bundle.read_index()
    assert isinstance(file.content, mmap.mmap)
    index = ann.load_index(file)
    found_rows = index.search(bundle.golden.requests[0].user_vector[None].astype(np.float32), 20, 0, 60)[0]
    assert len(set(found_rows.tolist())) == 20
    assert set(found_rows.tolist()) <= set(range(60))


def test_one_product_is_enough(make_export: Callable[..., Any], tmp_path: Path) -> None:
    bundle = _build(
        make_export(tmp_path, rows=[{"id": "only", "family": "COURSE"}]),
        tmp_path / "bundles",
        kind="ivf_flat",
    )
    assert bundle.product_ids == ("only",)
    assert bundle.golden.requests[0].product_ids == ("only",)


def test_an_empty_catalogue_is_refused(make_export: Callable[..., Any], tmp_path: Path) -> None:
    case = make_export(tmp_path)
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), case.products)
    with pytest.raises(BuildInputError, match=r"products\.parquet: holds no product"):
        _build(case, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_finite_are_refused(
    make_export: Callable[..., Any], tmp_path: Path, value: float
) -> None:
    case = make_export(tmp_path)
    vectors = np.load(case.export / "item_vectors.npy")
    vectors[13, 2] = value
    np.save(case.export / "item_vectors.npy", vectors)
    with pytest.raises(BuildInputError, match=r"item_vectors\.npy: row 13 holds NaN or infinity"):
        _build(case, tmp_path / "bundles")


@pytest.mark.parametrize("factor", [30.0, 1e9])
def test_a_vector_of_absurd_length_is_refused_and_leaves_nothing(
    make_export: Callable[..., Any], tmp_path: Path, factor: float
) -> None:
    case = make_export(tmp_path)
    vectors = np.load(case.export / "item_vectors.npy")
    vectors[13] *= factor
    np.save(case.export / "item_vectors.npy", vectors)
    _edit(case.export / "export.json", {"item_scale": reference.item_scale_for(vectors)})
    long_id = json.loads((case.export / "product_ids.json").read_text())[13]
    problem = rf"^item_vectors\.npy: 1 of 60 vectors are too long: '{long_id}' has norm"
    with pytest.raises(BuildInputError, match=problem):
        _build(case, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize(
    "name",
    [
        "export.json",
        "product_ids.json",
        "item_vectors.npy",
        "calibration_inputs.npz",
        "features.json",
        "vocabulary.json",
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_missing_empty_or_wrong_export_file_is_refused_and_named(
    make_export: Callable[..., Any], tmp_path: Path, name: str, content: bytes | None
) -> None:
    case = make_export(tmp_path)
    if content is None:
        (case.export / name).unlink()
    else:
        (case.export / name).write_bytes(content)
    with pytest.raises(IndexPackageError, match=name.split(".", maxsplit=1)[0]):
        _build(case, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("name", ["user_tower.onnx", "item_tower.onnx"])
def test_an_empty_tower_is_refused_and_named(
    make_export: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    case = make_export(tmp_path)
    (case.export / name).write_bytes(b"")
    with pytest.raises(BuildInputError, match=f"{name}: the file is empty"):
        _build(case, tmp_path / "bundles")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": 1}, "model"),
        ({"embedding_dim": "8"}, "embedding_dim"),
        ({"item_scale": None}, "item_scale"),
        ({"user_scale": True}, "user_scale"),
        ({"parity": []}, "parity"),
        ({"source": {"clock": "yesterday"}}, "source.clock"),
        ({"source": {"clock": "2026-11-22T00:00:00"}}, "source.clock"),
    ],
)
def test_a_wrong_field_of_the_export_is_named(
    make_export: Callable[..., Any], tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    case = make_export(tmp_path)
    _edit(case.export / "export.json", change)
    with pytest.raises(BuildInputError, match=rf"export\.json: {field}"):
        _build(case, tmp_path / "bundles")


def test_an_export_of_another_catalogue_is_refused(make_export: Callable[..., Any], tmp_path: Path) -> None:
    case = make_export(tmp_path)
    ids = json.loads((case.export / "product_ids.json").read_text())
    ids[0] = "stranger"
    (case.export / "product_ids.json").write_text(json.dumps(ids))
    with pytest.raises(BuildInputError, match=r"these differ: .*'stranger'"):
        _build(case, tmp_path / "bundles")


def test_a_missing_catalogue_is_refused(make_export: Callable[..., Any], tmp_path: Path) -> None:
    case = make_export(tmp_path)
    case.products.unlink()
    with pytest.raises(BuildInputError, match=r"products\.parquet: expected a file"):
        _build(case, tmp_path / "bundles")


def test_a_missing_policy_is_refused(make_export: Callable[..., Any], tmp_path: Path) -> None:
    case = make_export(tmp_path)
    with pytest.raises(PolicyError):
        build_bundle(
            export=case.export,
            products=case.products,
            policy=tmp_path / "none.json",
            bundles=tmp_path / "bundles",
        )


def test_a_version_that_is_taken_is_refused_and_current_stays(
    make_export: Callable[..., Any], tmp_path: Path
) -> None:
    case = make_export(tmp_path)
    _build(case, tmp_path / "bundles", version="one")
    _build(case, tmp_path / "bundles", version="two")
    with pytest.raises(BundleExistsError):
        _build(case, tmp_path / "bundles", version="one")
    assert read_current(tmp_path / "bundles").name == "two"


@pytest.mark.parametrize("version", ["", "../up", "a/b", ".hidden", "x" * 101, "a b"])
def test_a_version_that_is_no_name_is_refused_first(tmp_path: Path, version: str) -> None:
    with pytest.raises(BundleFormatError, match="bundle_version"):
        build_bundle(export=tmp_path, products=tmp_path, policy=tmp_path, bundles=tmp_path, version=version)
