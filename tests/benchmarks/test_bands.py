"""The mask by risk bands."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.bands import Bands, mask_task, read_bands
from benchmarks.evaluate.task import Task

BANDS = Bands({"careful": 1, "bold": 3}, {"a0": 0, "a1": 1, "a2": 2, "a3": 3})
PRODUCTS = ("a0", "a1", "a2", "a3", "unknown")


def left(user: str, kind: str) -> list[str]:
    return [product for product in PRODUCTS if BANDS.suits(user, product, kind)]  # type: ignore[arg-type]


def test_two_sided_leaves_what_is_one_band_away() -> None:
    assert left("careful", "two-sided") == ["a0", "a1", "a2"]
    assert left("bold", "two-sided") == ["a2", "a3"]


def test_one_sided_leaves_everything_below() -> None:
    assert left("careful", "one-sided") == ["a0", "a1"]
    assert left("bold", "one-sided") == ["a0", "a1", "a2", "a3"]


@pytest.mark.parametrize("kind", ["two-sided", "one-sided"])
def test_a_customer_without_a_band_is_not_filtered(kind: str) -> None:
    assert left("nobody", kind) == list(PRODUCTS)


def test_a_masked_task_keeps_what_was_owned_and_what_is_relevant() -> None:
    relevant = {"bold": frozenset({"a0"})}
    task = Task(
        "t", "t", Path(), datetime(2020, 1, 1, tzinfo=UTC), relevant, {"bold": frozenset({"a3"})}, PRODUCTS
    )
    masked = mask_task(task, BANDS, "two-sided")
    assert masked.owned == {"bold": frozenset({"a0", "a1", "a3", "unknown"})}
    assert masked.relevant == relevant


def test_a_band_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "customer_risk_bands.csv").write_text("customerID,risk_band,predicted\nx,1,0\ny,,0\nz,7,0\n")
    with pytest.raises(BenchmarkInputError, match=r"customer_risk_bands\.csv: line 4: risk_band"):
        read_bands(tmp_path)
