"""Carrying a model on: what its weights mean follows products and values, and nothing else is taken over."""

import io
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from index.features import Event, encode_items, encode_users
from tests.tiny_data import START, TINY_SETTINGS, make_events, write_data
from training import run as run_module
from training.__main__ import main
from training.checkpoint import read_tensors, write_tensors
from training.config import make_config
from training.errors import CheckpointError, DataError, SettingError
from training.examples import encode_examples, read_learning_data
from training.loop import Trainer, make_trainer
from training.trained import TrainedRun, open_run
from training.update import update
from training.warm_start import carry_weights

NOW = START + timedelta(days=70)
NEW, GONE, KEPT = "a-new", "p000", "p007"


def change_events(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Newer events: one product is gone, one is new and stands first, users are more."""
    kept = [event for event in events if event["product_id"] != GONE]
    later = [
        {**event, "event_time": event["event_time"] + timedelta(days=2), "user_id": event["user_id"] + "x"}
        for event in kept[::5]
    ]
    new = [{**event, "product_id": NEW} for event in kept[::9]]
    return [*kept, *later, *new]


@pytest.fixture(scope="module")
def old_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_old(tmp_path_factory.mktemp("old"))


def train_old(directory: Path, **settings: Any) -> Path:
    data = write_data(directory / "data", make_events())
    options = {"resume": False, "force": False, "console": Console(file=io.StringIO())}
    run_module.train(data, directory / "run", make_config("two_tower", TINY_SETTINGS | settings), **options)
    return directory / "run"


@pytest.fixture(scope="module")
def new_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Categories are others and stand elsewhere, scores and fortunes are of another scale."""
    events = change_events(make_events())
    ids = sorted({event["product_id"] for event in events})
    products = [
        {"id": name, "family": "FUND", "category": name[:3], "risk_score": None if row % 7 == 0 else 50 * row}
        for row, name in enumerate(ids)
    ]
    users = sorted({event["user_id"] for event in events})
    profiles = [
        {"user_id": name, "risk_level": row % 5, "liquid": 3 * row + 500} for row, name in enumerate(users)
    ]
    path = tmp_path_factory.mktemp("new") / "data"
    return write_data(path, events, products=products, profiles=profiles)


def carry(run: Path, data: Path) -> tuple[TrainedRun, TrainedRun, Trainer]:
    """Returns the earlier run, what a fresh trainer becomes by it, and that trainer."""
    earlier = open_run(run)
    learning_data = read_learning_data(data)
    examples = encode_examples(learning_data, learning_data.interactions)
    trainer = make_trainer(examples, None, earlier.config, lambda _count: None)
    carry_weights(earlier, trainer)
    towers = trainer.learner.towers.eval()
    return (
        earlier,
        replace(earlier, spec=examples.spec, vocabulary=examples.vocabulary, towers=towers),
        trainer,
    )


def embed_users(model: TrainedRun, histories: list[list[Event]], profiles: list[Any]) -> torch.Tensor:
    inputs = encode_users(model.spec, model.vocabulary, profiles, histories, NOW)
    with torch.no_grad():
        return model.towers.user_tower(*(torch.from_numpy(value) for value in inputs.feed().values()))


def embed_items(model: TrainedRun, products: list[dict[str, Any]]) -> torch.Tensor:
    inputs = encode_items(model.spec, model.vocabulary, products)
    with torch.no_grad():
        return model.towers.item_tower(*(torch.from_numpy(value) for value in inputs.feed().values()))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"encoder": "attention"},
        {"encoder": "transformer"},
        {"similarity": "dot", "heads": {"purchase": 2.0}},
    ],
    ids=["default", "attention", "transformer", "dot and heads"],
)
def test_users_and_known_products_keep_their_vectors(
    settings: dict[str, Any], new_data: Path, tmp_path: Path
) -> None:
    before, after, _ = carry(train_old(tmp_path, **settings), new_data)
    assert before.spec != after.spec
    assert before.vocabulary != after.vocabulary
    moment = NOW.timestamp()
    histories = [
        [],
        [Event(KEPT, "click", moment)],
        [Event(f"p{row:03}", "view", moment - row) for row in range(1, 30)],
    ]
    profiles = [{"risk_level": 3, "liquid": 77}, None, {"liquid": 10_000}]
    # The same sums in another order, in float32; a dot product's vectors are longer than 1.
    torch.testing.assert_close(
        embed_users(after, histories, profiles),
        embed_users(before, histories, profiles),
        atol=3e-5,
        rtol=1e-5,
    )
    products = [
        {"id": KEPT, "family": "FUND", "category": "p00", "risk_score": score} for score in (None, 100, 4000)
    ]
    torch.testing.assert_close(
        embed_items(after, products), embed_items(before, products), atol=3e-5, rtol=1e-5
    )


def test_a_new_product_is_placed_by_its_content(old_run: Path, new_data: Path) -> None:
    before, after, _ = carry(old_run, new_data)
    content = {"family": "FUND", "category": "p01", "risk_score": 100}
    placed = embed_items(after, [{"id": NEW, **content}])
    towers: Any = before.towers
    guess = embed_items(before, [{"id": "unseen", **content}])[:, :-1] / towers.item_tower.unknown_length
    torch.testing.assert_close(placed[:, :-1], guess, atol=1e-5, rtol=1e-5)
    # Its popularity is its own: it has more events than most.
    known = embed_items(after, [{"id": f"p{row:03}", **content} for row in range(1, 61)])
    assert placed[0, -1] > known[:, -1].median()


