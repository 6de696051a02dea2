"""The importers of the UCI sets of borrowers, on a few rows in every layout that is published."""

from pathlib import Path

import pytest

from training.__main__ import main
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.uci_credit import (
    CREDIT_DEFAULT_FIELDS,
    GERMAN_FIELDS,
    import_credit_default,
    import_german_credit,
)
from training.risk.table import read_borrowers

NAMES = [field.name for field in CREDIT_DEFAULT_FIELDS]
GOOD = "20000.0,2,2,1,24,2,2,-1,-1,-2,-2,3913.0,3102.0,689.0,0.0,0.0,0.0,0.0,689.0,0.0,0.0,0.0,0.0"
HEADERS = {
    "names": ",".join(["ID", *NAMES, "default payment next month"]),
    "codes": ",".join(["ID", *(f"X{number}" for number in range(1, 24)), "Y"]),
    "both": ",".join(["", *(f"X{number}" for number in range(1, 24)), "Y"])
    + "\n"
    + ",".join(["ID", *NAMES, "default payment next month"]),
}
GERMAN = "A11 6 A34 A43 1169 A65 A75 4 A93 A101 4 A121 67 A143 A152 2 A173 1 A192 A201 1"


def write_csv(directory: Path, header: str, *rows: str) -> Path:
    (directory / "credit.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return directory


@pytest.mark.parametrize("layout", sorted(HEADERS))
def test_every_published_layout_gives_the_same_borrowers(tmp_path: Path, layout: str) -> None:
    imported = import_credit_default(write_csv(tmp_path, HEADERS[layout], f"1,{GOOD},1", f"2,{GOOD},0"))
    assert (imported.quality.rows_read, imported.quality.set_aside) == (2, {})
    table = imported.table
    assert table.ids == ("1", "2")
    assert table.defaulted.tolist() == [True, False]
    assert (table.columns["LIMIT_BAL"][0], table.columns["SEX"][0]) == (20_000.0, "2")
    assert (table.columns["PAY_0"][1], table.columns["BILL_AMT1"][1]) == (2.0, 3913.0)


def test_rows_that_cannot_be_read_are_set_aside_by_reason(tmp_path: Path) -> None:
    broken = GOOD.replace("3913.0", "many")
    infinite = GOOD.replace("3913.0", "inf")
    rows = (
        f"1,{GOOD},0",
        f"1,{GOOD},0",
        f"2,{GOOD},2",
        f"3,{broken},0",
        f"4,{infinite},0",
        "5,1",
        f",{GOOD},0",
    )
    imported = import_credit_default(write_csv(tmp_path, HEADERS["names"], *rows))
    assert imported.table.ids == ("1",)
    assert imported.quality.rows_read == 7
    assert imported.quality.set_aside == {
        "duplicate_id": [2],
        "unknown_outcome": [3],
        "malformed_row": [4, 5, 6, 7],
    }


def test_an_empty_cell_is_missing(tmp_path: Path) -> None:
    table = import_credit_default(write_csv(tmp_path, HEADERS["names"], f"1,{GOOD[7:]},0")).table
    assert table.columns["LIMIT_BAL"] == [None]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="'PAY_6' is missing"):
        import_credit_default(write_csv(tmp_path, HEADERS["names"].replace("PAY_6", "PAY_7")))


def test_a_directory_without_the_file_or_without_rows_is_refused(tmp_path: Path) -> None:
    for read in (import_credit_default, import_german_credit):
        with pytest.raises(MissingFileError, match="expected one"):
            read(tmp_path)
    with pytest.raises(EmptyDataError, match="no row that can be read"):
        import_credit_default(write_csv(tmp_path, HEADERS["names"]))


def test_german_credit_is_read_by_place(tmp_path: Path) -> None:
    (tmp_path / "german.data").write_text(f"{GERMAN}\n{GERMAN[:-1]}2\nA11 6\n", encoding="utf-8")
    imported = import_german_credit(tmp_path)
    table = imported.table
    assert table.ids == ("1", "2")
    assert table.defaulted.tolist() == [False, True]
    assert (table.columns["duration_months"][0], table.columns["foreign_worker"][0]) == (6.0, "A201")
    assert imported.quality.set_aside == {"malformed_row": [3]}


def test_what_the_law_protects_is_marked() -> None:
    marked = [field.name for field in (*CREDIT_DEFAULT_FIELDS, *GERMAN_FIELDS) if field.protected]
    assert marked == ["SEX", "MARRIAGE", "AGE", "personal_status", "age", "job", "foreign_worker"]


def test_the_command_writes_a_table_that_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(tmp_path, HEADERS["names"], f"1,{GOOD},1", f"2,{GOOD},0", "3,1")
    out = tmp_path / "out"
    assert main(["import", "uci-credit-default", str(tmp_path), str(out)]) == 0
    assert "3 rows read, 2 kept, set aside: malformed_row 1; 1 defaulted" in capsys.readouterr().out
    assert read_borrowers(out).columns == import_credit_default(tmp_path).table.columns
