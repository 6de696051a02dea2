"""Measures optimizers on a large table alone: `python -m benchmarks.training.vocabulary adamw 1000000`.

A step looks up as many rows as a batch of the default size does, computes a loss, clips and steps.
"""

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import torch
from rich.console import Console
from torch import nn

from benchmarks.training.child import run_child
from training.rowwise import ROWWISE, RowwiseAdagrad, clip_gradients, merge_rows

OPTIMIZERS: Final = ("adamw", "rowwise_adagrad")
_DIM: Final = 63
_LOOKUP_COUNT: Final = 20_000  # 512 histories of about 30 events, and the pool.
_STEP_COUNT: Final = 12


@dataclass(frozen=True)
class TableCost:
    """What a table of some rows cost: the median step, and the most memory of the process."""

    optimizer: str
    row_count: int
    step_ms: float
    peak_mib: int


def measure_table(optimizer: str, row_count: int) -> TableCost:
    """Measures in a process of its own."""
    outcome = run_child(["-m", "benchmarks.training.vocabulary", optimizer, str(row_count)])
    return TableCost(optimizer, row_count, outcome.read()["step_ms"], outcome.peak_mib)


def time_steps(optimizer: str, row_count: int) -> float:
    """Times steps of an optimizer on one table; returns the median in milliseconds."""
    torch.manual_seed(1)
    by_rows = optimizer == "rowwise_adagrad"
    table = nn.Embedding(row_count, _DIM, sparse=by_rows)
    weight = table.get_parameter("weight")
    stepper: torch.optim.Optimizer
    if by_rows:
        stepper = RowwiseAdagrad([{"params": [weight], ROWWISE: True}], lr=0.01)
    else:
        stepper = torch.optim.AdamW([weight], lr=0.01)
    seconds = []
    for _ in range(_STEP_COUNT):
        rows = torch.randint(row_count, (_LOOKUP_COUNT,))
        started = time.perf_counter()
        stepper.zero_grad(set_to_none=True)
        table(rows).square().sum().backward()
        merge_rows([weight])
        clip_gradients([weight], 5.0)
        stepper.step()
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[2:])


def main(arguments: Sequence[str]) -> int:
    """Prints the median step of one optimizer as JSON."""
    torch.set_num_threads(1)
    cost = TableCost(arguments[0], int(arguments[1]), time_steps(arguments[0], int(arguments[1])), 0)
    Console().print(json.dumps(asdict(cost)), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
