"""The MOOCCubeX importer, on small files in the publisher's layout."""

import json
from datetime import UTC, datetime

import pytest

from training.data_commands import main
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.mooccubex import import_mooccubex


def write_files(folder, **texts):
    texts = {
        "train": "0 1 0\n1 0\n2\n",
        "test": "0 2\n",
        "item_list": "org_id remap_id\nC_10 0\nC_11 1\nC_12 2\n",
        "kg_final": "0 2 77\n0 1 77\n1 2 78\n0 2 77\n",
        **texts,
    }
    folder.mkdir()
    for name, text in texts.items():
        if text is not None:
            (folder / f"{name}.txt").write_text(text)
    return folder


def test_enrolments_keep_the_order_of_their_line(tmp_path):
    rows = import_mooccubex(write_files(tmp_path / "m")).interactions.table.to_pylist()
    assert [(row["user_id"], row["product_id"], row["event_type"]) for row in rows] == [
        ("0", "C1", "enrol"),
        ("0", "C0", "enrol"),
        ("1", "C0", "enrol"),
    ]
    assert rows[0]["event_time"] == datetime(2000, 1, 1, tzinfo=UTC)
    assert rows[1]["event_time"] > rows[0]["event_time"]


def test_courses_without_an_enrolment_are_in_the_catalogue(tmp_path):
    courses = import_mooccubex(write_files(tmp_path / "m")).products.table.to_pylist()
    assert [(course["id"], course["title"]) for course in courses] == [
        ("C0", "C_10"),
        ("C1", "C_11"),
        ("C2", "C_12"),
    ]


def test_relations_are_tags_without_repeats(tmp_path):
    courses = import_mooccubex(write_files(tmp_path / "m")).products.table.to_pylist()
    assert [course["tags"] for course in courses] == [["r1:77", "r2:77"], ["r2:78"], None]


def test_the_graph_may_be_missing(tmp_path):
    courses = import_mooccubex(write_files(tmp_path / "m", kg_final=None)).products.table
    assert courses.column("tags").null_count == 3


def test_an_enrolment_in_an_unlisted_course_keeps_its_number_as_title(tmp_path):
    courses = import_mooccubex(write_files(tmp_path / "m", train="0 9\n")).products.table.to_pylist()
    assert ("C9", "9") in [(course["id"], course["title"]) for course in courses]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("train", "0 1\n1 x\n", r"train\.txt: line 2"),
        ("item_list", "org_id remap_id\nC_10 0\nC_11\n", r"item_list\.txt: line 3: .*remap_id"),
        ("item_list", "org_id remap_id\nC_10 0\nC_11 0\n", r"item_list\.txt: line 3: remap_id 0"),
        ("kg_final", "0 2 77\n0 2\n", r"kg_final\.txt: line 2: .*tail"),
    ],
)
def test_a_wrong_line_is_named_by_file_line_and_field(name, text, named, tmp_path):
    with pytest.raises(SchemaError, match=named):
        import_mooccubex(write_files(tmp_path / "m", **{name: text}))


@pytest.mark.parametrize("name", ["train", "item_list"])
def test_a_missing_file_is_named(name, tmp_path):
    with pytest.raises(MissingFileError, match=rf"{name}\.txt"):
        import_mooccubex(write_files(tmp_path / "m", **{name: None}))


def test_no_enrolment_at_all_is_refused(tmp_path):
    with pytest.raises(EmptyDataError):
        import_mooccubex(write_files(tmp_path / "m", train="0\n1\n"))


def test_the_command_writes_the_data_with_its_quality(tmp_path):
    out = tmp_path / "out"
    assert main(["import", "mooccubex", str(write_files(tmp_path / "m", train="0 1 1\n")), str(out)]) == 0
    quality = json.loads((out / "quality.json").read_text())
    assert quality["tables"]["products"]["rows_kept"] == 3
    assert json.loads((out / "source.json").read_text())["licence"] == "GPL-3.0"
