"""Exports risk models: `python -m export risk RUN OUT`.

For each model of the run, its JSON (bins, calibration, bands, and points where it is a sum of these) and the
ONNX graph from bins to the score. OUT is written whole or, when a check fails, not at all.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from export.errors import ExportInputError
from export.risk_graph import write_points_graph, write_trees_graph
from export.risk_parity import RiskParity, check_risk_parity
from index.errors import BundleFormatError
from index.risk_json import read_risk_model
from index.risk_model import RiskModel, Scorecard
from training.config import read_settings
from training.dataset import read_source, source_to_json
from training.risk.directory import write_directory
from training.risk.trees import Trees, read_trees

FORMAT_VERSION: Final = 1
DESCRIPTION: Final = "risk.json"


def main(argv: Sequence[str]) -> None:
    """Exports the risk models of a run and prints what was proven.

    Raises:
        ExportError: a model cannot be written, or its graph scores otherwise.
        TrainingError: the run cannot be read.
    """
    arguments = _parser().parse_args(argv)
    console = Console(highlight=False)
    parities = export_risk(arguments.run, arguments.out, force=arguments.force)
    for name, parity in parities.items():
        size = (arguments.out / f"{name}.onnx").stat().st_size
        console.print(
            f"{name}.onnx: {size:,} bytes, equal scores for {parity.record_count:,} records on and beside "
            f"{parity.threshold_count:,} thresholds",
            soft_wrap=True,
        )
    console.print(f"wrote {arguments.out}", soft_wrap=True)


def export_risk(run: Path, out: Path, *, force: bool) -> Mapping[str, RiskParity]:
    """Exports the risk models of a run; returns what was proven of each.

    Raises:
        ExportInputError: a file of the run is no risk model.
        ExportParityError: a graph scores otherwise than its definition.
        TrainingError: the run lacks a file, or `out` cannot be written.
    """
    metrics = read_settings(run / "metrics.json")
    source = read_source(run)
    files: dict[str, bytes] = {"source.json": source_to_json(source).encode()}
    parities = {}
    digests: dict[str, str] = {}
    for name in metrics.get("models", {}):
        model, trees = read_run_model(run, name)
        graph = make_graph(model, trees)
        parities[name] = check_risk_parity(model, trees, graph)
        written = {f"{name}.json": (run / f"{name}.json").read_bytes(), f"{name}.onnx": graph}
        digests |= {file: hashlib.sha256(content).hexdigest() for file, content in written.items()}
        files |= written
    if not parities:
        raise ExportInputError(f"{run}/metrics.json: models: expected risk models, found none")
    description: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "metrics": metrics,
        "parity": {name: asdict(parity) for name, parity in parities.items()},
        # Of what was proven: `index build --risk-model` takes no other bytes.
        "sha256": digests,
    }
    files[DESCRIPTION] = (json.dumps(description, indent=1) + "\n").encode()

    def write_files(directory: Path) -> None:
        for name, content in files.items():
            (directory / name).write_bytes(content)

    write_directory(out, write_files, force=force)
    return parities


def read_run_model(run: Path, name: str) -> tuple[RiskModel, Trees | None]:
    """Reads a model of a run, with its trees where it is no sum of points.

    Raises:
        ExportInputError: its file is missing or no risk model.
        TrainingError: its trees cannot be read.
    """
    path = run / f"{name}.json"
    try:
        model = read_risk_model(path.read_bytes(), str(path))
    except (OSError, BundleFormatError) as error:
        raise ExportInputError(f"{path}: expected a risk model: {error}") from error
    if isinstance(model, Scorecard):
        return model, None
    return model, read_trees(run / f"{name}.npz", feature_count=len(model.features))


def make_graph(model: RiskModel, trees: Trees | None) -> bytes:
    """Writes the graph of a model that `read_run_model` returned."""
    if isinstance(model, Scorecard):
        return write_points_graph(model)
    assert trees is not None, "a model is a sum of points or of trees"
    return write_trees_graph(trees, feature_count=len(model.features))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export risk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="what `python -m training risk` wrote")
    parser.add_argument("out", type=Path, metavar="OUT", help="the export directory to write")
    parser.add_argument("--force", action="store_true", help="replace OUT")
    return parser
