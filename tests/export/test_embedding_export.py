"""Exports of runs that learned from embeddings of products: the graph's input, parity, missing columns."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from export import write
from export.errors import ExportInputError
from export.parity import open_session
from index.export_input import read_export
from index.features import encode_items
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.examples import read_learning_data
from training.run import train
from training.trained import open_run

MODELS = ("two_tower", "mf")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds data with embeddings, data without, and a run of each model on the first."""
    root = tmp_path_factory.mktemp("embedding")
    events = make_events()
    rng = np.random.default_rng(5)
    products = [
        {"id": name, "family": "FUND", "embedding": rng.standard_normal(7).tolist() if row % 9 else None}
        for row, name in enumerate([*sorted({event["product_id"] for event in events}), "cold"])
    ]
    write_data(root / "data", events, products=products)
    bare = [{name: value for name, value in each.items() if name != "embedding"} for each in products]
    write_data(root / "bare", events, products=bare)
    for model in MODELS:
        config = make_config(model, TINY_SETTINGS | {"epochs": 1})
        console = Console(file=io.StringIO())
        train(root / "data", root / model, config, resume=False, force=False, console=console)
    return root


@pytest.mark.parametrize("model", MODELS)
def test_the_item_graph_takes_embeddings_and_computes_what_the_tower_does(
    root: Path, tmp_path: Path, model: str
) -> None:
    description = write.export_run(root / model, root / "data", tmp_path / "export", force=False)
    assert description["parity"]["item_tower"]["relative_error_max"] <= 1e-5
    exported, trained = read_export(tmp_path / "export"), open_run(root / model)
    session = open_session(exported.item_tower)
    assert [entry.name for entry in session.get_inputs()][-1] == "item_embedding"
    inputs = encode_items(trained.spec, trained.vocabulary, read_learning_data(root / "data").products).feed()
    found = session.run(None, inputs)[0]
    # A batch may round differently from another, but only in the last digits of float32.
    np.testing.assert_allclose(found, exported.item_vectors, atol=1e-5)
    moved = inputs | {"item_embedding": inputs["item_embedding"] + np.float32(1.0)}
    assert (model == "two_tower") == bool((session.run(None, moved)[0][:, :-1] != found[:, :-1]).any())


def test_a_catalogue_without_the_column_that_was_learned_from_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportInputError, match="column 'embedding' is missing"):
        write.export_run(root / "two_tower", root / "bare", tmp_path / "export", force=False)
    assert list(tmp_path.iterdir()) == []
