"""The ablation measures as training validates, and compares variants on the same users."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.ablation import __main__ as command
from benchmarks.ablation.measure import Measured, measure_variants, rank_validation
from benchmarks.ablation.variants import (
    VARIANTS,
    Variant,
    add_user_ids,
    choose_variants,
    hide_history,
    hide_inputs,
)
from benchmarks.errors import BenchmarkInputError
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.config import make_config
from training.examples import encode_examples, read_learning_data
from training.histories import cut_histories, find_next
from training.metrics import measure_ranking
from training.split import split_by_time


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data", make_events(user_count=31))


def test_lists_are_measured_as_training_measures_them(data: Path) -> None:
    interactions = read_learning_data(data).interactions
    validation = split_by_time(interactions, fraction=0.2, user_limit=1000, seed=1).validation
    rng = np.random.default_rng(1)
    users = rng.normal(size=(len(validation.users.user_row), 4)).astype(np.float32)
    items = rng.normal(size=(interactions.item_count, 4)).astype(np.float32)
    expected = measure_ranking(users, items, validation)
    # Scores are compared in float32 there and in float64 here.
    assert rank_validation(users, items, validation).ndcg.mean() == pytest.approx(expected.ndcg_at_10)


def test_a_difference_is_from_the_variant_named(data: Path) -> None:
    variants = [
        Variant("default"),
        Variant("narrow", {"embedding_dim": 4}),
        Variant("same", {}, None, "narrow"),
    ]
    told: list[Measured] = []
    results = measure_variants(read_learning_data(data), variants, TINY_SETTINGS, told.append)
    assert told == results
    default, narrow, same = results
    assert default.recall_difference.mean == 0.0
    assert narrow.recall_difference.mean == pytest.approx(narrow.recall.mean - default.recall.mean)
    assert same.recall == default.recall
    assert same.recall_difference.mean == pytest.approx(same.recall.mean - narrow.recall.mean)
    assert narrow.recall_difference.low <= narrow.recall_difference.mean <= narrow.recall_difference.high


def test_what_a_variant_is_without_is_nowhere_to_be_seen(data: Path) -> None:
    learning_data = read_learning_data(data)
    interactions = learning_data.interactions
    examples = encode_examples(learning_data, interactions)
    blind = hide_inputs(examples, "profiles")
    assert not blind.user_categorical.any()
    assert (blind.user_numeric[:, 1::2] == 1).all()
    bare = hide_inputs(examples, "content")
    assert torch.equal(bare.item_inputs[0], examples.item_inputs[0])
    assert not any(bare.item_inputs[place].any() for place in (1, 3))
    users = find_next(interactions, np.arange(5), np.full(5, interactions.event_time.max()))
    rows = np.arange(5)
    assert cut_histories(interactions, users, rows, examples.row_tokens).token.any()
    hidden = hide_history(users, "history")
    assert not cut_histories(interactions, hidden, rows, examples.row_tokens).token.any()


def test_a_user_id_is_one_more_feature_that_tells_users_apart(data: Path) -> None:
    learning_data = read_learning_data(data)
    split = split_by_time(learning_data.interactions, fraction=0.2, user_limit=1000, seed=1)
    examples = encode_examples(learning_data, split.train)
    known = add_user_ids(examples)
    assert len(known.user_categorical[:, -1].unique()) == len(known.user_categorical)
    assert torch.equal(known.user_categorical[:, :-1], examples.user_categorical)
    variants = [Variant("default"), Variant("ids", user_ids=True)]
    default, other = measure_variants(learning_data, variants, TINY_SETTINGS, lambda _: None)
    assert other.recall != default.recall


def test_variants_are_chosen_with_those_they_are_compared_with() -> None:
    chosen = choose_variants(["in-batch negatives, logQ", "dot product"])
    assert [variant.name for variant in chosen] == [
        "default",
        "dot product",
        "in-batch negatives, no logQ",
        "in-batch negatives, logQ",
    ]
    assert choose_variants([]) == VARIANTS
    with pytest.raises(BenchmarkInputError, match=r"--only: expected one of .* got 'nothing'"):
        choose_variants(["nothing"])


def test_every_variant_has_settings_that_a_run_takes() -> None:
    names = [variant.name for variant in VARIANTS]
    assert len(set(names)) == len(names)
    for place, variant in enumerate(VARIANTS):
        make_config("two_tower", dict(variant.settings))
        assert variant.against in names[: place + 1]


def test_the_command_writes_table_json_and_picture(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "NICENESS", 0)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(TINY_SETTINGS | {"epochs": 1}))
    options = ["--config", str(config), "--out", str(tmp_path / "out"), "--only", "random start"]
    assert command.main(["--data", str(data), *options]) == 0
    assert "random start: recall@10" in capsys.readouterr().out
    body = json.loads((tmp_path / "out" / "ablation-tiny.json").read_text())
    assert [variant["name"] for variant in body["variants"]] == ["default", "random start"]
    assert (tmp_path / "out" / "ablation-tiny.png").stat().st_size > 0
    assert command.main(["--data", str(tmp_path), "--out", str(tmp_path / "none")]) == 1
    assert "MissingFileError" in capsys.readouterr().err
    assert command.main(["--data", str(data), *options, "--only", "luck"]) == 1
    assert "BenchmarkInputError: --only: expected one of" in capsys.readouterr().err
