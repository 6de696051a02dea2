"""Negatives on the eligible set: a product that may not be shown to a user is no negative."""

import io
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from rich.console import Console

from suitability.evaluate import evaluate
from suitability.policy import default_policy_path, load_policy
from tests.suitability.conftest import COURSE, PRODUCT, USER
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training import eligibility as eligibility_module
from training import learner as learner_module
from training import run as run_module
from training.__main__ import main
from training.blocks import draw_blocks
from training.checkpoint import read_tensors
from training.config import TwoTowerConfig, make_config
from training.eligibility import Eligibility, judge_eligibility
from training.errors import CheckpointError, SettingError
from training.examples import LearningData, encode_examples, read_learning_data
from training.learner import TwoTowerLearner
from training.sharding import write_shards

POLICY = default_policy_path()
NOW = datetime(2026, 10, 1, tzinfo=UTC)
SMALL = TwoTowerConfig(embedding_dim=8, hidden_dim=5)
PROFILE = {name: value for name, value in USER.items() if name not in {"pseudonym", "profile_as_of"}}


def make_product(name: str, row: int) -> dict[str, Any]:
    """Every third is a course, the next a fund, the next a fund that is sold on the web alone."""
    if row % 3 == 0:
        return {**COURSE, "id": name}
    return {**PRODUCT, "id": name} | ({"channels": ["web"]} if row % 3 == 2 else {})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first user has no profile, and every other one of the rest tolerates no risk."""
    events = make_events(user_count=21)
    ids = sorted({event["product_id"] for event in events})
    profiles = [{**PROFILE, "user_id": f"u{row:03}", "risk_level": 3 * (row % 2)} for row in range(1, 21)]
    products = [make_product(name, row) for row, name in enumerate(ids)]
    path = write_data(
        tmp_path_factory.mktemp("eligible") / "data", events, products=products, profiles=profiles
    )
    (path / "source.json").write_text(json.dumps({"name": "tiny", "clock": NOW.isoformat()}))
    return path


def judge(data: LearningData) -> Eligibility:
    users = [(data.user_ids, data.profiles)]
    return judge_eligibility(users, len(data.user_ids), data.products, POLICY, NOW)


def read_judged(path: Path, negative_count: int = 4096, **changes: Any) -> tuple[TwoTowerLearner, Any]:
    found = read_learning_data(path)
    eligibility = judge(found)
    torch.manual_seed(1)
    config = SMALL.model_copy(update={"negative_count": negative_count, **changes})
    judged = replace(found, eligibility=eligibility)
    learner = TwoTowerLearner(encode_examples(judged, judged.interactions), config)
    shown = np.unpackbits(eligibility.bits[0], axis=1)[:, : len(found.products)].astype(bool)
    return learner, shown


def train(data: Path, out: Path, *, policy: Path | None = POLICY, resume: bool = False) -> None:
    config, console = make_config("two_tower", TINY_SETTINGS), Console(file=io.StringIO())
    run_module.train(data, out, config, resume=resume, force=False, console=console, policy=policy)


def test_verdicts_are_those_of_the_definition(data: Path) -> None:
    found = read_learning_data(data)
    _, shown = read_judged(data)
    policy = load_policy(POLICY)
    expected = np.zeros_like(shown)
    for row, profile in enumerate(found.profiles):
        user = {"pseudonym": found.user_ids[row].encode()}
        user |= {name: value for name, value in (profile or {}).items() if value is not None}
        if "knowledge" in user:
            user["knowledge"], user["held_issuer"] = dict(user["knowledge"]), dict(user["held_issuer"])
        for column, product in enumerate(found.products):
            expected[row, column] = not evaluate(user, product, policy, NOW, "app")
    assert 0 < expected.mean() < 1
    nothing = ~expected.any(axis=1)
    assert shown[~nothing].tolist() == expected[~nothing].tolist()
    assert shown[nothing].all()
    assert judge(found).unrestricted_count == nothing.sum()
    assert judge(found).share == pytest.approx(expected[~nothing].mean())


@pytest.mark.parametrize("negative_count", [5, 4096])
@pytest.mark.parametrize("hard_negative_count", [0, 3])
def test_an_ineligible_product_gets_no_gradient_as_a_negative(
    data: Path, monkeypatch: pytest.MonkeyPatch, negative_count: int, hard_negative_count: int
) -> None:
    learner, shown = read_judged(data, negative_count, hard_negative_count=hard_negative_count)
    logits: list[torch.Tensor] = []
    loss_of = learner_module.softmax_loss

    def record(logit: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        logit.retain_grad()
        logits.append(logit)
        return loss_of(logit, *rest)

    monkeypatch.setattr(learner_module, "softmax_loss", record)
    pools: list[Any] = []
    widen = learner_module._widen
    monkeypatch.setattr(
        learner_module, "_widen", lambda pool, hard: pools.append(widen(pool, hard)) or pools[-1]
    )
    batch = next(iter(learner.draw_batches(np.random.default_rng(1))))
    learner(batch).backward()
    gradient, pool = logits[0].grad, pools[0].item_row.numpy()
    assert gradient is not None
    targets = learner.part.targets
    pushed = gradient.numpy() > 0
    users = targets.user_row[batch.first_row]
    assert not pushed[~shown[users][:, pool]].any()
    assert pushed[shown[users][:, pool]].any()
    # Its own user's target is drawn closer, eligible or not.
    own = gradient.numpy()[batch.block, pools[0].column.numpy()]
    item = targets.item_row[batch.target_row]
    assert (own[~shown[users[batch.block], item]] < 0).all()


def test_where_everything_is_eligible_the_bits_are_those_without(data: Path) -> None:
    found = read_learning_data(data)
    everything = judge(found)
    everything.bits[0][:] = 255
    losses = []
    for each in (found, replace(found, eligibility=everything)):
        torch.manual_seed(1)
        learner = TwoTowerLearner(encode_examples(each, each.interactions), SMALL)
        blocks = draw_blocks(learner.part.targets, np.random.default_rng(1))
        losses.append(learner(blocks).item())
    assert losses[0] == losses[1]


def test_a_run_says_under_which_policy_and_resumes_under_no_other(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(data, tmp_path / "whole")
    train(data, tmp_path / "without", policy=None)
    save, saved = run_module.save_checkpoint, []

    def save_two(*arguments: Any, **names: Any) -> None:
        save(*arguments, **names)
        saved.append(1)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "save_checkpoint", save_two)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "cut")
    with pytest.raises(CheckpointError):
        train(data, tmp_path / "cut", policy=None, resume=True)
    train(data, tmp_path / "cut", resume=True)
    whole, cut, without = (
        read_tensors(tmp_path / name / "model.safetensors")[0] for name in ("whole", "cut", "without")
    )
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert any(not torch.equal(value, without[name]) for name, value in whole.items())
    said = json.loads((tmp_path / "whole" / "metrics.json").read_text())["eligible_negatives"]
    assert said["policy"] == load_policy(POLICY).sha256
    assert said["clock"] == "2026-10-01T00:00:00Z"
    assert json.loads((tmp_path / "without" / "metrics.json").read_text())["eligible_negatives"] is None


@pytest.mark.parametrize(
    ("model", "policy", "expected"),
    [
        ("two_tower", "absent.json", "eligible_negatives: "),
        ("mf", str(POLICY), "eligible_negatives: expected model two_tower, got mf"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, policy: str, expected: str
) -> None:
    arguments = ["--model", model, "--data", str(data), "--out", str(tmp_path / "run")]
    assert main([*arguments, "--eligible-negatives", policy]) == 1
    assert expected in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_too_many_pairs_and_no_gate_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(eligibility_module, "PAIR_COUNT_MAX", 10)
        with pytest.raises(SettingError, match="eligible_negatives: expected at most 10 pairs"):
            train(data, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(eligibility_module, "JUDGES", "prudence.nobody")
        with pytest.raises(SettingError, match="eligible_negatives: expected an installed gate"):
            train(data, tmp_path / "run")


def test_every_shard_has_the_verdicts_of_its_users(data: Path, tmp_path: Path) -> None:
    found = read_learning_data(data)
    whole = judge(found)
    expected = dict(zip(found.user_ids, whole.bits[0].tolist(), strict=True))
    shutil.copytree(data, tmp_path / "sharded")
    write_shards(tmp_path / "sharded", event_count=100, force=False)
    config = make_config("two_tower", TINY_SETTINGS)
    sharded = run_module.read_data(tmp_path / "sharded", config, POLICY)
    assert sharded.shards is not None
    assert sharded.shards.manifest.shard_count > 1
    examples = encode_examples(sharded, sharded.interactions)
    seen = {}
    for index in range(sharded.shards.manifest.shard_count):
        part = examples if index == 0 else examples._read_part(examples.stream, index)
        shard = sharded.shards.read(index)
        assert part.eligible_bits is not None
        seen |= dict(zip(shard.user_ids, part.eligible_bits.tolist(), strict=True))
    assert seen == expected
    assert sharded.eligibility is not None
    assert sharded.eligibility.share == pytest.approx(whole.share)
    assert sharded.eligibility.unrestricted_count == whole.unrestricted_count


def test_a_part_bars_by_its_own_users_verdicts(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "sharded")
    write_shards(tmp_path / "sharded", event_count=100, force=False)
    sharded = run_module.read_data(tmp_path / "sharded", make_config("two_tower", TINY_SETTINGS), POLICY)
    learner = TwoTowerLearner(encode_examples(sharded, sharded.interactions), SMALL)
    seen = torch.from_numpy(np.flatnonzero(learner.part.row_tokens))
    pool = learner_module._Pool(seen, None, torch.zeros(0, dtype=torch.int64))
    nothing = torch.zeros(0, dtype=torch.int64)
    parts = {id(learner.part): learner.part for _ in learner.draw_batches(np.random.default_rng(1))}
    assert len(parts) > 1
    for part in parts.values():
        learner._turn_to(part)
        assert part.eligible_bits is not None
        users = torch.arange(len(part.eligible_bits))
        barred = learner._bar(torch.zeros(len(users), 0, dtype=torch.int64), nothing, nothing, users, pool)
        shown = np.unpackbits(part.eligible_bits.numpy(), axis=1)[:, seen.numpy()].astype(bool)
        assert barred.tolist() == (~shown).tolist()


def test_update_and_tune_take_a_policy_and_say_which(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "first", policy=None)
    arguments = ["--data", str(data), "--eligible-negatives", str(POLICY)]
    update = ["update", "--from", str(tmp_path / "first"), "--out", str(tmp_path / "second"), "--epochs", "1"]
    assert main([*update, *arguments]) == 0
    said = json.loads((tmp_path / "second" / "metrics.json").read_text())["eligible_negatives"]
    assert said["policy"] == load_policy(POLICY).sha256
    (tmp_path / "tiny.json").write_text(json.dumps(TINY_SETTINGS | {"epochs": 1}))
    study = ["--study", str(tmp_path / "study.db"), "--out", str(tmp_path / "best.json"), "--trials", "1"]
    tune = ["tune", "--model", "two_tower", "--config", str(tmp_path / "tiny.json"), *study]
    assert main([*tune, *arguments]) == 0
    assert main([*tune, "--data", str(data)]) == 0
    names = optuna.get_all_study_names(f"sqlite:///{tmp_path / 'study.db'}")
    assert len(names) == 2, "trials with and without a policy cannot be compared"
