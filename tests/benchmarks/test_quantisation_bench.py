"""The benchmark of quantisation: every form is measured, searches agree with what they stand for."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.quantisation import __main__
from benchmarks.quantisation.measure import BATCHES, list_searches
from export.quantisation import in_int8, in_int32
from index.reference import item_scale_for, user_scale_for
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.run import train

TOWERS = ["float32", "fp16", "int8", "fp16, whole graph", "int8, dynamic", "int8, static"]
VECTORS = ["float32", "int32", "int8", "int8 scan, int32 scores"]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds data, a run, and the benchmark's results in out/."""
    root = tmp_path_factory.mktemp("tiny")
    write_data(root / "data", make_events())
    config = make_config("two_tower", TINY_SETTINGS | {"epochs": 1})
    console = Console(file=io.StringIO())
    train(root / "data", root / "run", config, resume=False, force=False, console=console)
    arguments = ["--artifacts", str(root), "--out", str(root / "out"), "--passes", "2"]
    assert __main__.main(arguments) == 0
    return root


def test_every_form_has_all_its_figures(artifacts: Path) -> None:
    report = json.loads((artifacts / "out" / "quantisation.json").read_text())
    forms = report["forms"]
    assert [form["name"] for form in forms] == TOWERS + VECTORS
    assert [form["part"] for form in forms] == ["user tower"] * len(TOWERS) + ["vectors"] * len(VECTORS)
    for form in forms:
        assert form["byte_count"] > 0
        assert sorted(form["us"]) == sorted(str(batch) for batch in BATCHES)
        assert all(time_us > 0 for time_us in form["us"].values())
        assert form["cost"]["ndcg_at_10"] is not None
    exact = [form for form in forms if form["name"] == "float32"]
    assert [(form["cost"]["recall_at_20"], form["faults"]) for form in exact] == [(1.0, [])] * 2


def test_the_table_says_which_forms_are_refused_and_why(artifacts: Path) -> None:
    text = (artifacts / "out" / "quantisation.txt").read_text()
    forms = json.loads((artifacts / "out" / "quantisation.json").read_text())["forms"]
    assert all(
        f"{form['part']}, {form['name']}: {fault}" in text for form in forms for fault in form["faults"]
    )
    assert text.count(" refused") == sum(bool(form["faults"]) for form in forms)
    assert (artifacts / "out" / "quantisation.png").stat().st_size > 1000


def test_searches_find_the_best_products() -> None:
    rng = np.random.default_rng(5)
    users, items = (rng.normal(size=(count, 16)).astype(np.float32) for count in (7, 401))
    scales = {
        "user_scale": user_scale_for(users, unit_length=False),
        "item_scale": item_scale_for(items),
    }
    searches = list_searches(users, items, in_int32(users, items, **scales), in_int8(users, items, **scales))
    assert list(searches) == VECTORS
    expected = np.sort(np.argsort(-(users @ items.T), axis=1)[:, :20], axis=1)
    found = {name: np.sort(np.array(call(slice(0, 7))), axis=1) for name, (_, call) in searches.items()}
    for name in ("float32", "int32", "int8 scan, int32 scores"):
        assert np.array_equal(found[name], expected), name
    # Rounding to int8 moves a product or two over the edge of a list.
    assert 0.85 < np.mean([np.isin(*rows).mean() for rows in zip(found["int8"], expected, strict=True)]) < 1.0


def test_artifacts_that_are_not_there_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--artifacts", str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 1
    assert "BenchmarkInputError: no run and data under" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
