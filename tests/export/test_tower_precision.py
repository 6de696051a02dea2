"""Narrow towers: what is stored, what stays float32, what is refused, and that a server serves them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from export import write
from export.__main__ import main
from export.errors import ExportParityError, ExportPrecisionError, ExportQualityError
from export.graph import check_graph, write_graph
from export.judges import Judges
from export.parity import RELATIVE_ERROR_LIMITS, check_parity, embed_rows, open_session
from export.precision import Precision, narrow_tower
from export.quality_gate import QualityLimits
from export.write import export_run
from index.build import build_bundle
from index.export_input import read_export
from server.snapshot import Snapshot, open_snapshot, warm_up
from suitability import default_policy_path, load_policy
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.examples import read_learning_data
from training.run import train
from training.split import split_by_time
from training.trained import open_run

NARROW: tuple[Precision, ...] = ("fp16", "int8")
# A dozen users of an untrained model: one product more or less is several limits' worth.
LOOSE = QualityLimits(recall_min=0.9, ndcg_loss_max=0.2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds data, a run of the two towers, and an export of it in each precision."""
    root = tmp_path_factory.mktemp("tiny")
    write_data(root / "data", make_events())
    config = make_config("two_tower", TINY_SETTINGS | {"epochs": 1})
    console = Console(file=io.StringIO())
    train(root / "data", root / "two_tower", config, resume=False, force=False, console=console)
    export(root, root / "float32")
    with pytest.MonkeyPatch.context() as patch:
        keep_graphs(root, patch)
        for precision in NARROW:
            export(root, root / precision, tower=precision, limits=LOOSE)
    return root


def export(root: Path, out: Path, **options: Any) -> None:
    export_run(root / "two_tower", root / "data", out, force=False, **options)


