"""What happens after the split changes nothing that a model learns before it."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.examples import encode_examples, read_learning_data
from training.loop import Stage, make_trainer, run_epoch
from training.split import split_by_time

FRACTION = 0.3
SETTINGS = TINY_SETTINGS | {"epochs": 2, "validation_fraction": FRACTION}
Event = dict[str, Any]


def read_pair(event: Event) -> tuple[str, str]:
    return event["user_id"], event["product_id"]


def find_boundary(events: list[Event]) -> datetime:
    """Finds the instant from which the latest pairs are held out, as `split_by_time` does."""
    first: dict[tuple[str, str], datetime] = {}
    for event in events:
        first.setdefault(read_pair(event), event["event_time"])
    times = sorted(first.values())
    return times[len(times) - round(FRACTION * len(times))]


def make_distinct_events() -> list[Event]:
    """Makes one event for each pair, at times of its own, so that the boundary is one instant."""
    events = sorted(make_events(31, 29, 8), key=lambda event: (event["event_time"], read_pair(event)))
    once = list({read_pair(event): event for event in reversed(events)}.values())[::-1]
    for place, event in enumerate(once):
        event["event_time"] = event["event_time"].replace(microsecond=place)
    return once


def shuffle_late(events: list[Event], boundary: datetime, seed: int) -> list[Event]:
    """Lets the late events trade users, while no pair comes twice: as many pairs at the same times."""
    rng = np.random.default_rng(seed)
    events = [dict(event) for event in events]
    late = [place for place, event in enumerate(events) if event["event_time"] >= boundary]
    pairs = {read_pair(event) for event in events}
    for _ in range(20 * len(late)):
        one, other = (events[place] for place in rng.choice(late, 2, replace=False))
        swapped = {(other["user_id"], one["product_id"]), (one["user_id"], other["product_id"])}
        if len(swapped) == 2 and not swapped & pairs:
            pairs = (pairs - {read_pair(one), read_pair(other)}) | swapped
            one["user_id"], other["user_id"] = other["user_id"], one["user_id"]
    return events


def learn(data: Path, encoder: str) -> tuple[dict[str, torch.Tensor], Stage]:
    """Learns from what came before the split, as the search of a training run does."""
    config = make_config("two_tower", SETTINGS | {"encoder": encoder})
    learning_data = read_learning_data(data)
    split = split_by_time(learning_data.interactions, fraction=FRACTION, user_limit=1000, seed=config.seed)
    examples = encode_examples(learning_data, split.train)
    trainer = make_trainer(examples, split.validation, config, lambda _: None)
    stage = Stage("search")
    while not stage.finished:
        stage = run_epoch(trainer, stage, epoch_count=config.epochs)
    return trainer.learner.state_dict(), stage


@pytest.mark.parametrize("encoder", ["pooled", "attention", "transformer"])
@pytest.mark.parametrize("seed", [1, 2])
def test_shuffling_what_comes_after_the_split_changes_no_weight(
    tmp_path: Path, encoder: str, seed: int
) -> None:
    events = make_distinct_events()
    boundary = find_boundary(events)
    shuffled = shuffle_late(events, boundary, seed)
    moved = sum(read_pair(one) != read_pair(other) for one, other in zip(events, shuffled, strict=True))
    assert moved > len(events) * FRACTION / 2
    plain, stage = learn(write_data(tmp_path / "plain", events), encoder)
    other, other_stage = learn(write_data(tmp_path / "shuffled", shuffled), encoder)
    for name, value in plain.items():
        assert torch.equal(value, other[name]), name
    assert [epoch.loss for epoch in stage.epochs] == [epoch.loss for epoch in other_stage.epochs]
    # The future that the model is measured on is another one.
    assert [epoch.quality for epoch in stage.epochs] != [epoch.quality for epoch in other_stage.epochs]
