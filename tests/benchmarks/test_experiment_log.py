"""What is read from a feedback log: which answer an event belongs to, and what counts for whom."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.experiments.campaigns import measure_all, measure_days, measure_tags
from benchmarks.experiments.log import Log, read_log
from benchmarks.experiments.outcomes import sum_up
from server.feedback.compaction import ANSWER_SCHEMA, EVENT_SCHEMA

START = datetime(2026, 10, 1, 12, tzinfo=UTC)
Write = Callable[[list[dict[str, Any]], list[dict[str, Any]]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a log in two parts, as compaction leaves it."""

    def write_tables(answers: list[dict[str, Any]], events: list[dict[str, Any]]) -> Path:
        for name, rows, schema in (("answers", answers, ANSWER_SCHEMA), ("events", events, EVENT_SCHEMA)):
            (tmp_path / name).mkdir(exist_ok=True)
            for number, part in enumerate((rows[:2], rows[2:]), start=1):
                path = tmp_path / name / f"part-{number:08}.parquet"
                pq.write_table(pa.Table.from_pylist(part, schema=schema), path)
        return tmp_path

    return write_tables


def answer(
    answer_id: str, user: str, day: float = 0.0, variant: str = "control", **fields: Any
) -> dict[str, Any]:
    return {
        "answer_id": answer_id,
        "user": user,
        "method": "Recommend",
        "decision_time": START + timedelta(days=day),
        "placement": "home",
        "campaign": "autumn",
        "experiments": [{"experiment": "other", "variant": "x"}, {"experiment": "e", "variant": variant}],
        "product_ids": ["p1", "p2"],
        "withheld": [{"code": "MAT_HORIZON", "count": 3}],
        "latency_us": 5000,
    } | fields


def event(answer_id: str | None, user: str, kind: str, day: float = 0.0, **fields: Any) -> dict[str, Any]:
    return {
        "answer_id": answer_id,
        "user": user,
        "product_id": "p1",
        "event_type": kind,
        "event_time": START + timedelta(days=day, minutes=1),
    } | fields


LATE = answer("z", "late", 40.0, experiments=[])
"""Ends the log long after everybody else's days."""


def test_an_event_belongs_to_the_answer_that_it_names_and_everything_else_is_counted(write: Write) -> None:
    log = read_log(
        write(
            [answer("a", "ana"), answer("b", "bo"), LATE],
            [
                event("a", "ana", "click"),
                event(None, "ana", "click"),
                event("gone", "ana", "click"),
                event("a", "bo", "click"),
                event("a", "nobody", "click"),
                event("a", "ana", "click", product_id="p9"),
                event("b", "bo", "purchase", revenue_minor=700),
            ],
        )
    )
    assert log.events.kind.tolist() == ["click", "purchase"]
    assert log.events.revenue.tolist() == [0, 700]
    assert log.unmatched == {
        "names no answer": 1,
        "names an answer that is not in the log": 1,
        "names the answer of another user": 2,
        "names an answer without its product": 1,
    }


def test_answers_to_unknown_users_and_of_other_methods_are_left_out(write: Write) -> None:
    log = read_log(
        write([answer("a", "ana"), answer("b", ""), answer("c", "ana", method="ScoreProducts")], [])
    )
    assert log.answers["answer_id"].to_pylist() == ["a"]
    assert log.nameless_count == 1


def test_what_a_user_did_is_summed_over_the_window_alone(write: Write) -> None:
    log = read_log(
        write(
            [
                answer("a1", "ana", 0),
                answer("a2", "ana", 6.9, product_ids=[], withheld=[]),
                answer("a3", "ana", 7.1),
                answer("b1", "bo", 1, variant="new"),
                LATE,
            ],
            [
                event("a1", "ana", "impression"),
                event("a1", "ana", "click"),
                event("a1", "ana", "click"),
                event("a1", "ana", "purchase", 6.9, revenue_minor=500),
                event("a1", "ana", "purchase", 8.0, revenue_minor=800, product_id="p2"),
                event("a3", "ana", "click", 7.1),
                event("b1", "bo", "click", 1, product_id="p2"),
            ],
        )
    )
    exposed = sum_up(log, "e", window_days=7)
    ana, bo = exposed.variants["control"], exposed.variants["new"]
    names = ("answers", "filled", "seen", "clicks", "conversions", "converted", "revenue", "removed:all")
    assert [ana.columns[name].tolist() for name in names] == [[2], [1], [1], [1], [1], [1], [500], [3]]
    assert [bo.columns[name].tolist() for name in names] == [[1], [1], [1], [1], [0], [0], [0], [3]]
    assert ana.columns["removed:MAT_HORIZON"].tolist() == [3]
    assert (exposed.several_count, exposed.late_count) == (0, 0)
    assert len(ana.latency_us) == 2
    assert len(ana.shown.product) == 2


