"""Checks of input tables: what is set aside and why, what is collapsed, what is refused, what is written."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from training import dataset
from training.data_commands import main
from training.dataset import DataSource, read_source, write_dataset
from training.errors import DuplicateIdError, EmptyDataError, OutputError, RowError, SourceError
from training.quality import Reason, check_data, refuse_problems
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.tables import from_columns

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SOURCE = DataSource(name="test", simulated=False, licence="", attribution="", clock=None)


def tables(*, events=None, products=None, profiles=None):
    """Builds three small tables; each argument replaces or adds columns of one of them."""
    event_columns = {
        "user_id": ["u1", "u2", "u3"],
        "product_id": ["p1", "p2", "p1"],
        "event_type": ["view", "purchase", "rating"],
        "event_time": [NOW, NOW, NOW],
    } | (events or {})
    product_columns = {"id": ["p1", "p2"], "family": ["COURSE", "FUND"]} | (products or {})
    profile_columns = {"user_id": ["u1", "u2"]} | (profiles or {})
    return {
        "interactions": from_columns(INTERACTIONS, event_columns),
        "products": from_columns(PRODUCTS, product_columns),
        "profiles": from_columns(PROFILES, profile_columns),
    }


def found(checked):
    return [(p.table, p.row, p.field, p.reason) for p in checked.problems]


def test_clean_data_is_kept_whole():
    checked = check_data(**tables())
    assert found(checked) == []
    assert checked.interactions.quality.rows_kept == 3
    assert checked.users_without_profile == 1
    assert checked.interactions.table.column("weight").to_pylist() == [1.0, 1.0, 1.0]
    assert checked.products.table.column("assumed").to_pylist() == [[], []]


@pytest.mark.parametrize(
    ("column", "bad", "reason"),
    [
        ("event_type", "buy", Reason.UNKNOWN_VALUE),
        ("event_type", None, Reason.MISSING_REQUIRED),
        ("event_time", None, Reason.MISSING_REQUIRED),
        ("user_id", None, Reason.MISSING_REQUIRED),
        ("user_id", "", Reason.OUT_OF_RANGE),
        ("user_id", "x" * 129, Reason.OUT_OF_RANGE),
        ("product_id", "p9", Reason.UNKNOWN_PRODUCT),
        ("weight", float("nan"), Reason.NOT_FINITE),
        ("weight", float("inf"), Reason.NOT_FINITE),
        ("weight", -1.0, Reason.OUT_OF_RANGE),
    ],
)
def test_a_bad_event_is_set_aside_with_its_reason(column, bad, reason):
    values = {
        "event_type": ["view", "purchase", "rating"],
        "event_time": [NOW, NOW, NOW],
        "user_id": ["u1", "u2", "u3"],
        "product_id": ["p1", "p2", "p1"],
        "weight": [1.0, 1.0, 1.0],
    }[column]
    checked = check_data(**tables(events={column: [values[0], bad, values[2]]}))
    problems = [p for p in found(checked) if p[3] is reason]
    assert problems == [("interactions", 2, column, reason)]
    assert checked.interactions.quality.rows_kept == 2
    assert checked.interactions.quality.rows_quarantined == 1


@pytest.mark.parametrize(
    ("table", "column", "bad", "reason"),
    [
        ("products", "family", "CRYPTO", Reason.UNKNOWN_VALUE),
        ("products", "scale", "CN7", Reason.UNKNOWN_VALUE),
        ("products", "level_issuer", 8, Reason.OUT_OF_RANGE),
        ("products", "risk_score", 10_001, Reason.OUT_OF_RANGE),
        ("products", "channels", ["app", ""], Reason.OUT_OF_RANGE),
        ("products", "channels", ["app", " "], Reason.OUT_OF_RANGE),
        ("products", "channels", ["app", None], Reason.OUT_OF_RANGE),
        ("products", "issuer", "\u3000 ", Reason.OUT_OF_RANGE),
        ("products", "min_amount", -1, Reason.OUT_OF_RANGE),
        ("products", "currency", "cny", Reason.UNKNOWN_VALUE),
        ("products", "currency", "CNY\n", Reason.UNKNOWN_VALUE),
        ("products", "jurisdictions", ["CN", "China"], Reason.UNKNOWN_VALUE),
        ("products", "jurisdictions", ["CN", None], Reason.OUT_OF_RANGE),
        ("profiles", "jurisdiction", "ＣＮ", Reason.UNKNOWN_VALUE),
        ("profiles", "currencies", ["CN"], Reason.UNKNOWN_VALUE),
        ("profiles", "risk_level", 6, Reason.OUT_OF_RANGE),
        ("profiles", "capacity", "SOME", Reason.UNKNOWN_VALUE),
        ("profiles", "knowledge", [("FUND", 4)], Reason.OUT_OF_RANGE),
        ("profiles", "held_issuer", [("A", 1), ("A", 2)], Reason.REPEATED_KEY),
        ("profiles", "held_issuer", [("A", None)], Reason.OUT_OF_RANGE),
    ],
)
def test_a_bad_value_sets_the_whole_row_aside(table, column, bad, reason):
    changed = {column: [bad, None]}
    if column == "family":
        changed = {column: [bad, "FUND"]}
    checked = check_data(**tables(**{table: changed}))
    assert (table, 1, column, reason) in found(checked)
    assert getattr(checked, table).quality.rows_kept == 1


@pytest.mark.parametrize("microseconds", [-62_135_596_800_000_001, 253_402_300_800_000_000])
def test_an_instant_that_no_calendar_day_has_is_set_aside_as_text(microseconds):
    ends = pa.array([microseconds, 0], pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    checked = check_data(**tables(products={"sale_end": ends}))
    assert ("products", 1, "sale_end", Reason.OUT_OF_RANGE) in found(checked)
    assert checked.products.quality.rows_kept == 1
    assert "sale_end" in json.loads(checked.products.problems[0].raw)


def test_the_first_and_the_last_day_are_kept():
    born = pa.array([-719_162, 2_932_896], pa.int32()).cast(pa.date32())
    ends = pa.array([-62_135_596_800_000_000, 253_402_300_799_999_999], pa.int64())
    checked = check_data(
        **tables(
            profiles={"birth_date": born}, products={"sale_end": ends.cast(pa.timestamp("us", tz="UTC"))}
        )
    )
    assert found(checked) == []
    beyond = pa.array([-719_163, 2_932_897], pa.int32()).cast(pa.date32())
    with pytest.raises(EmptyDataError, match="out_of_range"):
        check_data(**tables(profiles={"birth_date": beyond}))


def test_an_id_that_is_blank_is_set_aside():
    checked = check_data(**tables(products={"id": ["p1", "  "]}))
    assert ("products", 2, "id", Reason.OUT_OF_RANGE) in found(checked)


def test_an_event_after_the_clock_is_set_aside():
    later = datetime(2026, 11, 23, tzinfo=UTC)
    checked = check_data(**tables(events={"event_time": [NOW, later, NOW]}), clock=NOW)
    assert found(checked) == [("interactions", 2, "event_time", Reason.AFTER_CLOCK)]


def test_equal_events_collapse_to_the_first_and_are_counted():
    same = {"user_id": ["u1", "u2", "u1"], "product_id": ["p1", "p2", "p1"], "event_type": ["view"] * 3}
    checked = check_data(**tables(events=same))
    assert checked.interactions.table.column("user_id").to_pylist() == ["u1", "u2"]
    assert checked.interactions.quality.duplicates_collapsed == 1
    assert found(checked) == []


def test_products_that_share_an_id_and_differ_are_all_set_aside():
    columns = {"id": ["p1", "p2", "p1"], "family": ["COURSE", "FUND", "COURSE"], "title": ["a", "b", "c"]}
    checked = check_data(**tables(products=columns))
    assert [p for p in found(checked) if p[0] == "products"] == [
        ("products", 1, "id", Reason.DUPLICATE_ID),
        ("products", 3, "id", Reason.DUPLICATE_ID),
    ]
    assert checked.interactions.quality.quarantined == {"unknown_product": 2}
    with pytest.raises(DuplicateIdError, match="row 1"):
        refuse_problems(checked)


def test_equal_products_collapse_to_one():
    checked = check_data(
        **tables(products={"id": ["p1", "p2", "p1"], "family": ["COURSE", "FUND", "COURSE"]})
    )
    assert checked.products.table.column("id").to_pylist() == ["p1", "p2"]
    assert checked.products.quality.duplicates_collapsed == 1


def test_profiles_that_share_an_id_and_differ_are_all_set_aside():
    columns = {"user_id": ["u1", "u1", "u2"], "risk_level": [1, 5, 3]}
    checked = check_data(**tables(profiles=columns))
    assert checked.profiles.table.column("user_id").to_pylist() == ["u2"]
    assert checked.profiles.quality.quarantined == {"duplicate_id": 2}


def test_strictness_names_the_first_problem():
    checked = check_data(**tables(events={"event_type": ["view", "buy", "view"]}))
    with pytest.raises(RowError, match="interactions: row 2: event_type: unknown_value"):
        refuse_problems(checked)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"events": {"event_type": ["x", "x", "x"]}}, "interactions"),
        ({"products": {"family": ["x", "x"]}}, "products"),
        ({"profiles": {"capacity": ["x", "x"]}}, "profiles"),
    ],
)
def test_no_valid_row_is_an_error_that_names_the_table(changed, named):
    with pytest.raises(EmptyDataError, match=named):
        check_data(**tables(**changed))


def test_an_empty_table_is_an_error():
    empty = {"user_id": [], "product_id": [], "event_type": [], "event_time": []}
    with pytest.raises(EmptyDataError, match="interactions"):
        check_data(**tables(events=empty))


def test_profiles_may_be_absent():
    checked = check_data(**tables(profiles={"user_id": []}))
    assert checked.profiles.table.num_rows == 0
    assert checked.users_without_profile == 3


def test_one_user_and_one_product_are_enough():
    one = {"user_id": ["u1"], "product_id": ["p1"], "event_type": ["view"], "event_time": [NOW]}
    checked = check_data(**tables(events=one, products={"id": ["p1"], "family": ["COURSE"]}))
    assert checked.interactions.quality.rows_kept == 1


def test_writing_gives_every_file_and_reads_back(tmp_path):
    checked = check_data(**tables(events={"event_type": ["view", "buy", "view"]}))
    write_dataset(checked, SOURCE, tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "interactions.parquet",
        "products.parquet",
        "profiles.parquet",
        "quality.json",
        "quarantine.parquet",
        "source.json",
    ]
    row = pyarrow.parquet.read_table(tmp_path / "data" / "quarantine.parquet").to_pylist()[0]
    assert (row["table"], row["row"], row["field"], row["reason"]) == (
        "interactions",
        2,
        "event_type",
        "unknown_value",
    )
    assert json.loads(row["raw"])["event_type"] == "buy"
    quality = json.loads((tmp_path / "data" / "quality.json").read_text())
    assert quality["tables"]["interactions"]["quarantined"] == {"unknown_value": 1}
    assert quality["tables"]["products"]["missing"]["title"] == 2
    assert read_source(tmp_path / "data") == SOURCE


def test_writing_refuses_a_target_that_exists_unless_forced(tmp_path):
    checked = check_data(**tables())
    write_dataset(checked, SOURCE, tmp_path / "data")
    with pytest.raises(OutputError, match="exists"):
        write_dataset(checked, SOURCE, tmp_path / "data")
    write_dataset(checked, SOURCE, tmp_path / "data", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_force_never_removes_what_is_no_data_set(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"home holds no source\.json"):
        write_dataset(check_data(**tables()), SOURCE, tmp_path / "home", force=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


def test_writing_leaves_nothing_when_the_disk_refuses(tmp_path, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(dataset.pyarrow.parquet, "write_table", refuse)
    with pytest.raises(OutputError, match="Read-only"):
        write_dataset(check_data(**tables()), SOURCE, tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_writing_under_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_dataset(check_data(**tables()), SOURCE, tmp_path / "file" / "data")


@pytest.mark.parametrize("text", ["[]", "{", '{"name": "x"}', '{"notes": [], "nme": 1}'])
def test_a_malformed_description_is_refused(tmp_path, text):
    (tmp_path / "source.json").write_text(text)
    with pytest.raises(SourceError, match=r"source\.json"):
        read_source(tmp_path)


def write_own_data(folder, *, event="view"):
    (folder / "events.csv").write_text(
        "user_id,product_id,event_type,event_time\n"
        f"u1,p1,{event},2026-01-01T00:00:00Z\nu1,p1,click,2026-01-01T00:00:01Z\nu1,p1\n"
    )
    (folder / "products.csv").write_text("id,family\np1,COURSE\n")
    (folder / "profiles.csv").write_text("user_id,risk_level\nu1,3\n")
    return [str(folder / f"{name}.csv") for name in ("events", "products", "profiles")]


def test_check_writes_own_data_and_says_what_was_set_aside(tmp_path, capsys):
    files = write_own_data(tmp_path, event="buy")
    assert main(["check", *files, str(tmp_path / "data"), "--clock", "2026-11-22T00:00:00Z"]) == 0
    said = capsys.readouterr().out
    assert "unknown_value 1" in said
    assert "set aside: interactions row 1: event_type: unknown_value" in said
    assert "all 2 problems" in said
    assert read_source(tmp_path / "data").clock == "2026-11-22T00:00:00Z"
    table = pyarrow.parquet.read_table(tmp_path / "data" / "quarantine.parquet")
    assert table.column("reason").to_pylist() == ["unknown_value", "malformed_row"]


def test_check_names_the_column_that_a_misspelt_one_may_be(tmp_path, capsys):
    files = write_own_data(tmp_path, event="view")
    (tmp_path / "profiles.csv").write_text("user_id,risk_levl\nu1,3\n")
    assert main(["check", *files, str(tmp_path / "data")]) == 1
    said = capsys.readouterr().err
    assert "profiles.csv: column 'risk_levl' is unknown; did you mean 'risk_level'?" in said


def test_strict_check_refuses_and_writes_nothing(tmp_path, capsys):
    files = write_own_data(tmp_path, event="buy")
    assert main(["check", *files, str(tmp_path / "data"), "--strict"]) == 1
    assert "RowError: interactions: row 1: event_type" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("option", "named"), [("yesterday", "clock"), ("2026-11-22T00:00:00", "zone")])
def test_check_refuses_a_wrong_clock(tmp_path, capsys, option, named):
    files = write_own_data(tmp_path)
    assert main(["check", *files, str(tmp_path / "data"), "--clock", option]) == 1
    assert named in capsys.readouterr().err


def test_a_large_table_is_checked_column_by_column():
    count = 20_011
    events = {
        "user_id": [f"u{row % 997}" for row in range(count)],
        "product_id": ["p1" if row % 2 else "p2" for row in range(count)],
        "event_type": ["view"] * count,
        "event_time": pa.array(range(count), pa.timestamp("us", tz="UTC")),
        "weight": [float("nan") if row % 1000 == 0 else 1.0 for row in range(count)],
    }
    checked = check_data(**tables(events=events))
    assert checked.interactions.quality.quarantined == {"not_finite": 21}
    assert checked.interactions.quality.rows_kept == count - 21


def test_check_names_a_file_that_cannot_be_read(tmp_path, capsys, monkeypatch):
    files = write_own_data(tmp_path)

    def refuse(path, *_arguments, **_options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert main(["check", *files, str(tmp_path / "data")]) == 1
    assert "events.csv" in capsys.readouterr().err
