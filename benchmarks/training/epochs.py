"""Measures one epoch of `python -m training` under several settings, each in processes of its own."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.training.child import run_child
from training.config import make_config


@dataclass(frozen=True)
class Variant:
    """Settings to be measured."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    process_count: int = 1


@dataclass(frozen=True)
class EpochCost:
    """What one epoch over all targets took.

    Attributes:
        data: name of the data.
        variant: name of the settings.
        event_count, target_count: size of the data.
        seconds: of the epoch alone.
        examples_per_second: targets a second.
        loss: mean over the epoch; the same for every way of computing the same steps.
        whole_seconds: with reading, encoding and writing.
        cpu_seconds: of all of that, in all processes.
        peak_mib: the most memory of one process.
    """

    data: str
    variant: str
    event_count: int
    target_count: int
    seconds: float
    examples_per_second: float
    loss: float
    whole_seconds: float
    cpu_seconds: float
    peak_mib: int


VARIANTS: Final = (
    Variant("default: 1 thread"),
    Variant("2 threads", {"thread_count": 2}),
    Variant("2 processes", process_count=2),
    Variant("rowwise_adagrad", {"optimizer": "rowwise_adagrad"}),
    Variant("bf16", {"precision": "bf16"}),
)


def measure_epoch(data: Path, variant: Variant) -> EpochCost:
    """Trains for one epoch without validation.

    Raises:
        StageFailedError: training failed.
    """
    settings = {"epochs": 1, "validation_fraction": 0.0, **variant.settings}
    make_config("two_tower", settings)
    with tempfile.TemporaryDirectory() as directory:
        config, out = Path(directory) / "config.json", Path(directory) / "run"
        config.write_text(json.dumps(settings), encoding="utf-8")
        command = ["-m", "training", "--model", "two_tower", "--data", str(data), "--out", str(out)]
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        several = [*launcher, str(variant.process_count)] if variant.process_count > 1 else []
        outcome = run_child([*several, *command, "--config", str(config)])
        metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    epoch = metrics["stages"][-1]["epochs"][0]
    return EpochCost(
        data=data.name,
        variant=variant.name,
        event_count=metrics["counts"]["events"],
        target_count=round(epoch["seconds"] * epoch["examples_per_second"]),
        seconds=epoch["seconds"],
        examples_per_second=epoch["examples_per_second"],
        loss=epoch["loss"],
        whole_seconds=outcome.seconds,
        cpu_seconds=outcome.cpu_seconds,
        peak_mib=outcome.peak_mib,
    )
