"""Cuts FAR-Trans at a point in time, in the publisher's layout, so that the importer sees only the past.

Kept: transactions dated before the time point; of each customer and each asset the rows dated on or before
it. An asset without such a row keeps its first one, since it was listed although described later; a customer
without one is unknown. The risk bands are left out: they describe the end of the data.
"""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.errors import BenchmarkInputError

Row = Mapping[str, str]


def cut_far_trans(source: Path, target: Path, time_point: str) -> None:
    """Writes the part of FAR-Trans that is known at a time point.

    Args:
        source: directory in the publisher's layout.
        target: directory to write, in the same layout; made if absent.
        time_point: ISO date.

    Raises:
        BenchmarkInputError: a file is missing.
    """
    target.mkdir(parents=True, exist_ok=True)
    keepers: Mapping[str, Callable[[list[Row]], list[Row]]] = {
        "transactions.csv": lambda rows: [row for row in rows if row["timestamp"] < time_point],
        "customer_information.csv": lambda rows: [row for row in rows if row["timestamp"] <= time_point],
        "asset_information.csv": lambda rows: _keep_assets(rows, time_point),
    }
    for name, keep in keepers.items():
        _cut(source / name, target / name, keep)
    markets = source / "markets.csv"
    if markets.is_file():
        (target / "markets.csv").write_bytes(markets.read_bytes())


def _keep_assets(rows: list[Row], time_point: str) -> list[Row]:
    described = {row["ISIN"] for row in rows if row["timestamp"] <= time_point}
    kept = [row for row in rows if row["timestamp"] <= time_point]
    for row in sorted(rows, key=lambda row: row["timestamp"]):
        if row["ISIN"] not in described:
            described.add(row["ISIN"])
            kept.append({**row, "timestamp": time_point})
    return kept


def _cut(source: Path, target: Path, keep: Callable[[list[Row]], list[Row]]) -> None:
    if not source.is_file():
        raise BenchmarkInputError(f"{source.name} is missing in {source.parent}")
    with source.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows: list[Row] = list(reader)
        names = list(reader.fieldnames or ())
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(keep(rows))
