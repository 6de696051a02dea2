"""The feedback log in training: joined to its answers, weighed, merged once, and what is left out."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from tests.feedback_logs import DECIDED, make_answer, make_event, write_log
from tests.tiny_data import make_events, write_data
from training.data_commands import main
from training.dataset import DataSource, source_to_json
from training.errors import DataError, EmptyDataError, MissingFileError, SchemaError
from training.examples import read_learning_data
from training.histories import find_targets, weigh_targets
from training.importers.feedback import import_feedback
from training.importers.feedback_join import join_feedback
from training.importers.feedback_log import read_log
from training.importers.feedback_weights import GLANCE, SHOWN
from training.sharding import write_shards

ANSWER = make_answer("a1", "u000", ["p001", "p002", "p003"])


def run(log: Path, out: Path, *options: str) -> dict[str, Any]:
    """Imports, and returns what became of the log."""
    assert main(["import", "feedback", str(log), str(out), *options]) == 0
    report: dict[str, Any] = json.loads((out / "quality.json").read_text(encoding="utf-8"))["feedback"]
    return report


def read(out: Path, name: str) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(out / f"{name}.parquet").to_pylist()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    written = write_data(tmp_path / "data", make_events())
    source = DataSource("tiny", True, "", "", "2026-03-02T00:00:00Z")
    (written / "source.json").write_text(source_to_json(source))
    return written


def count(events: list[dict[str, Any]], folder: Path, answers: Any = (ANSWER,)) -> dict[str, int]:
    counts = join_feedback(read_log(write_log(folder, events, answers))).count()
    return {name: number for name, number in counts.items() if number}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"answer_id": "a1"}, "matched"),
        ({}, "without_answer"),
        ({"answer_id": ""}, "without_answer"),
        ({"answer_id": "a2"}, "unknown_answer"),
        ({"answer_id": "a1", "user": "u001"}, "foreign_user"),
        ({"answer_id": "a1", "event_time": DECIDED - timedelta(minutes=6)}, "before_answer"),
        ({"answer_id": "a1", "event_time": DECIDED - timedelta(minutes=4)}, "matched"),
        ({"answer_id": "a1", "event_time": DECIDED + timedelta(days=7, seconds=1)}, "late"),
        ({"answer_id": "a1", "event_time": DECIDED + timedelta(days=7)}, "matched"),
        ({"answer_id": "a1", "product_id": "p009"}, "not_in_list"),
    ],
)
def test_an_event_is_joined_to_its_answer_or_counted_by_name(
    tmp_path: Path, changed: dict[str, Any], match: str
) -> None:
    assert count([make_event("e1", "u000", "p002") | changed], tmp_path) == {match: 1}


def test_an_event_names_another_position_than_the_answer(tmp_path: Path) -> None:
    event = make_event("e1", "u000", "p002", answer_id="a1", position=3)
    assert count([event], tmp_path) == {"matched": 1, "position_differs": 1}


@pytest.mark.parametrize("answers", [[], [make_answer("a0", "u000", [])]])
def test_a_log_without_a_shown_product_joins_nothing(tmp_path: Path, answers: Any) -> None:
    events = [make_event("e1", "u000", "p002", answer_id="a1"), make_event("e2", "u000", "p002")]
    assert count(events, tmp_path, answers) == {"unknown_answer": 1, "without_answer": 1}


def test_exposures_tell_what_was_shown_where_and_what_it_led_to(tmp_path: Path, data: Path) -> None:
    events = [
        make_event("e1", "u000", "p002", "impression", answer_id="a1", position=2),
        make_event("e2", "u000", "p002", "click", answer_id="a1", position=2),
        make_event("e3", "u000", "p003", "impression", answer_id="a1", position=3),
        make_event("e4", "u000", "p002", "view", answer_id="a1"),
    ]
    empty, other = make_answer("a0", "u000", []), make_answer("a2", "u001", ["p003"], bundle_version="b2")
    run(write_log(tmp_path / "log", events, [empty, ANSWER, other]), tmp_path / "out", "--with", str(data))
    exposures = read(tmp_path / "out", "exposures")
    told = [(row["answer_id"], row["product_id"], row["position"], row["outcome"]) for row in exposures]
    assert told == [
        ("a1", "p001", 1, None),
        ("a1", "p002", 2, "click"),
        ("a1", "p003", 3, "impression"),
        ("a2", "p003", 1, None),
    ]
    assert [row["bundle_version"] for row in exposures] == ["b1", "b1", "b1", "b2"]
    assert exposures[0]["experiments"] == [{"experiment": "colour", "variant": "red"}]
    assert json.loads(exposures[0]["features"]) == {"risk_level": "2"}
    assert [row["score"] for row in exposures] == [3, 2, 1, 1]


def test_events_become_interactions_beside_those_of_the_data(tmp_path: Path, data: Path) -> None:
    events = [
        make_event("e1", "u000", "p005", "rating", rating=4.0),
        make_event("e2", "u000", "p006", "dwell", dwell_s=90.0),
        make_event("e3", "u000", "p007", "impression"),
        make_event("e4", "u-new", "p008", "purchase"),
    ]
    report = run(write_log(tmp_path / "log", events, [ANSWER]), tmp_path / "out", "--with", str(data))
    rows = read(tmp_path / "out", "interactions")
    # Rows that repeat each other are collapsed by the checks, and the tiny data has some.
    before = len({tuple(sorted(event.items())) for event in make_events()})
    new = [row for row in rows if row["event_id"] is not None]
    assert len(rows) == before + 3
    assert [(row["event_id"], row["weight"], row["confidence"]) for row in new] == [
        ("e1", 4.0, 1.0),
        ("e2", 90.0, 1.0),
        ("e4", 1.0, 1.0),
    ]
    assert (report["impression"], report["events_new"], report["users_known"]) == (1, 3, 1)
    assert "u-new" in read_learning_data(tmp_path / "out").user_ids


def test_importing_again_adds_nothing_twice_and_keeps_what_the_log_no_longer_has(
    tmp_path: Path, data: Path
) -> None:
    first = write_log(tmp_path / "log", [make_event("e1", "u000", "p005", answer_id="a1")], [ANSWER])
    run(first, tmp_path / "one", "--with", str(data))
    events = [
        make_event("e1", "u000", "p005", answer_id="a1"),
        make_event("e2", "u000", "p002", answer_id="a1"),
    ]
    second = write_log(tmp_path / "more", [*events, events[0]], [ANSWER, make_answer("a2", "u001", ["p001"])])
    report = run(second, tmp_path / "two", "--with", str(tmp_path / "one"))
    assert (report["events"], report["repeated"], report["events_new"]) == (2, 1, 1)
    ids = [row["event_id"] for row in read(tmp_path / "two", "interactions") if row["event_id"] is not None]
    assert ids == ["e1", "e2"]
    assert [row["answer_id"] for row in read(tmp_path / "two", "exposures")] == ["a1"] * 3 + ["a2"]
    other = write_log(
        tmp_path / "rest", [make_event("e3", "u000", "p002")], [make_answer("a3", "u000", ["p001"])]
    )
    run(other, tmp_path / "three", "--with", str(tmp_path / "two"))
    assert [row["answer_id"] for row in read(tmp_path / "three", "answers")] == ["a1", "a2", "a3"]
    kept = [
        row["event_id"] for row in read(tmp_path / "three", "interactions") if row["event_id"] is not None
    ]
    assert kept == ["e1", "e2", "e3"]


def weigh(tmp_path: Path, data: Path, events: list[dict[str, Any]], name: str = "out") -> list[float]:
    """Returns the confidence of the pair of u000 and p044, which the data has no event of."""
    log = write_log(tmp_path / f"log-{name}", events, [ANSWER])
    run(log, tmp_path / name, "--with", str(data))
    rows = read(tmp_path / name, "interactions")
    return [row["confidence"] for row in rows if (row["user_id"], row["product_id"]) == ("u000", "p044")]


@pytest.mark.parametrize(
    ("signs", "confidence"),
    [
        ([("view", 1, None)], [1.0]),
        ([("click", 1, None), ("dwell", 2, 9.0)], [GLANCE, GLANCE]),
        ([("click", 1, None), ("dwell", 2, 10.0)], [1.0, 1.0]),
        ([("click", 1, None), ("dwell", 2, 3.0), ("purchase", 3, None)], [1.0, 1.0, 1.0]),
        ([("click", 1, None), ("not_interested", 2, None)], [0.0]),
        ([("purchase", 1, None), ("complaint", 1, None)], [0.0]),
        ([("not_interested", 1, None), ("purchase", 2, None)], [1.0]),
        ([("not_interested", 1, None)], []),
    ],
)
def test_a_pair_counts_by_what_its_events_say_together(
    tmp_path: Path, data: Path, signs: list[tuple[str, int, float | None]], confidence: list[float]
) -> None:
    events = [
        make_event(
            f"e{row}", "u000", "p044", kind, event_time=DECIDED + timedelta(minutes=minute), dwell_s=dwell
        )
        for row, (kind, minute, dwell) in enumerate(signs)
    ]
    other = make_event("e-other", "u000", "p001")
    assert weigh(tmp_path, data, [*events, other]) == confidence


def test_a_pair_that_only_answers_led_to_counts_little_also_in_a_later_import(
    tmp_path: Path, data: Path
) -> None:
    shown = [
        make_event("e1", "u000", "p044", answer_id="a1"),
        make_event("e2", "u000", "p044", "enrol", answer_id="lost"),
        make_event("e3", "u000", "p044", "impression"),
    ]
    assert weigh(tmp_path, data, shown[:2], "one") == pytest.approx([SHOWN, SHOWN])
    # An impression is no event of the pair, so it makes nothing of it the user's own find.
    assert weigh(tmp_path, tmp_path / "one", shown[2:], "two") == pytest.approx([SHOWN, SHOWN])
    found = make_event("e4", "u000", "p044", "view")
    assert weigh(tmp_path, tmp_path / "two", [found], "three") == [1.0, 1.0, 1.0]
    glance = [
        make_event("e5", "u000", "p044", answer_id="a1"),
        make_event("e6", "u000", "p044", "dwell", answer_id="a1", dwell_s=1.0),
    ]
    assert weigh(tmp_path, data, glance, "four") == pytest.approx([SHOWN * GLANCE] * 2)


def test_what_was_rejected_stays_so_until_it_is_taken_again(tmp_path: Path, data: Path) -> None:
    events = [make_event("e1", "u000", "p044"), make_event("e2", "u000", "p044", "not_interested")]
    assert weigh(tmp_path, data, events, "one") == [0.0]
    assert weigh(tmp_path, tmp_path / "one", [make_event("e3", "u000", "p001")], "two") == [0.0]
    later = make_event("e4", "u000", "p044", event_time=DECIDED + timedelta(minutes=5))
    assert weigh(tmp_path, tmp_path / "two", [later], "three") == [1.0, 1.0]


def test_erased_users_are_left_out_of_log_and_data(tmp_path: Path, data: Path) -> None:
    answers = [ANSWER, make_answer("a2", "u001", ["p001"]), make_answer("a3", "u002", ["p001"])]
    events = [make_event(f"e{row}", f"u00{row}", "p044", answer_id=f"a{row + 1}") for row in range(3)]
    log = write_log(tmp_path / "log", events, answers)
    run(log, tmp_path / "one", "--with", str(data))
    (log / "erasing-00.json").write_text(json.dumps(["u001"]))
    (tmp_path / "erased.txt").write_text("u002\n")
    options = ("--with", str(tmp_path / "one"), "--erased", str(tmp_path / "erased.txt"))
    report = run(log, tmp_path / "two", *options)
    assert report["erased"] == 4
    for name, column in (
        ("interactions", "user_id"),
        ("profiles", "user_id"),
        ("exposures", "user_id"),
        ("answers", "user"),
    ):
        users = {row[column] for row in read(tmp_path / "two", name)}
        assert "u000" in users
        assert not users & {"u001", "u002"}
    assert not any(b"u001" in path.read_bytes() for path in (tmp_path / "two").iterdir())


def test_segments_that_are_not_compacted_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", [make_event("e1", "u000", "p001")], [ANSWER])
    (log / "segment-00000002.log").write_bytes(bytes(100))
    (log / "segment-00000003.log").write_bytes(bytes(36))
    run(log, tmp_path / "out")
    told = capsys.readouterr().out
    assert f"not read: 1 segments that are not compacted yet; `python -m server compact {log}`" in told


def test_without_a_data_set_products_are_the_logs_own(tmp_path: Path) -> None:
    run(write_log(tmp_path / "log", [make_event("e1", "u000", "p009")], [ANSWER]), tmp_path / "out")
    assert [row["id"] for row in read(tmp_path / "out", "products")] == ["p001", "p002", "p003", "p009"]
    source = json.loads((tmp_path / "out" / "source.json").read_text(encoding="utf-8"))
    assert source["clock"] == "2026-03-02T00:02:01Z"


def test_a_data_set_of_other_users_is_refused(tmp_path: Path, data: Path) -> None:
    log = write_log(tmp_path / "log", [make_event("e1", "0001aa", "p001")], [ANSWER])
    with pytest.raises(DataError, match=r"has none of the log's 1 users; .* pseudonymise"):
        import_feedback(log, data)


def test_a_log_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="expected a folder"):
        read_log(tmp_path / "nowhere")
    with pytest.raises(EmptyDataError, match="python -m server compact"):
        read_log(tmp_path)
    log = write_log(tmp_path / "log", [make_event("e1", "u000", "p001")], [ANSWER])
    part = log / "answers" / "part-00000001.parquet"
    table = pyarrow.parquet.read_table(part)
    pyarrow.parquet.write_table(table.drop_columns(["history"]), part)
    with pytest.raises(SchemaError, match="column 'history' is missing"):
        read_log(log)
    short = table.set_column(table.column_names.index("scores"), "scores", pa.array([[1]]))
    pyarrow.parquet.write_table(short, part)
    for name in ("user", "event_time"):
        write_log(tmp_path / name, [make_event("e1", "u1", "p1") | {name: None}], [])
        with pytest.raises(SchemaError, match=f"column '{name}' has empty cells"):
            read_log(tmp_path / name)
    with pytest.raises(SchemaError, match="scores: expected as many as product_ids"):
        join_feedback(read_log(log))
    part.write_bytes(b"PAR1")
    with pytest.raises(MissingFileError, match=r"part-00000001\.parquet"):
        read_log(log)
    (log / "answers").rename(log / "gone")
    (log / "erasing-00.json").write_text("{}")
    with pytest.raises(SchemaError, match="erasing-00"):
        read_log(log)


def test_a_model_reads_confidence_from_tables_and_from_shards(tmp_path: Path) -> None:
    events = [{**event, "confidence": 0.5 if row % 3 else 0.0} for row, event in enumerate(make_events())]
    events[1]["confidence"] = None
    events[2] |= {"event_type": "rating", "weight": 4.0}
    events[5] |= {"event_type": "rating", "weight": 2.0}
    events[8] |= {"event_type": "rating", "weight": 5.0}
    written = write_data(tmp_path / "data", events)
    whole = read_learning_data(written).interactions
    assert sorted(set(whole.liking.tolist())) == pytest.approx([0.0, 1 / 3, 0.5, 1.0])
    assert (whole.liking == 1.0).sum() == 1
    write_shards(written, event_count=len(events), force=False)
    assert np.array_equal(read_learning_data(written).interactions.liking, whole.liking)


def test_a_pair_without_confidence_is_no_target(tmp_path: Path) -> None:
    events = make_events()
    events[0] |= {"product_id": "p059", "confidence": 0.0}
    interactions = read_learning_data(write_data(tmp_path / "data", events)).interactions
    targets = find_targets(interactions)
    weight = weigh_targets(
        interactions, targets, {}, half_life_days=90.0, latest=interactions.event_time.max()
    )
    rejected = (targets.user_row == 0) & (targets.item_row == 59)
    assert rejected.sum() == 1
    assert weight[rejected] == 0.0 < weight[~rejected].min()
