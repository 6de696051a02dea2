"""Command line of the risk models: `python -m training risk DATA --out RUN`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from training.config import read_settings
from training.risk.run import train_risk
from training.risk.settings import make_settings


def main(argv: Sequence[str]) -> None:
    """Trains risk models.

    Raises:
        TrainingError: see its tree.
    """
    arguments = _parser().parse_args(argv)
    values = read_settings(arguments.config) if arguments.config else {}
    if arguments.seed is not None:
        values["seed"] = arguments.seed
    if arguments.use_protected:
        values["use_protected"] = True
    train_risk(arguments.data, arguments.out, make_settings(values), force=arguments.force, console=Console())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training risk",
        description="Trains models of the probability that a payment is missed; see docs/risk.md.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="a table of borrowers")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="the run directory to write")
    parser.add_argument(
        "--config", type=Path, help="a JSON object of settings; see training/risk/settings.py"
    )
    parser.add_argument("--seed", type=int, help="overrides the setting")
    parser.add_argument("--use-protected", action="store_true", help="let models read protected fields")
    parser.add_argument("--force", action="store_true", help="replace RUN")
    return parser
