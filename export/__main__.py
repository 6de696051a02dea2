"""Exports a trained run as ONNX towers and item vectors: `python -m export RUN DATA OUT`.

Every graph is compared with the trained tower, and what is stored in fewer bits is compared with float32
search. OUT is written whole or, when a check fails, not at all. `python -m export risk` exports risk models.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from export import risk
from export.errors import ExportError
from export.precision import PRECISIONS
from export.quality_gate import QualityLimits
from export.segments import AUTO, DBSCAN, DEFAULT
from export.write import export_run
from index.segments import SEGMENT_COUNT_MAX
from training.errors import TrainingError

_DEFAULTS = QualityLimits()
_FORMS = {
    "user_tower": "user tower",
    "int32": "int32 scores",
    "int8": "int8 scan, then int32 scores",
}


def main(argv: Sequence[str]) -> int:
    """Exports a run and prints what was measured.

    Returns: the exit code; 0 when the export was written, 1 with a message on stderr otherwise.
    """
    if argv and argv[0] == "risk":
        return _export_risk(argv[1:])
    arguments = _parser().parse_args(argv)
    console = Console(highlight=False)
    limits = QualityLimits(arguments.recall_min, arguments.ndcg_loss_max, arguments.score_error_max)
    try:
        with console.status("exporting: graphs, parity, quantisation"):
            description = export_run(
                arguments.run,
                arguments.data,
                arguments.out,
                force=arguments.force,
                tower=arguments.tower,
                limits=limits,
                segments=arguments.segments,
                associations=arguments.associations,
            )
    except (ExportError, TrainingError) as problem:
        _tell(problem)
        return 1
    _show(description, arguments.out, console)
    return 0


def _export_risk(argv: Sequence[str]) -> int:
    try:
        risk.main(argv)
    except (ExportError, TrainingError) as problem:
        _tell(problem)
        return 1
    return 0


def _tell(problem: Exception) -> None:
    text = f"{type(problem).__name__}: {problem}"
    Console(stderr=True).print(text, markup=False, highlight=False, soft_wrap=True)


def _show(description: Mapping[str, Any], out: Path, console: Console) -> None:
    for name, parity in description["parity"].items():
        size = (out / f"{name}.onnx").stat().st_size
        console.print(
            f"{name}.onnx: {parity['precision']}, {size:,} bytes, differs from torch by at most "
            f"{parity['relative_error_max']:.1e} over {parity['request_count']:,} requests",
            soft_wrap=True,
        )
    for name, label in _FORMS.items():
        cost = description["quantisation"].get(name)
        if cost is not None:
            loss = cost["ndcg_loss"]
            ndcg = "ndcg@10 not measured" if loss is None else f"ndcg@10 changed by {-loss:+.2%}"
            console.print(
                f"{label}: recall@20 {cost['recall_at_20']:.4f} of float32, {ndcg}, "
                f"score error {cost['score_error_max']:.1e}, {cost['user_count']:,} users",
                soft_wrap=True,
            )
    console.print(_describe_segments(description["segments"]), soft_wrap=True)
    rules = description["associations"]
    if rules is not None:
        console.print(f"associations.parquet: {rules['rule_count']:,} rules", soft_wrap=True)
    console.print(f"wrote {out}", soft_wrap=True)


def _describe_segments(segments: Mapping[str, Any]) -> str:
    counts = segments["user_counts"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    silhouette = segments["silhouettes"].get(str(len(counts)))
    judged = "silhouette not measured" if silhouette is None else f"silhouette {silhouette:.3f}"
    noise = f", {segments['noise_share']:.1%} noise" if segments["method"] == "dbscan" else ""
    return f"segments.json: {segments['method']}, users {sizes}; {judged}{noise}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="what `python -m training --model` wrote")
    parser.add_argument("data", type=Path, metavar="DATA", help="the data directory that RUN was trained on")
    parser.add_argument("out", type=Path, metavar="OUT", help="the export directory to write")
    parser.add_argument("--force", action="store_true", help="replace OUT")
    parser.add_argument(
        "--tower",
        choices=PRECISIONS,
        default="float32",
        help="how the user tower stores its embeddings; its arithmetic stays float32 (default: %(default)s)",
    )
    parser.add_argument(
        "--segments",
        type=_segments,
        default=DEFAULT,
        metavar=f"N|{AUTO}|{DBSCAN}",
        help="how users are grouped: k-means with N segments, with as many as have the highest silhouette, "
        "or DBSCAN (default: %(default)s)",
    )
    parser.add_argument(
        "--no-associations",
        dest="associations",
        action="store_false",
        help="mine no association rules: lists are the model's own",
    )
    limits = parser.add_argument_group("limits", "shares from 0 to 1; beyond one of them nothing is written")
    for name, default, text in (
        ("--recall-min", _DEFAULTS.recall_min, "least share of float32's best 20 products that is found"),
        ("--ndcg-loss-max", _DEFAULTS.ndcg_loss_max, "largest relative loss of ndcg@10 on validation users"),
        ("--score-error-max", _DEFAULTS.score_error_max, "largest score error, of the largest score"),
    ):
        limits.add_argument(
            name, type=_share, default=default, metavar="X", help=f"{text} (default: %(default)s)"
        )
    return parser


def _segments(text: str) -> str:
    if text in {AUTO, DBSCAN} or (text.isdecimal() and 1 <= int(text) <= SEGMENT_COUNT_MAX):
        return text
    raise argparse.ArgumentTypeError(f"expected 1 to {SEGMENT_COUNT_MAX}, {AUTO} or {DBSCAN}, got {text!r}")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
