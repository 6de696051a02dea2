"""The benchmark of segments: stand-ins, boosts and portraits of a bundle with two groups of users."""

import dataclasses
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from rich.console import Console

from benchmarks.errors import BenchmarkInputError
from benchmarks.machine import describe_machine
from benchmarks.segments import cost
from benchmarks.segments.cost import Cost, measure_cost
from benchmarks.segments.portrait import count_owners, portray, project
from benchmarks.segments.quality import COLD, FALLBACK, measure_rules, measure_stand_ins
from benchmarks.segments.report import Report, write_report
from benchmarks.segments.users import Asked, ask, find_kindred
from index.associations import Associations
from index.bundle import Bundle
from index.features import Event
from index.reference import score
from index.segments import order_segments
from suitability import default_policy_path

NOW = datetime(2026, 11, 22, tzinfo=UTC)
USERS = tuple(f"u{number:02}" for number in range(24))


class TwoTastes:
    """A data set in which even users did something with c001 to c004, odd ones with c005 to c008."""

    profiles: ClassVar[dict[str, Any]] = {}

    def history(self, user: str) -> list[Event]:
        number = int(user[1:])
        first = 1 + 4 * (number % 2)
        names = [f"c{first + step:03}" for step in range(4) if step != number % 3]
        return [Event(name, "enrol", float(step)) for step, name in enumerate(names)]


OWNED = {user: frozenset(event.product_id for event in TwoTastes().history(user)) for user in USERS}
TASTES = [frozenset(f"c{first + step:03}" for step in range(4)) for first in (1, 5)]
RELEVANT = {user: TASTES[int(user[1:]) % 2] - OWNED[user] for user in USERS}


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Bundle) -> Bundle:
    dataset: Any = TwoTastes()
    vectors = ask(tiny_bundle, dataset, USERS, NOW).vectors
    segments = order_segments(
        "k_means", vectors, np.stack([vectors[::2].mean(axis=0), vectors[1::2].mean(axis=0)]).astype(np.int32)
    )
    row = {name: place for place, name in enumerate(tiny_bundle.product_ids)}
    starts = np.zeros(61, np.int64)
    starts[row["c002"] + 1 :] = 1
    rules = Associations(starts, np.array([row["c001"]]), np.array([10**12]))
    return dataclasses.replace(tiny_bundle, segments=segments, associations=rules)


@pytest.fixture(scope="module")
def asked(bundle: Bundle) -> Asked:
    dataset: Any = TwoTastes()
    return ask(bundle, dataset, USERS, NOW)


def test_histories_are_rows_the_latest_first(bundle: Bundle, asked: Asked) -> None:
    names = [bundle.product_ids[row] for row in asked.histories[0]]
    assert names == [event.product_id for event in TwoTastes().history("u00")][::-1]
    assert len(np.unique(asked.cold_vectors, axis=0)) == 1


def test_the_kindred_segment_scores_the_products_of_the_history_highest(bundle: Bundle, asked: Asked) -> None:
    assert bundle.segments is not None
    for history, place in zip(
        asked.histories, find_kindred(bundle, bundle.segments, asked.histories), strict=True
    ):
        items = bundle.item_vectors[history]
        sums = [int(score(centroid, items).sum()) for centroid in bundle.segments.centroids]
        assert place == sums.index(max(sums))


def test_a_boost_brings_up_what_a_rule_leads_to(bundle: Bundle, asked: Asked) -> None:
    (alone, ruled), reach = measure_rules(bundle, asked, RELEVANT, OWNED)
    assert ruled.ndcg.mean > alone.ndcg.mean
    assert (alone.ndcg_gain, ruled.ndcg_gain is None) == (None, False)
    assert reach.rule_count == 1
    with_rule = [user for user in USERS if "c002" in OWNED[user]]
    assert reach.asked_share == len(with_rule) / len(USERS)
    assert reach.listed_share == sum("c001" not in OWNED[user] for user in with_rule) / (20 * len(USERS))


