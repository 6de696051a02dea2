"""Measures learning from shards, in a process of its own: `python -m benchmarks.training.streaming DATA 20`.

One epoch's batches of all shards are drawn and their users encoded; of each shard, some are learned from.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from benchmarks.training.child import run_child
from benchmarks.training.drawing import draw_data
from training.config import make_config
from training.examples import encode_examples, read_learning_data
from training.learner import TwoTowerLearner
from training.loop import make_trainer


@dataclass(frozen=True)
class StreamCost:
    """What a data set of some size cost, drawn, dealt into shards and read.

    Attributes:
        event_count, target_count: its size.
        shard_count: into how many shards it was dealt.
        table_mib: size of the Parquet file of events.
        deal_seconds, deal_peak_mib: `training shard`.
        read_seconds, read_peak_mib: an epoch's batches, with two passes that count before it.
    """

    event_count: int
    target_count: int
    shard_count: int
    table_mib: int
    deal_seconds: float
    deal_peak_mib: int
    read_seconds: float
    read_peak_mib: int


def measure_stream(directory: Path, event_count: int, step_count: int) -> StreamCost:
    """Draws a data set unless it is there, deals it into shards and reads them.

    Raises:
        StageFailedError: a command failed.
    """
    data = directory / f"drawn-{event_count}"
    if not data.is_dir():
        draw_data(data, event_count)
    dealt = run_child(["-m", "training", "shard", str(data), "--force"])
    read = run_child(["-m", "benchmarks.training.streaming", str(data), str(step_count)])
    found = read.read()
    return StreamCost(
        event_count=event_count,
        target_count=found["target_count"],
        shard_count=found["shard_count"],
        table_mib=round((data / "interactions.parquet").stat().st_size / 2**20),
        deal_seconds=dealt.seconds,
        deal_peak_mib=dealt.peak_mib,
        read_seconds=found["seconds"],
        read_peak_mib=read.peak_mib,
    )


def read_epoch(data: Path, step_count: int) -> dict[str, float]:
    """Goes through one epoch; `step_count` batches of each shard are learned from."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    learning_data = read_learning_data(data)
    examples = encode_examples(learning_data, learning_data.interactions)
    trainer = make_trainer(examples, None, make_config("two_tower", {}), lambda _: None)
    learner, optimizer = trainer.learner, trainer.optimizer
    assert isinstance(learner, TwoTowerLearner), "the settings say so"
    targets, done, last = 0, 0, examples
    for batch in learner.draw_batches(np.random.default_rng(1)):
        targets += len(batch)
        done = done + 1 if learner.part is last else 1
        last = learner.part
        if done > step_count:
            last.encode_blocks(batch)
            continue
        optimizer.zero_grad(set_to_none=True)
        learner(batch).backward()
        optimizer.step()
    assert targets == examples.target_count, "an epoch goes through every target once"
    shards = learning_data.shards
    return {
        "seconds": time.perf_counter() - started,
        "target_count": targets,
        "shard_count": 1 if shards is None else shards.manifest.shard_count,
    }


def main(arguments: Sequence[str]) -> int:
    """Prints what an epoch took as JSON."""
    found = read_epoch(Path(arguments[0]), int(arguments[1]))
    Console().print(json.dumps(found), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
