"""Graphs of risk models beside their definitions, on every threshold, and what the export refuses."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main
from export.errors import ExportInputError, ExportParityError
from export.risk import export_risk, make_graph, read_run_model
from export.risk_graph import write_points_graph, write_trees_graph
from export.risk_parity import check_risk_parity, list_values, make_records, run_graph
from index.risk_bins import NumberBins
from index.risk_json import read_scorecard
from tests.risk_cases import SCORECARD, make_table
from training.__main__ import main as train
from training.risk.table import TableQuality, write_table
from training.risk.trees import Trees

# One tree of two questions and one that is a leaf; bins of three features.
TREES = Trees(
    feature=np.array([0, 0, 2, 0, 0, 0]),
    threshold=np.array([1, 0, 0, 0, 0, 0]),
    left=np.array([1, 1, 3, 3, 4, 5]),
    right=np.array([2, 1, 4, 3, 4, 5]),
    value=np.array([0, -5, 0, 7, 2**40, 100]),
    roots=np.array([0, 5]),
    base=np.array([-1]),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("risk")
    write_table(make_table(), TableQuality(1500, 1500, {}), work / "data", force=False)
    settings = {"fold_count": 2, "forest_tree_count": 5, "boosting_tree_count": 30, "forest_leaf_size": 10}
    (work / "settings.json").write_text(json.dumps(settings))
    arguments = [str(work / "data"), "--out", str(work / "run"), "--config", str(work / "settings.json")]
    assert train(["risk", *arguments]) == 0
    return work / "run"


def test_every_model_is_exported_with_equal_scores(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.with_name("export")
    assert main(["risk", str(run), str(out)]) == 0
    assert "scorecard.onnx" in capsys.readouterr().out
    description = json.loads((out / "risk.json").read_text())
    assert set(description["parity"]) == {"scorecard", "logistic", "forest", "boosting"}
    for name, parity in description["parity"].items():
        assert parity["record_count"] > 9 * parity["threshold_count"] > 0
        assert (out / f"{name}.onnx").is_file()
    assert read_scorecard((out / "scorecard.json").read_bytes(), "scorecard.json").name == "scorecard"


def test_the_graph_of_trees_answers_as_they_do_by_hand() -> None:
    graph = write_trees_graph(TREES, feature_count=3)
    bins = np.array([[0, 9, 9], [1, 0, 0], [2, 0, 0], [2, 0, 1]])
    expected = [94, 94, 106, 99 + 2**40]
    assert run_graph(graph, bins).tolist() == expected
    assert TREES.score(bins).tolist() == expected


def test_a_tree_that_asks_nothing_is_a_graph_too() -> None:
    leaf = {
        name: np.zeros(1, np.int64) for name in ("feature", "threshold", "left", "right", "roots", "base")
    }
    graph = write_trees_graph(Trees(**leaf, value=np.array([3])), feature_count=2)
    assert run_graph(graph, np.zeros((5, 2), np.int64)).tolist() == [3] * 5


def test_records_hold_every_threshold_with_its_neighbours_and_all_that_is_missing() -> None:
    limit = SCORECARD.features[1]
    assert isinstance(limit, NumberBins)
    values = list_values(limit)
    assert set(values) >= {None, 0.1, math.nextafter(0.1, 0), math.nextafter(0.1, 1)}
    assert any(isinstance(value, float) and math.isnan(value) for value in values)
    records = make_records(SCORECARD.features, seed=0)
    assert {record["school"] for record in records} >= {None, "1", "2"}
    found = [SCORECARD.find_bins(record) for record in records]
    assert [len({bins[place] for bins in found}) for place in range(3)] == [3, 2, 2]


def test_one_point_of_one_bin_is_found() -> None:
    for feature, row in enumerate(SCORECARD.points):
        for place in range(len(row)):
            spoiled = [list(one) for one in SCORECARD.points]
            spoiled[feature][place] += 1
            graph = write_points_graph(replace(SCORECARD, points=tuple(map(tuple, spoiled))))
            with pytest.raises(ExportParityError, match="scorecard: expected ONNX Runtime"):
                check_risk_parity(SCORECARD, None, graph)


def test_one_threshold_of_one_tree_is_found(run: Path) -> None:
    model, trees = read_run_model(run, "boosting")
    assert trees is not None
    assert check_risk_parity(model, trees, make_graph(model, trees)).record_count > 100
    asking = np.flatnonzero(trees.left != np.arange(len(trees.left)))
    threshold = trees.threshold.copy()
    threshold[asking[0]] += 1
    spoiled = make_graph(model, replace(trees, threshold=threshold))
    with pytest.raises(ExportParityError, match="boosting"):
        check_risk_parity(model, trees, spoiled)


def test_an_export_is_refused_by_name(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["risk", str(tmp_path), str(tmp_path / "out")]) == 1
    assert "metrics.json" in capsys.readouterr().err
    copy = tmp_path / "run"
    copy.mkdir()
    for path in run.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "scorecard.json").write_text("{}")
    with pytest.raises(ExportInputError, match=r"scorecard\.json: expected a risk model"):
        export_risk(copy, tmp_path / "out", force=False)
    (copy / "metrics.json").write_text("{}")
    with pytest.raises(ExportInputError, match="expected risk models, found none"):
        export_risk(copy, tmp_path / "out", force=False)
    assert not (tmp_path / "out").exists()