def test_without_impressions_what_was_answered_counts_as_seen(write: Write) -> None:
    answers = [answer("a", "ana"), answer("b", "bo", variant="new"), LATE]
    log = read_log(write(answers, [event("a", "ana", "click")]))
    assert not log.impressions_logged
    exposed = sum_up(log, "e", window_days=7)
    assert [each.columns["seen"].tolist() for each in exposed.variants.values()] == [[2], [2]]


def test_users_of_several_variants_and_late_ones_are_left_out_and_counted(write: Write) -> None:
    log = read_log(
        write(
            [
                answer("a", "ana"),
                answer("b1", "bo", 0),
                answer("b2", "bo", 1, variant="new"),
                answer("c", "cem", 2, variant="new"),
                answer("d", "dora", 35, variant="new"),
                LATE,
            ],
            [],
        )
    )
    exposed = sum_up(log, "e", window_days=7)
    assert {name: each.user_count for name, each in exposed.variants.items()} == {"control": 1, "new": 1}
    assert (exposed.user_counts, exposed.several_count, exposed.late_count) == (
        {"control": 1, "new": 2},
        1,
        1,
    )


def test_an_experiment_that_no_answer_names_is_refused(write: Write) -> None:
    log = read_log(write([answer("a", "ana")], []))
    with pytest.raises(BenchmarkInputError, match="experiment none"):
        sum_up(log, "none", window_days=7)


def make_campaigns(write: Write) -> Log:
    return read_log(
        write(
            [
                answer("a1", "ana", 0),
                answer("a2", "ana", 1, campaign="spring"),
                answer("b1", "bo", 0, campaign="spring", placement="mail"),
                answer("b2", "bo", 6),
                answer("c1", "cem", 8, campaign=""),
            ],
            [
                event("a1", "ana", "impression"),
                event("a1", "ana", "impression", product_id="p2"),
                event("a1", "ana", "click"),
                event("b1", "bo", "impression"),
                event("b1", "bo", "purchase", 0.1, revenue_minor=900),
            ],
        )
    )


def test_campaigns_have_their_own_figures(write: Write) -> None:
    autumn, spring, untagged = measure_tags(make_campaigns(write), "campaign")
    assert (autumn.name, spring.name, untagged.name) == ("autumn", "spring", "")
    assert (autumn.answer_count, autumn.seen_count, autumn.click_count, autumn.ctr.mean) == (2, 2, 1, 0.5)
    assert (spring.sale_count, spring.revenue_minor, spring.conversion.mean) == (1, 900, 1.0)
    assert (untagged.answer_count, untagged.seen_count, untagged.revenue_minor) == (1, 0, 0)
    placements = {each.name: each for each in measure_tags(make_campaigns(write), "placement")}
    assert {name: each.revenue_minor for name, each in placements.items()} == {"home": 0, "mail": 900}


def test_who_came_back_counts_on_a_later_day_and_only_when_the_days_are_over(write: Write) -> None:
    log = make_campaigns(write)
    total = measure_all(log)
    shares = {days: found and found.mean for days, found in total.retention.items()}
    # Ana came back after 1 day, Bo after 6; Cem came on the last day of the log.
    assert shares == {1: 0.5, 7: 1.0, 30: None}
    autumn = measure_tags(log, "campaign")[0]
    assert autumn.retention[1] is not None
    assert autumn.retention[1].mean == 0.5


def test_every_day_has_its_figures(write: Write) -> None:
    days = measure_days(make_campaigns(write))
    assert [day.answer_count for day in days] == [2, 1, 0, 0, 0, 0, 1, 0, 1]
    assert days[0].ctr == pytest.approx(1 / 3)
    assert days[0].conversion == pytest.approx(1 / 3)


def test_a_folder_without_a_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkInputError, match=r"answers: expected part-\*\.parquet"):
        read_log(tmp_path)


def test_a_log_without_a_column_is_refused(write: Write) -> None:
    folder = write([answer("a", "ana")], [])
    pq.write_table(pa.table({"user": ["ana"]}), folder / "answers" / "part-00000003.parquet")
    with pytest.raises(BenchmarkInputError, match=r"answers: .*answer_id"):
        read_log(folder)
