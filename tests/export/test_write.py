"""Exports of tiny trained runs: parity, quantisation, what is refused."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from rich.console import Console

from export import write
from export.__main__ import main
from export.errors import ExportGraphError, ExportOutputError, ExportParityError
from export.graph import OPSET, check_graph, write_graph
from export.parity import check_parity, make_requests, open_session
from index.export_input import read_export
from index.features import encode_items
from index.manifest import ASSOCIATIONS, SEGMENTS
from index.segments import read_segments
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.errors import CheckpointError, EmptyDataError, MissingFileError
from training.examples import read_learning_data
from training.run import train
from training.trained import open_run

MODELS = ("two_tower", "mf")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds data, and a run and an export of each model."""
    root = tmp_path_factory.mktemp("tiny")
    write_data(root / "data", make_events())
    for model in MODELS:
        train(
            root / "data",
            root / model,
            make_config(model, TINY_SETTINGS | {"epochs": 1}),
            resume=False,
            force=False,
            console=Console(file=io.StringIO()),
        )
        write.export_run(root / model, root / "data", root / f"export-{model}", force=False)
    return root


@pytest.mark.parametrize("model", MODELS)
def test_an_export_is_what_the_index_reads(root: Path, model: str) -> None:
    exported = read_export(root / f"export-{model}")
    assert exported.model == model
    assert len(exported.calibration_vectors) == 61
    assert exported.product_ids == tuple(f"p{row:03}" for row in range(60))
    for parity in exported.parity.values():
        assert parity["relative_error_max"] <= 1e-5
    assert exported.parity["user_tower"]["request_count"] == 10_000
    assert sorted(exported.quantisation) == ["int32", "int8", "limits"]


def test_an_export_holds_segments_and_rules_unless_no_rules_are_wanted(root: Path, tmp_path: Path) -> None:
    exported = read_export(root / "export-two_tower")
    assert sorted(exported.optional_files) == [ASSOCIATIONS, SEGMENTS]
    segments = read_segments(exported.optional_files[SEGMENTS], exported.embedding_dim)
    assert sum(segments.user_counts) == 61
    assert 1 <= len(segments.segment_ids) <= 3
    out = tmp_path / "export"
    write.export_run(root / "mf", root / "data", out, force=False, segments="1", associations=False)
    without = read_export(out)
    assert sorted(without.optional_files) == [SEGMENTS]
    assert read_segments(without.optional_files[SEGMENTS], without.embedding_dim).user_counts == (61,)


@pytest.mark.parametrize("model", MODELS)
def test_graphs_take_named_inputs_and_any_batch(root: Path, model: str) -> None:
    exported = read_export(root / f"export-{model}")
    session = open_session(exported.user_tower)
    assert [entry.name for entry in session.get_inputs()] == list(exported.calibration_inputs)
    for count in (1, 2, 13, 61):
        batch = {name: value[:count] for name, value in exported.calibration_inputs.items()}
        vectors = session.run(["user_vector"], batch)[0]
        # A batch may round differently from another, but only in the last digits of float32.
        np.testing.assert_allclose(vectors, exported.calibration_vectors[:count], atol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_item_vectors_come_from_the_item_graph(root: Path, model: str) -> None:
    exported = read_export(root / f"export-{model}")
    trained = open_run(root / model)
    products = read_learning_data(root / "data").products
    inputs = encode_items(trained.spec, trained.vocabulary, products).feed()
    vectors = open_session(exported.item_tower).run(["item_vector"], inputs)[0]
    np.testing.assert_allclose(vectors, exported.item_vectors, atol=1e-5)


def test_requests_cover_real_random_and_empty_users(root: Path) -> None:
    real = read_export(root / "export-two_tower").calibration_inputs
    requests = make_requests(real, token_count=62, count=1000)
    lengths = (requests["history_token"] > 0).sum(axis=1)
    assert (lengths == 0).sum() > 100
    assert lengths.max() == 50
    assert requests["history_token"].max() == 61
    assert not requests["history_age"][requests["history_token"] == 0].any()


def test_a_graph_that_differs_from_its_tower_is_refused_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_a_little_wrong(tower: torch.nn.Module, inputs: Any, *, output: str) -> bytes:
        parameter = next(value for value in tower.parameters() if value.ndim > 1)
        with torch.no_grad():
            parameter[2:] *= 1.01
            graph = write_graph(tower, inputs, output=output)
            parameter[2:] /= 1.01
        return graph

    monkeypatch.setattr(write, "write_graph", write_a_little_wrong)
    with pytest.raises(
        ExportParityError, match=r"user tower in float32: expected a relative error of at most 1e-05"
    ):
        write.export_run(root / "two_tower", root / "data", tmp_path / "export", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_tower_that_answers_nan_is_refused(root: Path) -> None:
    trained = open_run(root / "two_tower")
    exported = read_export(root / "export-two_tower")
    with torch.no_grad():
        trained.towers.user_tower.history.nothing[0] = torch.nan  # type: ignore[union-attr, index]
    with pytest.raises(ExportParityError, match="got nan"):
        check_parity(
            trained.towers.user_tower, exported.user_tower, exported.calibration_inputs, name="user tower"
        )


def test_an_unused_input_still_stands_in_the_graph(root: Path) -> None:
    session = open_session(read_export(root / "export-mf").item_tower)
    assert [entry.name for entry in session.get_inputs()] == [
        "item_token",
        "item_categorical",
        "item_numeric",
        "item_term",
    ]


@pytest.mark.parametrize(
    ("domain", "names", "words"), [("ours", ["value"], "standard operators"), ("", ["other"], "inputs")]
)
def test_a_graph_with_custom_operators_or_other_inputs_is_refused(
    domain: str, names: list[str], words: str
) -> None:
    node = helper.make_node("Neg", ["value"], ["negated"], domain=domain)
    value, negated = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3])
        for name in ("value", "negated")
    )
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid("ours", 1)]
    graph = helper.make_graph([node], "tower", [value], [negated])
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    with pytest.raises(ExportGraphError, match=words):
        check_graph(model.SerializeToString(), names, "negated")


