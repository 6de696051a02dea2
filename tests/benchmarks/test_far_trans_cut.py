"""The cut of FAR-Trans holds the past and nothing else."""

import csv
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.__main__ import read_numbers
from benchmarks.evaluate.far_trans import cut_far_trans

FILES = {
    "transactions.csv": "customerID,ISIN,timestamp\nu,a,2020-01-01\nu,b,2020-01-02\n",
    "customer_information.csv": (
        "customerID,riskLevel,timestamp\nu,Income,2019-05-05\nu,Balanced,2021-05-05\nv,Income,2021-01-01\n"
    ),
    "asset_information.csv": (
        "ISIN,assetName,timestamp\na,First,2018-01-01\na,Later,2021-01-01\nb,New,2021-01-01\n"
    ),
    "customer_risk_bands.csv": "customerID,risk_band\nu,3\n",
}


@pytest.fixture
def cut(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    source.mkdir()
    for name, text in FILES.items():
        (source / name).write_text(text)
    cut_far_trans(source, tmp_path / "cut", "2020-01-02")
    return tmp_path / "cut"


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_purchases_on_the_day_itself_are_the_future(cut: Path) -> None:
    assert read(cut / "transactions.csv") == [["u", "a", "2020-01-01"]]


def test_customers_are_known_as_they_were_then(cut: Path) -> None:
    assert read(cut / "customer_information.csv") == [["u", "Income", "2019-05-05"]]


def test_an_asset_described_later_keeps_its_first_description(cut: Path) -> None:
    assert read(cut / "asset_information.csv") == [["a", "First", "2018-01-01"], ["b", "New", "2020-01-02"]]


def test_risk_bands_of_the_end_of_the_data_are_left_out(cut: Path) -> None:
    assert sorted(path.name for path in cut.iterdir()) == sorted(set(FILES) - {"customer_risk_bands.csv"})


def test_what_happens_after_the_cut_changes_nothing_before_it(cut: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    later = "v,b,2020-01-02\nu,z,2022-09-09\nw,a,2020-03-03\n"
    (source / "transactions.csv").write_text(f"{FILES['transactions.csv']}{later}")
    customers = FILES["customer_information.csv"].replace("Balanced,2021-05-05", "Aggressive,2020-02-02")
    (source / "customer_information.csv").write_text(customers)
    cut_far_trans(source, tmp_path / "again", "2020-01-02")
    for path in cut.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match=r"transactions\.csv"):
        cut_far_trans(tmp_path, tmp_path / "cut", "2020-01-02")


def test_split_numbers_are_ranges_and_lists() -> None:
    assert read_numbers("0-3,9") == [0, 1, 2, 3, 9]
    with pytest.raises(BenchmarkInputError, match="a-3"):
        read_numbers("a-3")