def keep_graphs(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Takes the graphs from the first export: writing one takes seconds."""
    names = {"user_vector": "user_tower.onnx", "item_vector": "item_tower.onnx"}
    patch.setattr(write, "write_graph", lambda *_, output: (root / "float32" / names[output]).read_bytes())


def open_sealed(root: Path, tmp_path: Path, precision: Precision) -> Snapshot:
    """Builds and seals a bundle of an export and opens it as a server does."""
    build_bundle(
        export=root / precision,
        products=root / "data" / "products.parquet",
        policy=default_policy_path(),
        bundles=tmp_path / "bundles",
    )
    return open_snapshot(
        tmp_path / "bundles",
        load_policy(default_policy_path()),
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=True,
    )


def read_graph(root: Path, precision: str) -> bytes:
    return (root / precision / "user_tower.onnx").read_bytes()


def find_tables(graph: bytes, kind: int) -> dict[str, NDArray[np.generic]]:
    model = onnx.load_from_string(graph)
    return {
        each.name: numpy_helper.to_array(each) for each in model.graph.initializer if each.data_type == kind
    }


def test_float32_is_left_as_it_is(root: Path) -> None:
    graph = read_graph(root, "float32")
    assert narrow_tower(graph, "float32") == graph


@pytest.mark.parametrize("precision", NARROW)
def test_inputs_and_output_stay_as_they_are(root: Path, precision: Precision) -> None:
    before, after = (onnx.load_from_string(read_graph(root, kind)).graph for kind in ("float32", precision))
    assert list(before.input) == list(after.input)
    assert list(before.output) == list(after.output)
    names = [entry.name for entry in after.input]
    check_graph(read_graph(root, precision), names, "user_vector")


def test_fp16_rounds_the_embeddings_and_nothing_else(root: Path) -> None:
    before, after = read_graph(root, "float32"), read_graph(root, "fp16")
    table = find_tables(before, TensorProto.FLOAT)["token.weight"]
    assert set(find_tables(before, TensorProto.FLOAT)) - set(find_tables(after, TensorProto.FLOAT)) == {
        "token.weight"
    }
    (narrow,) = find_tables(after, TensorProto.FLOAT16).values()
    assert np.array_equal(narrow, table.astype(np.float16))


def test_int8_rounds_each_row_over_its_own_range(root: Path) -> None:
    graph = read_graph(root, "int8")
    table = find_tables(read_graph(root, "float32"), TensorProto.FLOAT)["token.weight"]
    narrow = find_tables(graph, TensorProto.INT8)["token.weight.int8"].astype(np.float32)
    step = find_tables(graph, TensorProto.FLOAT)["token.weight.step"]
    assert np.abs(narrow).max(axis=1).tolist() == [0.0] + [127.0] * (len(table) - 1)
    # Half a step, and float32's own rounding of the product.
    assert (np.abs(narrow * step - table) <= step * 0.5001).all()


@pytest.mark.parametrize("precision", NARROW)
def test_the_batch_changes_no_more_than_in_float32(root: Path, precision: Precision) -> None:
    inputs = read_export(root / precision).calibration_inputs
    session = open_session(read_graph(root, precision))
    whole = session.run(None, dict(inputs))[0]
    # A batch may round differently from another, but only in the last digits of float32.
    np.testing.assert_allclose(embed_rows(session, inputs), whole, atol=1e-6)


@pytest.mark.parametrize("precision", NARROW)
def test_what_was_measured_is_recorded_under_the_precision(root: Path, precision: Precision) -> None:
    exported = read_export(root / precision)
    parity = exported.parity["user_tower"]
    assert (parity["precision"], parity["limit"]) == (precision, RELATIVE_ERROR_LIMITS[precision])
    assert 1e-6 < parity["relative_error_max"] <= parity["limit"]
    assert exported.parity["item_tower"]["precision"] == "float32"
    assert sorted(exported.quantisation) == ["int32", "int8", "limits", "user_tower"]
    assert exported.quantisation["limits"]["recall_min"] == LOOSE.recall_min
    assert 0 < exported.quantisation["user_tower"]["score_error_max"] <= 0.01


@pytest.mark.parametrize("precision", ["float32", *NARROW])
def test_a_server_opens_and_asks_a_tower_of_each_precision(
    root: Path, tmp_path: Path, precision: Precision
) -> None:
    snapshot = open_sealed(root, tmp_path, precision)
    warm_up(snapshot)
    inputs = read_export(root / precision).calibration_inputs
    snapshot.encoder.check_feed(inputs)
    assert snapshot.bundle.user_tower == read_graph(root, precision)
    assert snapshot.bundle.manifest.parity["user_tower"]["precision"] == precision
    vectors = snapshot.encoder.embed(inputs)
    assert vectors.dtype == np.float32
    # The server's session and export's are of one library on one machine.
    np.testing.assert_allclose(vectors, read_export(root / precision).calibration_vectors, atol=1e-6)


@pytest.mark.parametrize("precision", NARROW)
def test_a_narrow_tower_is_smaller(root: Path, precision: Precision) -> None:
    assert len(read_graph(root, precision)) < len(read_graph(root, "float32"))


def test_a_tower_without_float32_embeddings_is_refused() -> None:
    node = helper.make_node("Gather", ["table", "token"], ["vector"])
    token, vector = (
        helper.make_tensor_value_info(name, kind, ["batch"])
        for name, kind in (("token", TensorProto.INT64), ("vector", TensorProto.DOUBLE))
    )
    table = numpy_helper.from_array(np.ones((100, 8)), "table")
    model = helper.make_model(helper.make_graph([node], "tower", [token], [vector], [table]))
    with pytest.raises(ExportPrecisionError, match=r"user tower in int8: .*DOUBLE.*leave --tower float32"):
        narrow_tower(model.SerializeToString(), "int8")


def test_embeddings_beyond_the_range_of_fp16_are_refused(root: Path) -> None:
    tower = open_run(root / "two_tower").towers.user_tower
    inputs = read_export(root / "float32").calibration_inputs
    token = int(inputs["history_token"].max())
    tower.token.weight.data[token] = 1e5  # type: ignore[union-attr, index]
    graph = write_graph(tower, inputs, output="user_vector")
    check_parity(tower, graph, inputs, name="user tower")
    with pytest.raises(ExportParityError, match=r"user tower in fp16: .*at most 0\.001.*got nan"):
        check_parity(tower, narrow_tower(graph, "fp16"), inputs, name="user tower", precision="fp16")


def test_a_tower_beyond_a_limit_is_refused_and_leaves_nothing(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_graphs(root, monkeypatch)
    arguments = [str(root / "two_tower"), str(root / "data"), str(tmp_path / "export"), "--tower", "int8"]
    limits = ["--recall-min", "0.5", "--ndcg-loss-max", "1"]
    assert main([*arguments, *limits, "--score-error-max", "1e-6"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("ExportQualityError: user tower in int8: largest relative score error is ")
    assert "expected at most 1e-06" in error
    assert list(tmp_path.iterdir()) == []


def test_vectors_beyond_a_limit_are_refused_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_graphs(root, monkeypatch)
    with pytest.raises(ExportQualityError, match="vectors in int32: largest relative score error"):
        export(root, tmp_path / "export", limits=QualityLimits(score_error_max=1e-7))


def test_a_narrow_tower_needs_validation_users(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_graphs(root, monkeypatch)
    nobody = split_by_time(read_learning_data(root / "data").interactions, fraction=0, user_limit=9, seed=1)
    inputs = read_export(root / "float32").calibration_inputs
    monkeypatch.setattr(write, "choose_judges", lambda *_: Judges(inputs, nobody.validation))
    with pytest.raises(ExportQualityError, match="ndcg@10 is not known; expected validation users"):
        export(root, tmp_path / "export", tower="int8", limits=LOOSE)
    export(root, tmp_path / "export", limits=LOOSE)


@pytest.mark.parametrize("text", ["-0.1", "1.5", "nan", "many"])
def test_a_limit_that_is_no_share_is_bad_usage(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["run", "data", "out", f"--recall-min={text}"])
    assert f"expected a number from 0 to 1, got '{text}'" in capsys.readouterr().err
