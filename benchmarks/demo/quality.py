"""Shows the quality that training measured on held-out data, against most-popular."""

from pathlib import Path

from rich import box
from rich.table import Table

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError

MEASURES = {"recall_at_20": "recall@20", "ndcg_at_10": "nDCG@10"}


def make_quality_table(metrics_path: Path) -> Table:
    """Tabulates recall@20 and nDCG@10 of the model and of most-popular, on the same users.

    Args:
        metrics_path: metrics.json of a training run.

    Raises:
        BenchmarkInputError: the file is missing or holds no validation.
    """
    metrics = read_json(metrics_path)
    validation = metrics.get("validation")
    if validation is None:
        raise BenchmarkInputError(f"{metrics_path}: expected a validation, found none")
    popularity = validation["popularity"]
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(f"{validation['user_count']:,} users, each one's next products held out")
    for name in (metrics["model"], "most popular", "ratio"):
        table.add_column(name, justify="right")
    for name, label in MEASURES.items():
        ours, theirs = validation[name], popularity[name]
        ratio = f"{ours / theirs:.1f}x" if theirs else "-"
        table.add_row(label, f"{ours:.4f}", f"{theirs:.4f}", ratio)
    return table
