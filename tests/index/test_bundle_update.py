"""Updating: a new bundle of an older one and a few products, without training again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from index import update
from index.build import build_bundle
from index.bundle import Bundle, open_bundle, read_current
from index.errors import BuildInputError
from index.manifest import CALIBRATION, SEGMENTS
from index.segments import order_segments
from index.update import UPDATE_STEPS, UpdateReport, update_bundle
from server.encoder import embed_items

STATED = datetime(2026, 11, 20, tzinfo=UTC)
Rows = Sequence[Mapping[str, Any]]


@pytest.fixture
def run(tiny_bundle: Bundle, tmp_path: Path) -> Callable[..., tuple[Bundle, UpdateReport]]:
    """Returns a function that updates the tiny bundle with rows, with its own item tower by default."""

    def go(rows: Rows = (), remove: str | None = None, **options: Any) -> tuple[Bundle, UpdateReport]:
        products = removed = None
        if rows:
            products = tmp_path / "delta.parquet"
            schema = tiny_bundle.products.rows.to_arrow().schema
            pq.write_table(pa.Table.from_pylist([_plain(row) for row in rows], schema=schema), products)
        if remove is not None:
            removed = tmp_path / "removed.txt"
            removed.write_text(remove)
        return update_bundle(
            parent=options.pop("parent", tiny_bundle.path),
            products=products,
            removed=removed,
            bundles=tmp_path / "updated",
            **{"embed": embed_items, **options},
        )

    return go


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in row.items()}


def _row(bundle: Bundle, product_id: str, **changes: Any) -> dict[str, Any]:
    return dict(bundle.products.row(bundle.product_ids.index(product_id))) | changes


def _vector(bundle: Bundle, product_id: str) -> list[int]:
    vector: list[int] = bundle.item_vectors[bundle.product_ids.index(product_id)].tolist()
    return vector


def test_an_update_of_everything_that_training_knew_is_the_full_build(
    run: Any, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every row is embedded again, though none has changed: what the export gave must come out.
    monkeypatch.setattr(update, "_find_same", lambda *_: np.zeros(60, np.bool_))
    updated, report = run([dict(row) for row in tiny_bundle.products.rows])
    assert (report.embedded_count, report.unchanged_count) == (60, 60)
    assert updated.product_ids == tiny_bundle.product_ids
    for name in ("item_vectors", "item_vectors_int8"):
        np.testing.assert_array_equal(getattr(updated, name), getattr(tiny_bundle, name))
    assert [(request.product_ids, request.scores) for request in updated.golden.requests] == [
        (request.product_ids, request.scores) for request in tiny_bundle.golden.requests
    ]
    assert updated.manifest.int8_scale == tiny_bundle.manifest.int8_scale
    assert updated.read_index().parts == tiny_bundle.read_index().parts


def test_a_new_product_is_found_by_its_content(run: Any, tiny_bundle: Bundle) -> None:
    def embed(_tower: bytes, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        assert feed["item_token"].tolist() == [1], "no identity: content alone places it"
        model = _row(tiny_bundle, "f003")
        row = tiny_bundle.product_ids.index(model["id"])
        steps = tiny_bundle.item_vectors[row : row + 1]
        return (steps / tiny_bundle.manifest.item_scale).astype(np.float32)

    updated, report = run([_row(tiny_bundle, "f003", id="new1")], embed=embed)
    assert (report.new_count, report.embedded_count, updated.products.count) == (1, 1, 61)
    assert _vector(updated, "new1") == _vector(tiny_bundle, "f003")
    listed = [request for request in updated.golden.requests if "f003" in request.product_ids]
    assert listed
    assert any("new1" in request.product_ids for request in listed)


def test_a_product_whose_features_stay_keeps_its_vector_and_moves_by_its_risk(
    run: Any, tiny_bundle: Bundle
) -> None:
    def refuse(*_: object) -> np.ndarray:
        pytest.fail("nothing that the tower reads has changed")

    updated, report = run([_row(tiny_bundle, "c003", status="SUSPENDED", sale_end=STATED)], embed=refuse)
    assert (report.changed_count, report.embedded_count) == (1, 0)
    assert _vector(updated, "c003") == _vector(tiny_bundle, "c003")
    assert _row(updated, "c003")["status"] == "SUSPENDED"
    raised, report = run([_row(tiny_bundle, "f000", risk_score=9_999)])
    assert report.embedded_count == 1, "the tower reads the risk score"
    rated = [name for name in raised.product_ids if name.startswith("f")]
    assert rated[-2:] == ["f000", "f901"]


def test_unnamed_products_keep_every_byte_of_their_vectors(run: Any, tiny_bundle: Bundle) -> None:
    updated, _ = run([_row(tiny_bundle, "f003", title="Other", price_minor=1)])
    for name in set(tiny_bundle.product_ids) - {"f003"}:
        assert _vector(updated, name) == _vector(tiny_bundle, name)


def test_removed_products_are_gone_and_stay_in_the_vocabulary(run: Any, tiny_bundle: Bundle) -> None:
    updated, report = run(remove="c000\n\nf001\n")
    assert report.removed_count == 2
    assert set(tiny_bundle.product_ids) - set(updated.product_ids) == {"c000", "f001"}
    assert updated.learning_count == 29
    assert updated.vocabulary == tiny_bundle.vocabulary
    assert open_bundle(updated.path).manifest == updated.manifest


def test_the_manifest_names_the_parent_and_counts_and_current_follows(
    run: Any, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    steps: list[str] = []
    updated, _ = run([_row(tiny_bundle, "c001", id="new1")], remove="c002", on_step=steps.append)
    assert updated.manifest.source["update"] == {
        "parent": "tiny",
        "new_count": 1,
        "changed_count": 0,
        "unchanged_count": 0,
        "removed_count": 1,
        "embedded_count": 1,
        "quarantined_count": 0,
    }
    assert tuple(steps) == UPDATE_STEPS
    assert read_current(tmp_path / "updated") == updated.path
    again, _ = run(remove="c003", parent=updated.path)
    assert again.manifest.source["update"]["parent"] == updated.manifest.bundle_version


def test_a_bad_row_is_set_aside_with_row_and_field_and_its_product_leaves(
    run: Any, tiny_bundle: Bundle
) -> None:
    updated, report = run(
        [
            _row(tiny_bundle, "c001", title="Fine"),
            _row(tiny_bundle, "f002", level_issuer=9, currency="yuan"),
            _row(tiny_bundle, "f003", id="new1", risk_score=-1),
        ]
    )
    assert [(each.row, each.product_id, each.field) for each in report.problems] == [
        (2, "f002", "level_issuer"),
        (2, "f002", "currency"),
        (3, "new1", "risk_score"),
    ]
    assert "9; expected integer from 1 to 7" in report.problems[0].problem
    assert report.counts()["quarantined_count"] == 2
    assert {"f002", "new1"}.isdisjoint(updated.product_ids)
    assert json.loads(report.to_json())["problems"][0]["field"] == "level_issuer"


def test_a_row_says_as_of_when_it_was_stated_and_the_others_as_before(run: Any, tiny_bundle: Bundle) -> None:
    updated, _ = run([_row(tiny_bundle, "c001", title="Later")], stated_time=STATED)
    assert _row(updated, "c001")["stated_time"] == STATED
    assert "stated_time" not in _row(updated, "c002")
    with pytest.raises(BuildInputError, match="expected an instant with a zone, up to"):
        run([_row(tiny_bundle, "c001")], stated_time=datetime.now(UTC) + timedelta(days=1))


def test_a_vector_beyond_the_scale_is_refused_and_named(run: Any, tiny_bundle: Bundle) -> None:
    def embed(_tower: bytes, _feed: object) -> np.ndarray:
        return np.full((1, 8), 1e6, np.float32)

    with pytest.raises(
        BuildInputError, match=r"'new1' does not fit the bundle's scale .*export the run again"
    ):
        run([_row(tiny_bundle, "c001", id="new1")], embed=embed)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"family": None}, r"lacks the columns \['family'\]"),
        ({"level_issuer": "two"}, r"row 1: level_issuer is string; expected int64"),
        ({"id": ""}, r"id at row 0 is ''"),
    ],
)
def test_a_file_of_another_schema_is_refused_with_row_and_field(
    run: Any, tiny_bundle: Bundle, tmp_path: Path, given: dict[str, Any], problem: str
) -> None:
    row = _plain(_row(tiny_bundle, "f003")) | given
    table = tiny_bundle.products.rows.to_arrow().slice(0, 0)
    columns = {
        name: pa.array([row.get(name)], None if name in given else table.schema.field(name).type)
        for name in table.column_names
        if given.get(name, "") is not None
    }
    path = tmp_path / "wrong.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(BuildInputError, match=problem):
        update_bundle(
            parent=tiny_bundle.path, products=path, removed=None, bundles=tmp_path, embed=embed_items
        )


def test_removing_what_is_not_there_or_is_given_is_refused(run: Any, tiny_bundle: Bundle) -> None:
    with pytest.raises(BuildInputError, match="line 2: the bundle has no product 'nobody'"):
        run(remove="c001\nnobody\n")
    with pytest.raises(BuildInputError, match="'c001' is both given and removed"):
        run([_row(tiny_bundle, "c001")], remove="c001")
    with pytest.raises(BuildInputError, match="leaves no product"):
        run(remove="\n".join(tiny_bundle.product_ids))


def test_a_bundle_without_calibration_users_says_what_to_do(copy: Any, run: Any) -> None:
    (copy.path / CALIBRATION).unlink()
    copy.edit_manifest(lambda body: body["files"].pop(CALIBRATION))
    assert open_bundle(copy.path).calibration_vectors is None
    with pytest.raises(BuildInputError, match="build it once more from its export"):
        run(remove="c001", parent=copy.path)


def test_the_installed_encoder_is_found_and_a_missing_one_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        def load(self) -> Any:
            return embed_items

    monkeypatch.setattr(update, "entry_points", lambda **_: [Entry()])
    assert update.find_item_encoder() is embed_items
    monkeypatch.setattr(update, "entry_points", lambda **_: [])
    with pytest.raises(BuildInputError, match=r"entry point onnx in group prudence\.item_encoders"):
        update.find_item_encoder()


def test_what_came_with_the_export_is_taken_over(run: Any, make_export: Any, tmp_path: Path) -> None:
    case = make_export(tmp_path)
    centroids = np.arange(16, dtype=np.int32).reshape(2, 8)
    segments = order_segments("k_means", centroids, centroids)
    (case.export / SEGMENTS).write_text(segments.to_json())
    full = build_bundle(
        export=case.export, products=case.products, policy=case.policy, bundles=tmp_path / "bundles"
    )
    updated, _ = run(remove="c001", parent=full.path)
    taken = ("user_tower.onnx", "item_tower.onnx", "features.json", "vocabulary.json", SEGMENTS, CALIBRATION)
    assert [updated.manifest.files[name] for name in taken] == [full.manifest.files[name] for name in taken]
    assert updated.evaluation["segments"] == full.evaluation["segments"]
