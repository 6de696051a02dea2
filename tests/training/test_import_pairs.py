"""The pairs importer: LightGCN lists, NCF ratings, one domain or two over shared users."""

from datetime import UTC, datetime

import pytest

from training.data_commands import main
from training.dataset import read_source
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.pairs import import_pairs


def write_lists(folder, text="0 5 3 5\n1 3\n2\n\n"):
    folder.mkdir()
    (folder / "train.txt").write_text(text)
    (folder / "test.txt").write_text("0 9\n")
    return folder


def write_ratings(folder, text="0\t7\t4\t1000000000\n1\t8\t2\t1000000060\n"):
    folder.mkdir()
    (folder / "own.train.rating").write_text(text)
    return folder


def events(imported):
    names = ("user_id", "product_id", "event_type", "weight")
    return [tuple(row[name] for name in names) for row in imported.interactions.table.to_pylist()]


def test_lists_keep_the_order_of_their_line(tmp_path):
    imported = import_pairs(write_lists(tmp_path / "a"))
    assert events(imported) == [
        ("0", "C5", "enrol", 1.0),
        ("0", "C3", "enrol", 1.0),
        ("0", "C5", "enrol", 1.0),
        ("1", "C3", "enrol", 1.0),
    ]
    times = imported.interactions.table.column("event_time").to_pylist()
    assert times[0] == datetime(2000, 1, 1, tzinfo=UTC)
    assert (times[1] - times[0]).total_seconds() == 1.0
    assert imported.source.clock == "2000-01-02T00:00:00Z"


def test_held_out_items_are_not_read(tmp_path):
    products = import_pairs(write_lists(tmp_path / "a")).products.table
    assert products.column("id").to_pylist() == ["C3", "C5"]
    assert products.column("family").to_pylist() == ["COURSE", "COURSE"]
    assert products.column("level_issuer").null_count == 2


def test_ratings_keep_time_and_value(tmp_path):
    imported = import_pairs(write_ratings(tmp_path / "a"))
    assert events(imported) == [("0", "C7", "rating", 4.0), ("1", "C8", "rating", 2.0)]
    times = imported.interactions.table.column("event_time").to_pylist()
    assert times[0] == datetime.fromtimestamp(1_000_000_000, UTC)


def test_two_directories_are_two_domains_over_shared_users(tmp_path):
    imported = import_pairs(write_lists(tmp_path / "a"), write_ratings(tmp_path / "b"))
    assert imported.products.table.column("id").to_pylist() == ["C3", "C5", "F7", "F8"]
    assert imported.products.table.column("family").to_pylist() == ["COURSE", "COURSE", "FUND", "FUND"]
    assert {user for user, *_ in events(imported)} == {"0", "1"}


def test_the_command_writes_a_data_set(tmp_path):
    folders = [str(write_lists(tmp_path / "a")), str(tmp_path / "data"), str(write_ratings(tmp_path / "b"))]
    assert main(["import", "pairs", *folders]) == 0
    assert read_source(tmp_path / "data").counts == {"interactions": 6, "products": 4}


@pytest.mark.parametrize("text", ["0 a\n", "0 -1\n", "x 1\n", "0 ３\n"])
def test_a_line_that_is_no_list_is_named(tmp_path, text):
    with pytest.raises(SchemaError, match="line 2"):
        import_pairs(write_lists(tmp_path / "a", "0 1\n" + text))


def test_a_rating_without_a_time_is_refused(tmp_path):
    with pytest.raises(SchemaError, match=r"own\.train\.rating"):
        import_pairs(write_ratings(tmp_path / "a", "0\t7\t4\n"))


@pytest.mark.parametrize("row", ["0\t7\t4\t", "0\t7\t4\t-1", f"0\t7\t4\t{10**18}", "0\t\t4\t5"])
def test_a_rating_without_item_or_possible_time_is_named(tmp_path, row):
    with pytest.raises(SchemaError, match=r"own\.train\.rating: row 2"):
        import_pairs(write_ratings(tmp_path / "a", f"0\t7\t4\t5\n{row}\n"))


@pytest.mark.parametrize("text", ["", "\n", "0\n1\n"])
def test_lists_without_a_pair_are_refused(tmp_path, text):
    with pytest.raises(EmptyDataError, match=r"train\.txt"):
        import_pairs(write_lists(tmp_path / "a", text))


def test_an_empty_rating_file_is_refused(tmp_path):
    with pytest.raises(EmptyDataError, match=r"own\.train\.rating"):
        import_pairs(write_ratings(tmp_path / "a", ""))


def test_a_directory_of_neither_layout_is_refused(tmp_path):
    with pytest.raises(MissingFileError, match=r"train\.txt"):
        import_pairs(tmp_path)
