"""Data in shards: the same events, users and counts as in one piece, learning from it, and bad input."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.__main__ import main
from training.config import make_config
from training.errors import EmptyDataError, OutputError, SchemaError, SettingError, SourceError
from training.examples import Examples, LearningData, encode_examples, read_learning_data
from training.learner import TwoTowerLearner
from training.loop import make_trainer
from training.sharding import choose_shards, write_shards
from training.split import split_by_time
from training.trained import open_run


def make_rated_events() -> list[dict[str, Any]]:
    """Ratings whose lowest and highest are of different users."""
    events = make_events()
    for place, event in enumerate(events):
        if place % 5 == 0:
            event |= {"event_type": "rating", "weight": float(1 + place % 7)}
    return events


def write_sharded(path: Path, **options: Any) -> tuple[LearningData, LearningData]:
    """Writes a data set; returns what is read before and after it is parted into about 8 shards."""
    write_data(path, make_rated_events(), **options)
    whole = read_learning_data(path)
    write_shards(path, event_count=100, force=False)
    return whole, read_learning_data(path)


def list_events(data: LearningData) -> Counter[tuple[Any, ...]]:
    """Lists the events of all shards by user id."""
    shards = data.shards
    parts = [shards.read(index) for index in range(shards.manifest.shard_count)] if shards else [data]
    found: Counter[tuple[Any, ...]] = Counter()
    for part in parts:
        events = part.interactions
        columns = (events.item_row, events.event_code, events.event_time, events.liking)
        ids = (part.user_ids[row] for row in events.user_row)
        found.update(zip(ids, *(column.tolist() for column in columns), strict=True))
    return found


@pytest.mark.parametrize("dated", [True, False])
def test_shards_hold_the_events_of_the_data(tmp_path: Path, dated: bool) -> None:
    write_data(tmp_path / "data", make_rated_events())
    if not dated:
        (tmp_path / "data" / "source.json").write_text('{"dated": false}')
    whole = read_learning_data(tmp_path / "data")
    write_shards(tmp_path / "data", event_count=100, force=False)
    sharded = read_learning_data(tmp_path / "data")
    assert sharded.shards is not None
    assert sharded.shards.manifest.shard_count == 8
    assert list_events(sharded) == list_events(whole)
    assert sharded.shards.manifest.user_count == len(whole.user_ids)
    for index in range(8):
        shard = sharded.shards.read(index)
        for user_id, profile in zip(shard.user_ids, shard.profiles, strict=True):
            assert profile == whole.profiles[whole.user_ids.index(user_id)]


def count_targets(examples: Examples, learner: TwoTowerLearner, seed: int) -> Counter[int]:
    """Counts the products of one epoch's targets, as the batches give them."""
    found: Counter[int] = Counter()
    for batch in learner.draw_batches(np.random.default_rng(seed)):
        found.update(learner.part.targets.item_row[batch.target_row].tolist())
    assert found.total() == examples.target_count
    return found


def test_an_epoch_goes_once_through_the_targets_of_all_shards(tmp_path: Path) -> None:
    whole, sharded = write_sharded(tmp_path / "data")
    pieces = [encode_examples(data, data.interactions) for data in (whole, sharded)]
    assert pieces[0].vocabulary == pieces[1].vocabulary
    np.testing.assert_array_equal(pieces[0].token_share, pieces[1].token_share)
    assert pieces[0].latest == pieces[1].latest
    config = make_config("two_tower", TINY_SETTINGS)
    learners = [make_trainer(examples, None, config, lambda _: None).learner for examples in pieces]
    assert all(isinstance(learner, TwoTowerLearner) for learner in learners)
    counts = [count_targets(*pair, seed=1) for pair in zip(pieces, learners, strict=True)]  # type: ignore[arg-type]
    assert counts[0] == counts[1]
    # Popularity, which the bias starts at, is weighed over all shards.
    bias = [learner.towers.item_tower.bias.weight.detach().numpy() for learner in learners]
    np.testing.assert_allclose(bias[0], bias[1], rtol=1e-5)


