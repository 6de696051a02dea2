"""Training data that is odd but allowed: each has one defined outcome."""

import io
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from rich.console import Console

from index.features import Event, encode_users
from tests.tiny_data import START, TINY_SETTINGS, make_events, write_data
from training.config import Encoder, make_config
from training.examples import LearningData, encode_examples, read_learning_data
from training.run import train
from training.split import split_by_time
from training.trained import TrainedRun, open_run

ENCODERS = get_args(Encoder)


def train_on(data: Path, out: Path, **settings: Any) -> TrainedRun:
    config = make_config("two_tower", TINY_SETTINGS | {"epochs": 2} | settings)
    train(data, out, config, resume=False, force=False, console=Console(file=io.StringIO()))
    return open_run(out)


def embed(trained: TrainedRun, profile: dict[str, Any] | None, events: list[Event]) -> torch.Tensor:
    now = START + timedelta(days=70)
    inputs = encode_users(trained.spec, trained.vocabulary, [profile], [events], now)
    with torch.no_grad():
        vector: torch.Tensor = trained.towers.user_tower(*map(torch.from_numpy, inputs.feed().values()))
    return vector[0]


def list_targets(data: LearningData) -> list[tuple[int, int]]:
    targets = encode_examples(data, data.interactions).targets
    return list(zip(targets.user_row.tolist(), targets.item_row.tolist(), strict=True))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_users_with_one_event_each_learn_from_empty_histories(tmp_path: Path, encoder: str) -> None:
    events = make_events(user_count=19, item_count=7, event_count=1)
    trained = train_on(write_data(tmp_path / "data", events), tmp_path / "run", encoder=encoder)
    assert torch.isfinite(embed(trained, None, [])).all()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_one_user_and_one_product_are_learned_by_every_encoder(tmp_path: Path, encoder: str) -> None:
    events = make_events(user_count=1, item_count=1, event_count=1)
    trained = train_on(write_data(tmp_path / "data", events), tmp_path / "run", encoder=encoder)
    assert torch.isfinite(embed(trained, None, [Event("p000", "view", START.timestamp())])).all()


def test_where_everybody_took_the_same_product_training_ends_with_finite_weights(tmp_path: Path) -> None:
    events = [event | {"product_id": "p000"} for event in make_events(user_count=19, event_count=1)]
    products = [{"id": f"p00{row}", "family": "FUND"} for row in range(3)]
    trained = train_on(write_data(tmp_path / "data", events, products=products), tmp_path / "run")
    assert all(torch.isfinite(value).all() for value in trained.towers.state_dict().values())
    assert trained.vocabulary.product_ids == ("p000",)


def test_targets_that_are_all_worth_nothing_end_a_run_with_finite_weights(tmp_path: Path) -> None:
    nothing = {"view": 0.0, "click": 0.0, "purchase": 0.0}
    data = write_data(tmp_path / "data", make_events(11, 9, 4))
    trained = train_on(data, tmp_path / "run", event_weights=nothing)
    assert all(torch.isfinite(value).all() for value in trained.towers.state_dict().values())


def test_an_event_that_comes_twice_is_one_target(tmp_path: Path) -> None:
    events = make_events(user_count=5, item_count=9, event_count=4)
    once = read_learning_data(write_data(tmp_path / "once", events))
    twice = read_learning_data(write_data(tmp_path / "twice", [*events, *events]))
    assert list_targets(once) == list_targets(twice)
    assert len(twice.interactions.item_row) == 2 * len(once.interactions.item_row)


def test_an_event_after_all_others_is_held_out_and_never_learned_from(tmp_path: Path) -> None:
    events = make_events(user_count=7, item_count=9, event_count=4)
    events.append(events[0] | {"product_id": "p999", "event_time": START + timedelta(days=9000)})
    data = read_learning_data(write_data(tmp_path / "data", events))
    split = split_by_time(data.interactions, fraction=0.2, user_limit=1000, seed=1)
    late = [product["id"] for product in data.products].index("p999")
    assert late in split.validation.pair_item
    assert late not in split.train.item_row


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    root = tmp_path_factory.mktemp("trained")
    return train_on(write_data(root / "data", make_events(23, 17, 7)), root / "run")


def test_a_feature_that_is_missing_when_serving_counts_as_missing(trained: TrainedRun) -> None:
    whole = {"risk_level": 2, "liquid": 7}
    vectors = {name: embed(trained, {name: whole[name]}, []) for name in whole}
    nothing = embed(trained, {}, [])
    assert torch.equal(nothing, embed(trained, None, []))
    for name, vector in vectors.items():
        assert torch.isfinite(vector).all(), name
        assert not torch.equal(vector, nothing), name
        assert not torch.equal(vector, embed(trained, whole, [])), name
        missing = embed(trained, whole | {other: None for other in whole if other != name}, [])
        assert torch.equal(vector, missing), name


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), "many"])
def test_a_feature_that_is_no_number_when_serving_counts_as_missing(trained: TrainedRun, bad: Any) -> None:
    good = {"risk_level": 2}
    assert torch.equal(embed(trained, good | {"liquid": bad}, []), embed(trained, good, []))


def test_products_and_times_that_were_never_seen_leave_a_defined_user(trained: TrainedRun) -> None:
    known = Event("p001", "view", START.timestamp())
    unknown = Event("nobody-knows", "view", START.timestamp())
    assert torch.equal(embed(trained, None, [unknown]), embed(trained, None, []))
    assert torch.equal(embed(trained, None, [known, unknown]), embed(trained, None, [known]))
    now = (START + timedelta(days=70)).timestamp()
    future = [Event("p001", "view", now + 1e9)]
    assert torch.equal(embed(trained, None, future), embed(trained, None, [Event("p001", "view", now)]))
    assert np.isfinite(embed(trained, None, future).numpy()).all()
