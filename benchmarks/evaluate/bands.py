"""Masks products by risk band, for comparison with published work on FAR-Trans.

This is the evaluator's mask over anybody's scores, and not the gate: bands are 0 to 3; an asset of unknown
band is unsuitable; customers without a band are not filtered. The bands describe the end of the data.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.task import Task

Filter = Literal["none", "two-sided", "one-sided"]
FILTERS: Final[Mapping[str, str]] = {
    "none": "no suitability filter",
    "two-sided": "two-sided filter: customer's and asset's bands differ by at most 1",
    "one-sided": "one-sided filter: asset's band at most the customer's",
}


@dataclass(frozen=True)
class Bands:
    """The known bands of customers and of assets, 0 to 3."""

    customers: Mapping[str, int]
    assets: Mapping[str, int]

    def suits(self, user: str, product: str, kind: Filter) -> bool:
        """Says whether a product is left to a user."""
        mine, its = self.customers.get(user), self.assets.get(product)
        if kind == "none" or mine is None:
            return True
        if its is None:
            return False
        return its <= mine if kind == "one-sided" else abs(its - mine) <= 1


def read_bands(directory: Path) -> Bands:
    """Reads customer_risk_bands.csv and asset_risk_bands.csv.

    Raises:
        BenchmarkInputError: a file is missing, or a band is not 0 to 3.
    """
    return Bands(
        _read(directory / "customer_risk_bands.csv", "customerID"),
        _read(directory / "asset_risk_bands.csv", "ISIN"),
    )


def mask_task(task: Task, bands: Bands, kind: Filter) -> Task:
    """Takes unsuitable products from each user's candidates; what is relevant stays, and may be missed."""
    owned = {
        user: task.owned.get(user, frozenset())
        | {product for product in task.candidates if not bands.suits(user, product, kind)}
        for user in task.relevant
    }
    return replace(task, owned=owned)


def _read(path: Path, key: str) -> dict[str, int]:
    if not path.is_file():
        raise BenchmarkInputError(f"{path.name} is missing in {path.parent}")
    bands = {}
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            text = row["risk_band"] or ""
            if text not in {"", "0", "1", "2", "3"}:
                raise BenchmarkInputError(
                    f"{path.name}: line {number}: risk_band: expected 0 to 3, got {text[:80]!r}"
                )
            if text:
                bands[row[key]] = int(text)
    return bands
