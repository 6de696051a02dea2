"""Every list names its user's segment, found from the vector alone; who did nothing has none."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from index.segments import Segments
from server.clock import Clock
from server.search import Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from server.telemetry import SearchMetrics
from tests.server.cases import CHANNEL, NOW
from tests.server.searching import found_of, make_job


@pytest.fixture(scope="module")
def plain(tiny_bundles: Path) -> Snapshot:
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=False,
    )


@pytest.fixture(scope="module")
def grouped(plain: Snapshot) -> Snapshot:
    """The same snapshot with two segments: users who did something with c001, and those with c002."""
    jobs = [make_job(plain, name) for name in ("c001", "c002")]
    found = Searcher(Clock(NOW), CHANNEL, lambda pinned, now: pinned).run(jobs)
    centroids = np.stack([found_of(each).vector for each in found])
    segments = Segments("k_means", ("s1", "s2"), (1, 1), centroids, 0.0, {})
    return dataclasses.replace(plain, bundle=dataclasses.replace(plain.bundle, segments=segments))


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL, lambda pinned, now: pinned)


def test_a_user_is_in_the_segment_of_what_it_did(grouped: Snapshot, searcher: Searcher) -> None:
    histories: list[tuple[str, ...]] = [("c001",), ("c002",), (), ("nothing known",)]
    found = [found_of(each) for each in searcher.run([make_job(grouped, *names) for names in histories])]
    assert [each.segment_id for each in found] == ["s1", "s2", "", ""]
    for each in found[:2]:
        segments = grouped.bundle.segments
        assert segments is not None
        assert segments.segment_ids[segments.assign(each.vector[None]).item()] == each.segment_id


def test_products_like_one_name_the_segment_of_the_user(grouped: Snapshot, searcher: Searcher) -> None:
    job = make_job(grouped, "c001", like_row=grouped.row_of["c002"])
    assert found_of(searcher.run([job])[0]).segment_id == "s1"


def test_a_bundle_without_segments_names_none(plain: Snapshot, searcher: Searcher) -> None:
    assert found_of(searcher.run([make_job(plain, "c001")])[0]).segment_id == ""


def test_segments_change_no_list(plain: Snapshot, grouped: Snapshot, searcher: Searcher) -> None:
    for names in (("c001",), ("c002", "f003"), ()):
        one, other = (found_of(searcher.run([make_job(each, *names)])[0]) for each in (plain, grouped))
        assert one.rows.tolist() == other.rows.tolist()
        assert one.scores.tolist() == other.scores.tolist()


def test_searches_are_counted_by_segment(grouped: Snapshot, searcher: Searcher) -> None:
    registry = CollectorRegistry()
    metrics = SearchMetrics(registry)
    jobs = [make_job(grouped, *names) for names in (("c001",), ("c001",), ("c002",), ())]
    for outcome in searcher.run(jobs):
        metrics.observe(found_of(outcome))
    counts = [
        registry.get_sample_value("prudence_segment_searches_total", {"segment": name})
        for name in ("s1", "s2", "none")
    ]
    assert counts == [2.0, 1.0, 1.0]
