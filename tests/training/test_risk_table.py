"""The table of borrowers on disk, and who is held out."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.risk_cases import make_table
from training.errors import EmptyDataError, MissingFileError, OutputError, SchemaError
from training.risk.table import BORROWERS, FIELDS, BorrowerTable, TableQuality, read_borrowers, write_table

TABLE = make_table(40)


def write(out: Path, table: BorrowerTable = TABLE, *, force: bool = False) -> Path:
    write_table(table, TableQuality(40, 40, {}), out, force=force)
    return out


def test_a_table_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    table = read_borrowers(write(tmp_path / "data"))
    assert (table.ids, table.fields, table.split, table.source) == (
        TABLE.ids,
        TABLE.fields,
        TABLE.split,
        TABLE.source,
    )
    assert table.columns == TABLE.columns
    assert table.defaulted.tolist() == TABLE.defaulted.tolist()


def test_a_table_is_not_replaced_unless_asked(tmp_path: Path) -> None:
    write(tmp_path / "data")
    with pytest.raises(OutputError, match="exists"):
        write(tmp_path / "data")
    write(tmp_path / "data", force=True)


def test_every_fifth_is_held_out_by_the_hash_of_its_id() -> None:
    expected = [
        int(hashlib.sha256(f"test:{borrower}".encode()).hexdigest(), 16) % 5 == 0 for borrower in TABLE.ids
    ]
    assert TABLE.find_held_out().tolist() == expected
    assert 0 < sum(expected) < len(expected)


def _change_column(name: str, values: object) -> object:
    def change(data: Path) -> None:
        table = pq.read_table(data / BORROWERS)
        columns = {one: table.column(one) for one in table.column_names if one != name}
        if values is not None:
            columns[name] = values
        pq.write_table(pa.table(columns), data / BORROWERS)

    return change


def _change_field(key: str, value: object) -> object:
    def change(data: Path) -> None:
        body = json.loads((data / FIELDS).read_text())
        body["fields"][0][key] = value
        (data / FIELDS).write_text(json.dumps(body))

    return change


FAULTS = {
    "'limit'": _change_column("limit", None),
    "'extra'": _change_column("extra", pa.array([1] * 40)),
    "'school'": _change_column("school", pa.array([1] * 40)),
    "'balance': expected finite": _change_column("balance", pa.array([np.inf] * 40)),
    "column 'id': expected distinct": _change_column("id", pa.array(["1"] * 40)),
    "expected a value in every row": _change_column("defaulted", pa.array([None, True] * 20)),
    "a field's name is repeated": _change_field("name", "limit"),
    "or is id or defaulted": _change_field("name", "id"),
    "fields.0.direction": _change_field("direction", 2),
    "fields.0.colour": _change_field("colour", 2),
    "fields.0.reason": _change_field("reason", "late"),
}


@pytest.mark.parametrize("named", sorted(FAULTS))
def test_a_faulty_table_is_refused_by_name(tmp_path: Path, named: str) -> None:
    data = write(tmp_path / "data")
    FAULTS[named](data)  # type: ignore[operator]
    with pytest.raises(SchemaError) as caught:
        read_borrowers(data)
    assert named in str(caught.value)


@pytest.mark.parametrize("name", [BORROWERS, FIELDS, "source.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    data = write(tmp_path / "data")
    (data / name).unlink()
    with pytest.raises(MissingFileError, match=name):
        read_borrowers(data)


def test_borrowers_who_all_ended_alike_are_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "data")
    _change_column("defaulted", pa.array([False] * 40))(data)  # type: ignore[operator]
    with pytest.raises(EmptyDataError, match="who defaulted and borrowers who did not"):
        read_borrowers(data)