def test_an_event_of_a_new_product_says_nothing_yet(old_run: Path, new_data: Path) -> None:
    _, after, _ = carry(old_run, new_data)
    towers: Any = after.towers
    assert not towers.user_tower.token.weight[after.vocabulary.tokens[NEW]].any()


def test_learning_goes_on_from_the_carried_weights(old_run: Path, new_data: Path, tmp_path: Path) -> None:
    assert (
        main(["update", "--from", str(old_run), "--data", str(new_data), "--out", str(tmp_path / "b")]) == 0
    )
    updated = open_run(tmp_path / "b")
    stages = updated.metrics["stages"]
    assert [stage["name"] for stage in stages] == ["final"]
    fresh = json.loads((old_run / "metrics.json").read_text())["stages"][-1]["epochs"]
    assert stages[0]["epochs"][0]["loss"] < fresh[0]["loss"]
    assert updated.metrics["origin"]
    assert updated.vocabulary.tokens.keys() >= {NEW, KEPT}
    assert GONE not in updated.vocabulary.tokens


def test_an_updated_run_can_be_updated(old_run: Path, new_data: Path, tmp_path: Path) -> None:
    run_update(old_run, new_data, tmp_path / "b")
    run_update(tmp_path / "b", new_data, tmp_path / "c")
    assert open_run(tmp_path / "c").config == open_run(tmp_path / "b").config


def test_a_resumed_update_equals_an_uninterrupted_one(
    old_run: Path, new_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_update(old_run, new_data, tmp_path / "whole")
    count = 0
    whole_epoch = run_module.run_epoch

    def stop_in_the_second(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise KeyboardInterrupt
        return whole_epoch(*arguments, **options)

    monkeypatch.setattr(run_module, "run_epoch", stop_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_update(old_run, new_data, tmp_path / "broken")
    monkeypatch.undo()
    run_update(old_run, new_data, tmp_path / "broken", resume=True)
    whole, broken = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("whole", "broken"))
    assert all(torch.equal(value, broken[name]) for name, value in whole.items())


def test_a_checkpoint_of_another_origin_is_refused(old_run: Path, new_data: Path, tmp_path: Path) -> None:
    run_update(old_run, new_data, tmp_path / "b")
    work = tmp_path / ".c.partial"
    run_with_checkpoint_left(tmp_path / "b", new_data, tmp_path / "c")
    assert (work / "checkpoint.safetensors").is_file()
    with pytest.raises(CheckpointError, match="other settings or data"):
        run_update(old_run, new_data, tmp_path / "c", resume=True)


def test_a_run_of_another_schema_is_refused(old_run: Path, new_data: Path, tmp_path: Path) -> None:
    copy = copy_run(old_run, tmp_path / "copy")
    weights, _ = read_tensors(copy / "model.safetensors")
    write_tensors(copy / "model.safetensors", weights, {"format_version": "99"})
    with pytest.raises(CheckpointError, match="format_version"):
        run_update(copy, new_data, tmp_path / "b")


def test_a_run_with_other_features_is_refused(old_run: Path, new_data: Path, tmp_path: Path) -> None:
    copy = copy_run(old_run, tmp_path / "copy")
    features = json.loads((copy / "features.json").read_text())
    features["user_numeric"].pop("liquid")
    (copy / "features.json").write_text(json.dumps(features))
    with pytest.raises(CheckpointError, match="features"):
        run_update(copy, new_data, tmp_path / "b")


def test_a_run_of_a_classic_model_is_refused(new_data: Path, tmp_path: Path) -> None:
    options = {"resume": False, "force": False, "console": Console(file=io.StringIO())}
    run_module.train(new_data, tmp_path / "svd", make_config("svd", {"embedding_dim": 5}), **options)
    with pytest.raises(SettingError, match="two_tower"):
        run_update(tmp_path / "svd", new_data, tmp_path / "b")


def test_data_of_other_products_is_refused(old_run: Path, tmp_path: Path) -> None:
    events = [{**event, "product_id": f"other-{event['product_id']}"} for event in make_events()]
    with pytest.raises(CheckpointError, match="none of the"):
        run_update(old_run, write_data(tmp_path / "other", events), tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other"]


def test_data_that_ends_earlier_is_refused(old_run: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "older", make_events())
    source = json.loads((data / "source.json").read_text()) | {"clock": "2026-03-01T00:00:00Z"}
    (data / "source.json").write_text(json.dumps(source))
    with pytest.raises(DataError, match="not older"):
        run_update(old_run, data, tmp_path / "b")


def run_update(run: Path, data: Path, out: Path, *, resume: bool = False) -> None:
    update(run, data, out, resume=resume, force=False, console=Console(file=io.StringIO()))


def run_with_checkpoint_left(run: Path, data: Path, out: Path) -> None:
    """Updates, and leaves the checkpoint as an interrupted run leaves it."""
    with pytest.MonkeyPatch.context() as patch:

        def stop(*_arguments: Any, **_options: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(run_module, "_write_run", stop)
        with pytest.raises(KeyboardInterrupt):
            run_update(run, data, out)


def copy_run(run: Path, out: Path) -> Path:
    out.mkdir()
    for path in run.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out
