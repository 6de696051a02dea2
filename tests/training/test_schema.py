"""The three input tables: enumerations as on the wire, reading of CSV and Parquet, wrong files."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from training.errors import MissingFileError, SchemaError
from training.schema import INTERACTIONS, PRODUCTS, PROFILES, TABLES
from training.tables import from_columns, read_table

HEADER = "user_id,product_id,event_type,event_time,weight\n"
GOOD = "u1,p1,view,2026-01-02T03:04:05Z,\n"


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_events_are_numbered_as_on_the_wire():
    from prudence.v1 import profile_pb2

    names = [
        name.removeprefix("EVENT_TYPE_").lower() for name in profile_pb2.EventType.DESCRIPTOR.values_by_name
    ]
    learned = list(INTERACTIONS.field("event_type").choices)
    # The wire knows events beyond those that histories hold.
    assert learned == names[1 : 1 + len(learned)]
    assert names[1 + len(learned) :] == ["not_interested", "complaint", "impression"]


def test_families_are_those_of_the_wire():
    from prudence.v1 import recommendation_pb2

    names = [
        n.removeprefix("PRODUCT_FAMILY_") for n in recommendation_pb2.ProductFamily.DESCRIPTOR.values_by_name
    ]
    assert set(PRODUCTS.field("family").choices) == set(names[1:])


def test_csv_and_parquet_of_the_same_rows_read_alike(tmp_path):
    text = (
        "user_id,risk_level,assessed_on,blocked,objectives,held_issuer,profile_as_of\n"
        "u1,3,2026-02-28,false,income|growth,A=5|B=7,2026-03-01T00:00:00+08:00\n"
        "u2,,,,[],[],\n"
    )
    from_csv = read_table(write(tmp_path / "profiles.csv", text), PROFILES)
    pyarrow.parquet.write_table(from_csv.table, tmp_path / "profiles.parquet")
    from_parquet = read_table(tmp_path / "profiles.parquet", PROFILES)
    assert from_csv.table.equals(from_parquet.table)
    first, second = from_csv.table.to_pylist()
    assert (first["risk_level"], first["blocked"], first["objectives"]) == (3, False, ["income", "growth"])
    assert first["held_issuer"] == [("A", 5), ("B", 7)]
    assert first["profile_as_of"].isoformat() == "2026-02-28T16:00:00+00:00"
    assert (second["risk_level"], second["objectives"], second["held_issuer"]) == (None, [], [])


@pytest.mark.parametrize("name", ["none.csv", "none.parquet"])
def test_reading_names_a_missing_file(tmp_path, name):
    with pytest.raises(MissingFileError, match=name):
        read_table(tmp_path / name, INTERACTIONS)


def test_reading_refuses_another_format(tmp_path):
    with pytest.raises(SchemaError, match=r"rows\.txt"):
        read_table(write(tmp_path / "rows.txt", HEADER), INTERACTIONS)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("user_id,product_id,event_type\nu,p,view\n", "event_time"),
        (HEADER.replace("weight", "wieght") + GOOD, "wieght"),
        (HEADER.replace("weight", "user_id") + GOOD, "repeated"),
        ("", r"interactions\.csv"),
    ],
)
def test_reading_csv_names_the_wrong_column(tmp_path, text, named):
    with pytest.raises(SchemaError, match=named):
        read_table(write(tmp_path / "interactions.csv", text), INTERACTIONS)


def test_reading_refuses_a_csv_that_is_not_text(tmp_path):
    path = tmp_path / "interactions.csv"
    path.write_bytes(HEADER.encode() + b"\xff\xfe,p,view,2026-01-02T03:04:05Z,\n")
    with pytest.raises(SchemaError, match=r"interactions\.csv"):
        read_table(path, INTERACTIONS)


def test_reading_refuses_a_parquet_file_that_is_none(tmp_path):
    with pytest.raises(SchemaError, match=r"interactions\.parquet"):
        read_table(write(tmp_path / "interactions.parquet", "PAR1"), INTERACTIONS)


def test_reading_refuses_a_parquet_file_whose_column_name_is_no_text(tmp_path):
    path = tmp_path / "interactions.parquet"
    table = read_table(write(tmp_path / "interactions.csv", HEADER), INTERACTIONS).table
    pyarrow.parquet.write_table(table, path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"product_id", b"\xff\xfeoduct_id"))
    with pytest.raises(SchemaError, match=r"interactions\.parquet: expected column names in UTF-8"):
        read_table(path, INTERACTIONS)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("risk_level", pa.array([3.0])),
        ("profile_as_of", pa.array([0], pa.timestamp("us"))),
        ("blocked", pa.array([1])),
        ("objectives", pa.array(["income"])),
        ("objectives", pa.array([[1]])),
        ("knowledge", pa.array([[("FUND", 1.0)]], pa.map_(pa.string(), pa.float64()))),
    ],
)
def test_reading_parquet_names_a_column_of_the_wrong_type(tmp_path, column, values):
    table = pa.table({"user_id": pa.array(["u1"]), column: values})
    pyarrow.parquet.write_table(table, tmp_path / "profiles.parquet")
    with pytest.raises(SchemaError, match=column):
        read_table(tmp_path / "profiles.parquet", PROFILES)


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("risk_level", "3.5"),
        ("risk_level", "３"),
        ("risk_level", "99999999999999999999"),
        ("assessed_on", "2026-02-30"),
        ("assessed_on", "22.11.2026"),
        ("profile_as_of", "2026-01-01T00:00:00"),
        ("profile_as_of", "2026-13-01T00:00:00Z"),
        ("blocked", "yes"),
        ("held_issuer", "A"),
        ("held_issuer", "A=1.5"),
    ],
)
def test_an_unreadable_cell_is_a_fault_and_missing(tmp_path, field, cell):
    path = write(tmp_path / "profiles.csv", f"user_id,{field}\nu1,\nu2,{cell}\n")
    raw = read_table(path, PROFILES)
    assert [(fault.field, fault.positions.tolist()) for fault in raw.faults] == [(field, [1])]
    assert raw.table.column(field).to_pylist() == [None, None]


def test_row_numbers_count_malformed_lines(tmp_path):
    path = write(tmp_path / "interactions.csv", HEADER + GOOD + "u1,p1\n" + GOOD + "a,b,c,d,e,f\n")
    raw = read_table(path, INTERACTIONS)
    assert raw.row_numbers.tolist() == [1, 3]
    assert raw.malformed == ((2, "u1,p1"), (4, "a,b,c,d,e,f"))


@pytest.mark.parametrize("spec", TABLES.values(), ids=TABLES.keys())
def test_every_column_is_documented(spec):
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {spec.name}\n")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    documented = {name.strip() for cell in first_cells for name in cell.split(",")}
    assert {field.name for field in spec.fields} <= documented


def test_absent_optional_columns_are_missing():
    raw = from_columns(PRODUCTS, {"id": ["p1", "p2"], "level_issuer": [1, None]})
    assert raw.table.schema.equals(PRODUCTS.arrow)
    assert raw.table.column("level_issuer").to_pylist() == [1, None]
    assert raw.table.column("title").null_count == 2
