"""Command line of export: `python -m export RUN DATA OUT`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from export.errors import ExportError
from export.write import export_run
from training.errors import TrainingError


def main(argv: Sequence[str]) -> int:
    """Exports a run and prints what was measured.

    Returns: the exit code; 0 when the export was written, 1 with a message on stderr otherwise.
    """
    arguments = _parser().parse_args(argv)
    console = Console()
    try:
        with console.status("exporting: graphs, parity, quantisation"):
            description = export_run(arguments.run, arguments.data, arguments.out, force=arguments.force)
    except (ExportError, TrainingError) as problem:
        text = f"{type(problem).__name__}: {problem}"
        Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)
        return 1
    for name, parity in description["parity"].items():
        error = parity["relative_error_max"]
        console.print(
            f"{name}: {parity['request_count']:,} requests, torch = ONNX Runtime within {error:.1e}"
        )
    for name, loss in description["quantisation"].items():
        console.print(
            f"{name}: recall@20 {loss['recall_at_20']:.4f} of float, "
            f"{loss['recall_at_20_of_100']:.4f} among 100 candidates"
        )
    console.print(f"wrote {arguments.out}", highlight=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="what `python -m training --model` wrote")
    parser.add_argument("data", type=Path, metavar="DATA", help="the data directory")
    parser.add_argument("out", type=Path, metavar="OUT", help="the export directory to write")
    parser.add_argument("--force", action="store_true", help="replace OUT")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