def test_an_existing_target_is_refused_unless_forced(root: Path, tmp_path: Path) -> None:
    target = shutil.copytree(root / "export-two_tower", tmp_path / "export")
    before = (target / "export.json").read_bytes()
    with pytest.raises(ExportOutputError, match="exists"):
        write.export_run(root / "two_tower", root / "data", target, force=False)
    assert (target / "export.json").read_bytes() == before
    (target / "stale").write_text("")
    write.export_run(root / "two_tower", root / "data", target, force=True)
    assert not (target / "stale").exists()


def test_a_target_that_is_no_export_is_never_replaced(root: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ExportOutputError, match=r"holds no export\.json"):
        write.export_run(root / "two_tower", root / "data", tmp_path, force=True)
    assert (tmp_path / "notes").read_text() == "mine"


def test_bad_input_is_refused_with_exit_code_one(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "export")
    assert main([str(tmp_path / "none"), str(root / "data"), out]) == 1
    assert MissingFileError.__name__ in capsys.readouterr().err
    empty = write_data(tmp_path / "empty", [], products=[{"id": "p000"}])
    assert main([str(root / "mf"), str(empty), out]) == 1
    assert EmptyDataError.__name__ in capsys.readouterr().err
    other = [event | {"product_id": f"other {event['product_id']}"} for event in make_events(user_count=1)]
    foreign = write_data(tmp_path / "foreign", other)
    assert main([str(root / "mf"), str(foreign), out]) == 1
    assert "ExportInputError" in capsys.readouterr().err
    broken = shutil.copytree(root / "mf", tmp_path / "broken")
    (broken / "features.json").write_text(json.dumps({"format_version": 2}))
    assert main([str(broken), str(root / "data"), out]) == 1
    assert CheckpointError.__name__ in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([str(root / "two_tower"), str(root / "data"), str(tmp_path / "file" / "export")]) == 1
    assert "ExportOutputError: cannot write" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "file", "foreign"]


def test_one_product_and_one_user_export(tmp_path: Path) -> None:
    write_data(tmp_path / "data", make_events(user_count=1, item_count=1, event_count=1))
    config = make_config("two_tower", TINY_SETTINGS | {"epochs": 1})
    options = {"resume": False, "force": False, "console": Console(file=io.StringIO())}
    train(tmp_path / "data", tmp_path / "run", config, **options)
    description = write.export_run(tmp_path / "run", tmp_path / "data", tmp_path / "export", force=False)
    assert description["quantisation"]["int32"]["recall_at_20"] == 1.0
    assert description["quantisation"]["int32"]["ndcg_loss"] is None
