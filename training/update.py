"""Carries a trained model on with newer data: `python -m training update --from RUN --data DATA --out RUN2`.

The model goes on from where the earlier run ended and learns from all of the data, for a few epochs at a
small rate. Nothing is held out and nothing is chosen here: whether the result may serve is judged by
`python -m benchmarks.promotion`, on what happened after DATA ends.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from training.config import make_config, read_settings
from training.dataset import parse_clock
from training.eligibility import add_policy
from training.errors import DataError
from training.run import Origin, train
from training.trained import TrainedRun, open_run
from training.warm_start import carry_weights, identify_weights, require_two_tower

EPOCHS: Final = 3
LEARNING_RATE: Final = 0.003


def main(argv: Sequence[str]) -> None:
    """Carries a run on as the arguments say.

    Raises:
        TrainingError: see its tree.
    """
    arguments = _parser().parse_args(argv)
    update(
        arguments.run,
        arguments.data,
        arguments.out,
        epochs=arguments.epochs,
        learning_rate=arguments.learning_rate,
        resume=arguments.resume,
        force=arguments.force,
        console=Console(),
        policy=arguments.eligible_negatives,
    )


def update(
    run: Path,
    data: Path,
    out: Path,
    *,
    epochs: int = EPOCHS,
    learning_rate: float = LEARNING_RATE,
    resume: bool,
    force: bool,
    console: Console,
    policy: Path | None = None,
) -> None:
    """Trains from an earlier run's weights, with its settings but for epochs and rate.

    Args:
        run: the earlier run.
        data: the newer data directory: everything that the model may learn from, old and new.
        out: the run directory to write.
        epochs: how often it goes through the data.
        learning_rate: the rate of the first step.
        resume: whether to go on with an interrupted update.
        force: whether to replace `out`.
        console: where progress goes.
        policy: as `training.run.train` has it; the earlier run may have had another, or none.

    Raises:
        SettingError: the earlier run is of another model, or a setting is out of range.
        CheckpointError: the earlier run is damaged, of another schema, or of other products.
        DataError: the data is malformed, or ends before that of the earlier run.
        TrainingError: see its tree.
    """
    previous = open_run(run)
    settings = require_two_tower(previous).model_dump() | {"epochs": epochs, "learning_rate": learning_rate}
    config = make_config(settings.pop("model"), settings)
    _require_newer(previous, data)
    origin = Origin(identify_weights(previous), partial(carry_weights, previous))
    train(data, out, config, resume=resume, force=force, console=console, origin=origin, policy=policy)


def _require_newer(previous: TrainedRun, data: Path) -> None:
    """Refuses data that ends before that of the earlier run; a clock that is not stated is today's."""
    before, now = previous.source.get("clock"), read_settings(data / "source.json").get("clock")
    if before is not None and now is not None and parse_clock(str(now)) < parse_clock(str(before)):
        raise DataError(
            f"{data}: its clock is {now}; expected data not older than that of the earlier run, {before}"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training update",
        description="Carries a run of two_tower on with newer data; products are known by their ids.",
    )
    parser.add_argument("--from", dest="run", required=True, type=Path, help="the earlier run directory")
    parser.add_argument("--data", required=True, type=Path, help="newer data, of a data command")
    parser.add_argument("--out", required=True, type=Path, help="the run directory to write")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default %(default)s")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help="default %(default)s")
    add_policy(parser)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted update")
    parser.add_argument("--force", action="store_true", help="replace OUT, drop an interrupted update")
    return parser