def test_no_shard_gives_events_after_the_boundary(tmp_path: Path) -> None:
    _, data = write_sharded(tmp_path / "data")
    split = split_by_time(data.interactions, fraction=0.3, user_limit=100, seed=1)
    examples = encode_examples(data, split.train, split.boundary)
    parts = list(examples.draw_parts(np.random.default_rng(1)))
    assert len(parts) == 8
    assert all(part.interactions.event_time.max() <= split.boundary for part in parts)
    assert examples.target_count == sum(len(part.targets.user_row) for part in parts)
    assert examples.latest <= split.boundary


def test_a_model_learns_from_shards(tmp_path: Path) -> None:
    write_sharded(tmp_path / "data")
    (tmp_path / "config.json").write_text('{"embedding_dim": 8, "batch_size": 16, "learning_rate": 0.03}')
    arguments = ["--model", "two_tower", "--data", tmp_path / "data", "--out", tmp_path / "run"]
    command = [*arguments, "--epochs", "8", "--config", tmp_path / "config.json"]
    assert main([str(part) for part in command]) == 0
    metrics = open_run(tmp_path / "run").metrics
    assert metrics["counts"] == {"users": 61, "products": 60, "events": 732}
    losses = [epoch["loss"] for epoch in metrics["stages"][-1]["epochs"]]
    assert losses[-1] < losses[0]


def test_a_classic_model_refuses_shards(tmp_path: Path) -> None:
    _, data = write_sharded(tmp_path / "data")
    examples = encode_examples(data, data.interactions)
    with pytest.raises(SettingError, match="expected two_tower with data in shards, got svd"):
        make_trainer(examples, None, make_config("svd", {}), lambda _: None)


def test_a_user_stays_in_one_shard_whatever_rows_are_beside_theirs() -> None:
    names = [f"u{place % 50}" for place in range(200)]
    chosen = choose_shards(pa.chunked_array([names]), 7)
    alone = [choose_shards(pa.chunked_array([[name]]), 7)[0] for name in names]
    assert chosen.tolist() == alone
    assert set(chosen) == set(range(7))


def test_shards_of_other_tables_or_of_another_version_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    write_sharded(path)
    with pytest.raises(OutputError, match="--force"):
        write_shards(path, force=False)
    table = pyarrow.parquet.read_table(path / "interactions.parquet")
    pyarrow.parquet.write_table(table.slice(1), path / "interactions.parquet")
    with pytest.raises(SourceError, match=r"interactions.parquet has changed since"):
        read_learning_data(path)
    made = write_shards(path, event_count=200, force=True)
    assert (made.event_count, made.shard_count) == (731, 4)
    manifest = path / "shards" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(SourceError, match="expected format_version 1, got 9"):
        read_learning_data(path)
    manifest.write_text("{")
    with pytest.raises(SourceError, match="expected a description of shards"):
        read_learning_data(path)


def test_bad_tables_leave_no_shards(tmp_path: Path) -> None:
    path = tmp_path / "data"
    events = make_events()
    write_data(path, [events[0] | {"product_id": "unknown"}, *events[1:]], products=[{"id": "p000"}])
    with pytest.raises(SchemaError, match="product_id 'unknown' is unknown"):
        write_shards(path, force=False)
    assert not list(path.glob("*shards*"))
    empty = write_data(tmp_path / "empty", [], products=[{"id": "p000"}], profiles=[])
    with pytest.raises(EmptyDataError, match="at least one event"):
        write_shards(empty, force=False)
    with pytest.raises(SettingError, match="events: expected at least 1 in a shard, got 0"):
        write_shards(empty, event_count=0, force=False)


def test_a_first_shard_without_a_user_is_refused(tmp_path: Path) -> None:
    # One user is in one shard, and of five that is not the first.
    assert choose_shards(pa.chunked_array([["u000"]]), 5)[0] != 0
    path = write_data(tmp_path / "data", make_events(user_count=1, event_count=10))
    with pytest.raises(EmptyDataError, match="the first of 5 shards: expected a user, got none"):
        write_shards(path, event_count=2, force=False)
    assert not list(path.glob("*shards*"))
