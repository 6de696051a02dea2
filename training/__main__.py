"""Command line of training: makes data sets (simulate, import, check), tunes, trains and updates models."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from training import data_commands
from training.eligibility import add_policy


def main(argv: Sequence[str]) -> int:
    """Runs a data command, tunes settings, trains a model or carries one on.

    Returns: the exit code; 0 on success, 1 with a message on stderr otherwise.
    """
    if argv and argv[0] in data_commands.COMMANDS:
        return data_commands.main(argv)
    command = argv[0] if argv and argv[0] in ("tune", "update", "risk") else "train"
    arguments = _parser().parse_args(argv) if command == "train" else None
    # The data commands must not wait for torch.
    from training.config import make_config, read_settings
    from training.errors import TrainingError
    from training.run import train

    try:
        if command == "risk":
            from training.risk import commands

            commands.main(argv[1:])
            return 0
        if arguments is None:
            from training import tune, update

            (tune if command == "tune" else update).main(argv[1:])
            return 0
        values = read_settings(arguments.config) if arguments.config else {}
        given = {name: getattr(arguments, name) for name in ("seed", "epochs")}
        values |= {name: value for name, value in given.items() if value is not None}
        train(
            arguments.data,
            arguments.out,
            make_config(arguments.model, values),
            resume=arguments.resume,
            force=arguments.force,
            console=Console(),
            policy=arguments.eligible_negatives,
        )
    except TrainingError as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Trains a model. Commands: simulate, import, check, tune, update, risk; each has --help.",
    )
    parser.add_argument("--model", required=True, help="two_tower, mf, svd or ials")
    parser.add_argument("--data", required=True, type=Path, help="a directory made by a data command")
    parser.add_argument("--out", required=True, type=Path, help="the run directory to write")
    parser.add_argument("--config", type=Path, help="a JSON object of settings; see training/config.py")
    parser.add_argument("--seed", type=int, help="overrides the setting")
    parser.add_argument("--epochs", type=int, help="overrides the setting: the most epochs")
    add_policy(parser)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--force", action="store_true", help="replace OUT, drop an interrupted run")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
