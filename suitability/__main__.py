"""Command line of the rules: lint, explain and simulate a policy, sign it, verify who signed."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from suitability.errors import SuitabilityError
from suitability.tools import explain, keygen, lint, sign, simulate, verify


def main(argv: Sequence[str]) -> int:
    """Runs a command.

    Returns: the exit code; 0 when all is well, 1 for findings, a denial or signatures that do not hold, 2
        with one line on stderr for bad input.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except SuitabilityError as error:
        Console(stderr=True, soft_wrap=True).print(
            f"error: {error}", style="bold red", highlight=False, markup=False
        )
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m suitability",
        description=__doc__,
        epilog="Exit status: 0 all is well; 1 findings, a denial or signatures that do not hold; 2 bad "
        "input. COMMAND --help says more.",
    )
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (lint, explain, simulate, keygen, sign, verify):
        command.add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