def test_a_segment_stands_in_better_than_what_is_popular_with_all(bundle: Bundle, asked: Asked) -> None:
    assert bundle.segments is not None
    owners = count_owners(bundle, bundle.segments, asked, OWNED)
    rows = measure_stand_ins(bundle, asked, RELEVANT, OWNED, owners)
    assert [row.way for row in rows if row.question == FALLBACK] == [
        "most popular",
        "segment's centroid",
        "segment's owners",
        "the user's own vector",
    ]
    by_way = {row.way: row.ndcg.mean for row in rows if row.question == FALLBACK}
    assert by_way["segment's owners"] > by_way["most popular"]
    assert next(row.way for row in rows if row.question == COLD) == "model, profile alone"


def test_a_portrait_names_what_a_segment_has_more_often(bundle: Bundle, asked: Asked) -> None:
    assert bundle.segments is not None
    owners = np.zeros((2, 60), np.int64)
    owners[0, [3, 4, 5]] = 10, 12, 9
    owners[1, [3, 4]] = 10, 0
    catalogue = {name: {"title": name.upper()} for name in bundle.product_ids}
    first, second = portray(bundle.segments, asked, owners, bundle.product_ids, catalogue)
    # What nine users have is not named; what all users have as often as these comes last.
    assert [top.product_id for top in first.top] == [bundle.product_ids[4], bundle.product_ids[3]]
    assert first.top[0].lift == pytest.approx(2.0)
    assert first.top[0].title == bundle.product_ids[4].upper()
    assert [top.lift for top in second.top] == [pytest.approx(1.0)]


def test_a_projection_keeps_the_two_largest_directions() -> None:
    vectors = np.zeros((7, 5), np.int32)
    vectors[:, 2] = [0, 100, 200, 300, 400, 500, 600]
    points, share = project(vectors)
    assert share == pytest.approx(1.0)
    assert np.ptp(points[:, 0]) == pytest.approx(600)
    assert project(np.ones((1, 3), np.int32))[0].tolist() == [[0.0, 0.0]]


def test_a_report_is_a_table_json_and_a_picture(bundle: Bundle, asked: Asked, tmp_path: Path) -> None:
    assert bundle.segments is not None
    owners = count_owners(bundle, bundle.segments, asked, OWNED)
    rows, reach = measure_rules(bundle, asked, RELEVANT, OWNED)
    points, share = project(asked.vectors)
    places = bundle.segments.assign(asked.vectors)
    catalogue = {name: {"title": name} for name in bundle.product_ids}
    portraits = portray(bundle.segments, asked, owners, bundle.product_ids, catalogue)
    costs = [Cost("neither", 100.0, 1.0), Cost("both", 110.0, 1.1)]
    report = Report(bundle.segments, portraits, places, points, share, rows, reach, costs, ["24 users"])
    write_report(tmp_path, "segments-tiny", report, describe_machine(), Console(file=io.StringIO()))
    text = (tmp_path / "segments-tiny.txt").read_text()
    assert "model and rules" in text
    assert "s1" in text
    assert (tmp_path / "segments-tiny.png").stat().st_size > 10_000
    assert '"rule_count": 1' in (tmp_path / "segments-tiny.json").read_text()


def test_a_bundle_without_rules_or_segments_is_refused(tiny_bundle: Bundle, asked: Asked) -> None:
    with pytest.raises(BenchmarkInputError, match=r"no associations\.parquet"):
        measure_rules(tiny_bundle, asked, RELEVANT, OWNED)
    with pytest.raises(BenchmarkInputError, match=r"no segments\.json"):
        measure_stand_ins(tiny_bundle, asked, RELEVANT, OWNED, np.zeros((1, 60), np.int64))


def test_costs_are_measured_of_all_four_ways(tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "ROUND_COUNT", 1)
    dataset: Any = TwoTastes()
    found = measure_cost(tiny_bundles, default_policy_path(), dataset, USERS[:3], NOW)
    assert [one.way for one in found] == ["neither", "segments", "rules", "both"]
    assert all(one.us > 0 for one in found)
    assert found[0].ratio == 1.0
