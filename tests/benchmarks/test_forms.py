"""One small model through all its forms: torch, sealed bundle and running server give the same lists."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from rich.console import Console

from benchmarks.dataset import read_dataset
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.agreement import LIMIT, find_difference, measure_agreement
from benchmarks.evaluate.datasets import Request, make_tasks
from benchmarks.evaluate.models import BuiltModel, Form, open_catalogue, open_task
from benchmarks.evaluate.ranking import evaluate_task
from benchmarks.evaluate.report import describe_agreement
from benchmarks.evaluate.task import Scorer
from export.write import export_run
from index.build import build_bundle
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.run import train

SILENT = Console(file=io.StringIO())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuiltModel:
    """Holds the last product of each user out and learns the rest."""
    directory = tmp_path_factory.mktemp("forms")
    data = write_data(directory / "data", make_events(user_count=41, item_count=31))
    request = Request("data", (data,), "leave-one-out", "train", 1000, 0, directory / "work")
    (task,) = make_tasks(request, SILENT)
    artifacts = open_task(task, directory / "model")
    config = make_config("mf", {**TINY_SETTINGS, "epochs": 2})
    train(task.data, artifacts.run, config, resume=False, force=False, console=SILENT)
    export_run(artifacts.run, task.data, artifacts.export, force=False)
    build_bundle(
        export=artifacts.export,
        products=artifacts.open_products,
        policy=artifacts.open_policy,
        bundles=artifacts.bundles,
    )
    return BuiltModel(artifacts, read_dataset(task.data), task)


def test_the_forms_of_a_model_agree(built: BuiltModel) -> None:
    found = measure_agreement(built, k=10, user_count=25, seed=0)
    assert found.user_count == 25
    assert found.recall["server"] > 0
    assert find_difference([found]) <= LIMIT
    assert found.model_bundle_same == 1.0
    assert found.bundle_server_same == 1.0
    assert len(found.differing_gaps) == round(found.user_count * (1 - found.model_bundle_same))


class Shifted:
    """Scores as another scorer but for one product, which gains a little."""

    def __init__(self, scorer: Scorer, gain: float) -> None:
        self.scorer, self.gain = scorer, gain

    def score(self, users: Sequence[str], products: Sequence[str]) -> np.ndarray:
        return self.scorer.score(users, products) + self.gain * (np.array(products) == "p003")


def test_lists_that_differ_tell_by_how_much(built: BuiltModel, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = BuiltModel.open

    @contextmanager
    def open_shifted(model: BuiltModel, form: Form) -> Iterator[Scorer]:
        with honest(model, "model" if form == "bundle" else form) as scorer:
            yield Shifted(scorer, 1e-3) if form == "bundle" else scorer

    monkeypatch.setattr(BuiltModel, "open", open_shifted)
    found = measure_agreement(built, k=10, user_count=41, seed=0)
    assert found.differing_gaps
    assert len(found.differing_gaps) == round(found.user_count * (1 - found.model_bundle_same))
    # What gained a thousandth passed nothing that stood further above it.
    assert 0 <= min(found.differing_gaps) <= max(found.differing_gaps) <= 1e-3
    assert found.neighbour_gap > 0
    assert f"{max(found.differing_gaps):.1e} apart at most" in describe_agreement("mf", [found])[-1]


def test_the_server_sends_the_bundles_own_integers(built: BuiltModel) -> None:
    users, products = built.task.users[:5], built.task.candidates
    with built.open("bundle") as bundle, built.open("server") as server:
        assert bundle.score(users, products).tolist() == server.score(users, products).tolist()


def test_a_server_that_withholds_a_product_is_no_judge_of_ranking(built: BuiltModel) -> None:
    with built.open("server") as server, pytest.raises(BenchmarkInputError, match="1 of 2 products"):
        server.score(built.task.users[:1], [built.task.candidates[0], "nowhere"])


def test_a_user_without_history_is_ranked_by_every_form(built: BuiltModel) -> None:
    stranger = {"stranger": frozenset({built.task.candidates[0]})}
    task = replace(built.task, relevant=stranger)
    alone = replace(built, task=task)
    with alone.open("model") as model, alone.open("bundle") as bundle:
        outcomes = [evaluate_task(task, scorer, k=10) for scorer in (model, bundle)]
    assert np.isfinite([outcome.ndcg[0] for outcome in outcomes]).all()


def test_an_opened_catalogue_changes_only_what_decides_who_may_see(built: BuiltModel, tmp_path: Path) -> None:
    source = built.task.data / "products.parquet"
    open_catalogue(source, tmp_path / "open.parquet")
    before = pyarrow.parquet.read_table(source).to_pylist()
    after = pyarrow.parquet.read_table(tmp_path / "open.parquet").to_pylist()
    opened = {"family", "issuer", "status", "sale_start", "sale_end", "channels"}
    assert all(set(row["assumed"]) == opened for row in after)
    for old, new in zip(before, after, strict=True):
        assert {name for name in old if old[name] != new[name]} <= {*opened, "assumed"}
    assert after[0]["sale_start"] == datetime(1970, 1, 1, tzinfo=UTC)
