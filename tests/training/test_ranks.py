"""Training in several processes: the same losses as in one, an end when one of them dies, and resuming."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from tests.test_imports import ROOT
from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.__main__ import main
from training.checkpoint import read_tensors
from training.config import Encoder, make_config
from training.errors import SettingError
from training.examples import encode_examples, read_learning_data
from training.learner import TwoTowerLearner
from training.loop import make_trainer
from training.ranks import Ranks

# Without random draws that differ from process to process, the steps are the same but for the order of sums.
PLAIN = {"history_dropout": 0.0, "dropout": 0.0, "profile_dropout": 0.0, "id_dropout": 0.0, "patience": 9}

DYING = """
import os, sys
from training import run
from training.__main__ import main

run_epoch = run.run_epoch

def die_in_the_third(trainer, stage, *, epoch_count):
    if trainer.ranks.rank == 1 and len(stage.epochs) == 2:
        os._exit(9)
    return run_epoch(trainer, stage, epoch_count=epoch_count)

run.run_epoch = die_in_the_third
sys.exit(main(sys.argv[1:]))
"""

HANGING = """
import time
from training.ranks import join_ranks

# Long enough for a process that starts late on a busy machine.
with join_ranks(timeout_seconds=6.0) as ranks:
    if not ranks.first:
        time.sleep(100)
    ranks.wait()
"""

LEAVING = """
from pathlib import Path
import torch
from torch import nn
from training.ranks import join_ranks

with join_ranks() as ranks:
    ranks.wait()
    weight = nn.Parameter(torch.zeros(2))
    torch.optim.SGD([weight])  # Imports much of torch while the processes are joined.
print(*{task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")})
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("tiny") / "data", make_events())


def run_two(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in two processes of this machine."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += map(str, arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def describe(data: Path, out: Path, **changes: object) -> list[str | Path]:
    """Returns the command line of a run."""
    config = data.parent / f"{out.name}.json"
    config.write_text(json.dumps(TINY_SETTINGS | PLAIN | changes))
    return ["--model", "two_tower", "--data", data, "--out", out, "--config", config]


def losses(run: Path) -> list[float]:
    stages = json.loads((run / "metrics.json").read_text())["stages"]
    return [epoch["loss"] for stage in stages for epoch in stage["epochs"]]


def assert_same(left: Path, right: Path) -> None:
    assert losses(left) == pytest.approx(losses(right), abs=1e-5)
    weights, others = (read_tensors(run / "model.safetensors")[0] for run in (left, right))
    for name, value in weights.items():
        # Adam divides by the root of squares: a rounding of the sum may show in a weight that hardly learns.
        assert value.numpy() == pytest.approx(others[name].numpy(), abs=1e-3), name


def test_two_processes_learn_what_one_learns(data: Path, tmp_path: Path) -> None:
    # The products of a batch are told apart from each other: those of both processes, in both.
    settings = {"negative_count": 0, "epochs": 2, "optimizer": "rowwise_adagrad"}
    settings |= {"hard_negative_count": 3}
    assert main([str(part) for part in describe(data, tmp_path / "one", **settings)]) == 0
    finished = run_two("-m", "training", *describe(data, tmp_path / "two", **settings))
    assert finished.returncode == 0, finished.stderr
    assert_same(tmp_path / "one", tmp_path / "two")
    # The first rank alone tells and writes.
    assert finished.stdout.count("final epoch 1:") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_no_thread_of_the_joined_processes_outlives_them(tmp_path: Path) -> None:
    # One that frees a tensor while Python ends aborts its process, now and then.
    (tmp_path / "leaving.py").write_text(LEAVING)
    finished = run_two(tmp_path / "leaving.py")
    assert finished.returncode == 0, finished.stderr
    assert "python" in finished.stdout
    assert "gloo" not in finished.stdout


def test_a_run_whose_process_died_ends_and_can_be_resumed_by_one(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dying.py").write_text(DYING)
    command = describe(data, tmp_path / "cut", epochs=3)
    # torchrun looks seldom, so that the other process says what it met before it is ended.
    died = run_two("--monitor-interval", "2", tmp_path / "dying.py", *command)
    assert died.returncode == 1
    assert "RankError: rank 0: expected every rank to answer" in died.stderr
    assert not (tmp_path / "cut").exists()
    assert main([str(part) for part in [*command, "--resume"]]) == 0
    told = capsys.readouterr().out
    assert "search epoch 3:" in told
    assert "search epoch 2:" not in told
    assert main([str(part) for part in describe(data, tmp_path / "whole", epochs=3)]) == 0
    assert_same(tmp_path / "cut", tmp_path / "whole")


def test_a_process_that_hangs_does_not_hang_the_run(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    hung = run_two(tmp_path / "hanging.py")
    assert hung.returncode == 1
    assert "RankError: rank 0: expected every rank to answer" in hung.stderr


@pytest.mark.parametrize("encoder", get_args(Encoder))
@pytest.mark.parametrize("optimizer", ["adamw", "rowwise_adagrad"])
def test_the_parts_of_more_ranks_than_blocks_add_up_to_the_whole(
    data: Path, encoder: str, optimizer: str
) -> None:
    learning_data = read_learning_data(data)
    examples = encode_examples(learning_data, learning_data.interactions)
    config = make_config(
        "two_tower", TINY_SETTINGS | PLAIN | {"encoder": encoder, "optimizer": optimizer, "batch_size": 2}
    )
    losses, gradients = [], []
    for ranks in (Ranks(), *(Ranks(rank=rank, count=3) for rank in range(3))):
        learner = make_trainer(examples, None, config, lambda _: None, ranks).learner
        assert isinstance(learner, TwoTowerLearner)
        loss = learner(next(learner.draw_batches(np.random.default_rng(1))))
        loss.backward()
        losses.append(loss.item())
        found = {name: entry.grad for name, entry in learner.named_parameters() if entry.grad is not None}
        gradients.append({name: value.to_dense() for name, value in found.items()})
    assert losses[3] == 0.0
    assert sum(losses[1:]) == pytest.approx(losses[0], rel=1e-5)
    whole, *parts = gradients
    for part in parts:
        assert part.keys() == whole.keys()
    for name, value in whole.items():
        total = sum((part[name] for part in parts), torch.zeros(()))
        assert total.numpy() == pytest.approx(value.numpy(), rel=1e-3, abs=1e-6), name


def test_a_classic_model_refuses_several_processes(data: Path) -> None:
    learning_data = read_learning_data(data)
    examples = encode_examples(learning_data, learning_data.interactions)
    with pytest.raises(SettingError, match="expected two_tower with 2 processes, got svd"):
        make_trainer(examples, None, make_config("svd", {}), lambda _: None, Ranks(rank=1, count=2))
