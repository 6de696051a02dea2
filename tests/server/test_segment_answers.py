"""Every list names its user's segment, found from the vector alone; who did nothing has none."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from index.features import Event
from index.segments import Segments
from server.active_policy import ActivePolicy
from server.batch_queue import Call
from server.clock import Clock
from server.deferred_counts import DeferredCounts
from server.encoder import Encoder
from server.errors import ModelOutputError
from server.gate import find_eligible
from server.messages import Domain, ListAnswer, NamedQuery, RecommendQuery, ResponseReason, UserInput
from server.pipeline import Pipeline
from server.search import Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from server.telemetry import SearchMetrics
from server.users.directory import Directory
from tests.server.cases import CHANNEL, NOW, eligible_user
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
    found = Searcher(Clock(NOW), CHANNEL).run(jobs)
    centroids = np.stack([found_of(each).vector for each in found])
    segments = Segments("k_means", ("s1", "s2"), (1, 1), centroids, 0.0, {})
    return dataclasses.replace(plain, bundle=dataclasses.replace(plain.bundle, segments=segments))


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL)


def test_a_user_is_in_the_segment_of_what_it_did(grouped: Snapshot, searcher: Searcher) -> None:
    histories: list[tuple[str, ...]] = [("c001",), ("c002",), (), ("nothing known",)]
    found = [found_of(each) for each in searcher.run([make_job(grouped, *names) for names in histories])]
    assert [each.segment_id for each in found] == ["s1", "s2", "", ""]
    for each in found[:2]:
        segments = grouped.bundle.segments
        assert segments is not None
        assert segments.segment_ids[segments.assign(each.vector[None]).item()] == each.segment_id


def test_who_wants_no_personalisation_has_no_segment(grouped: Snapshot, searcher: Searcher) -> None:
    job = make_job(grouped, "c001")
    job = dataclasses.replace(job, subject=dataclasses.replace(job.subject, personalised=False))
    for each in (job, dataclasses.replace(job, like_row=3)):
        assert found_of(searcher.run([each])[0]).segment_id == ""


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
    metrics = SearchMetrics(registry, DeferredCounts(registry))
    jobs = [make_job(grouped, *names) for names in (("c001",), ("c001",), ("c002",), ())]
    for outcome in searcher.run(jobs):
        metrics.observe(found_of(outcome))
    counts = [
        registry.get_sample_value("prudence_segment_searches_total", {"segment": name})
        for name in ("s1", "s2", "none")
    ]
    assert counts == [2.0, 1.0, 1.0]


class NanEncoder:
    """Gives NaN for every user."""

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def embed(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.full((len(feed["history_token"]), self._dim), np.nan, np.float32)


@pytest.fixture
def broken(grouped: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Snapshot:
    encoder = NanEncoder(grouped.bundle.manifest.embedding_dim)
    monkeypatch.setattr(type(grouped.encoder), "embed", lambda _, feed: encoder.embed(feed))
    return grouped


def _likes_best(snapshot: Snapshot, *names: str) -> int:
    """The plain definition: the first segment with the highest sum of scores of the history's products."""
    segments = snapshot.bundle.segments
    assert segments is not None
    rows = np.array([snapshot.row_of[name] for name in names], np.int64)
    sums = [int(snapshot.scorer.score(centroid, rows).sum()) for centroid in segments.centroids]
    return sums.index(max(sums))


def test_without_a_vector_the_segment_that_likes_the_history_stands_in(
    broken: Snapshot, searcher: Searcher
) -> None:
    segments = broken.bundle.segments
    assert segments is not None
    taken = set()
    for names in (("c001",), ("c002",), ("c003", "c004", "f003"), ("c009",)):
        found = found_of(searcher.run([make_job(broken, *names, *names)])[0])
        place = _likes_best(broken, *names)
        assert found.stood_in
        assert found.segment_id == segments.segment_ids[place]
        assert found.vector.tolist() == segments.centroids[place].tolist()
        assert found.scores.tolist() == broken.scorer.score(found.vector, found.rows).tolist()
        taken.add(place)
    assert taken == {0, 1}


def test_without_a_vector_and_a_history_the_largest_segment_stands_in_and_none_is_named(
    broken: Snapshot, searcher: Searcher
) -> None:
    found = found_of(searcher.run([make_job(broken, "nothing known")])[0])
    segments = broken.bundle.segments
    assert segments is not None
    assert (found.stood_in, found.segment_id) == (True, "")
    assert found.vector.tolist() == segments.centroids[0].tolist()


def test_products_like_one_need_no_stand_in(broken: Snapshot, searcher: Searcher) -> None:
    found = found_of(searcher.run([make_job(broken, "c001", like_row=3)])[0])
    assert not found.stood_in


def test_a_bundle_without_segments_has_no_stand_in(
    plain: Snapshot, broken: Snapshot, searcher: Searcher
) -> None:
    del broken
    assert isinstance(searcher.run([make_job(plain, "c001")])[0], ModelOutputError)


def test_a_stand_in_of_one_request_changes_no_neighbour(
    grouped: Snapshot, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [make_job(grouped, "c001"), make_job(grouped), make_job(grouped, "c002", "f003")]
    alone = [found_of(searcher.run([job])[0]) for job in jobs]
    embed = type(grouped.encoder).embed

    def break_second(encoder: Encoder, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        vectors = embed(encoder, feed).copy()
        vectors[1] = np.inf
        return vectors

    monkeypatch.setattr(type(grouped.encoder), "embed", break_second)
    together = [found_of(outcome) for outcome in searcher.run(jobs)]
    assert [found.stood_in for found in together] == [False, True, False]
    for place in (0, 2):
        assert together[place].scores.tolist() == alone[place].scores.tolist()


def test_a_list_says_that_a_segment_stood_in_and_is_gated_and_scores_are_refused(broken: Snapshot) -> None:
    clock = Clock(NOW)
    user = UserInput("somebody", eligible_user(), (Event("c001", "click", NOW.timestamp()),))
    query = RecommendQuery(user, Domain.BOTH, 10, None, (), (), False, "request", False, False)
    pipeline = Pipeline(
        ActivePolicy([broken], clock), Directory(None), clock=clock, channel=CHANNEL, queue_limit=8
    )
    try:
        answer = pipeline.recommend([query], Call(time.monotonic() + 60, lambda: True))[0]
        assert isinstance(answer, ListAnswer)
        assert ResponseReason.SEGMENT_FALLBACK in answer.reasons
        assert len(answer.products) == 10
        rows = [broken.row_of[product.product_id] for product in answer.products]
        admitted = broken.gate.admit(user.profile or {}, NOW, CHANNEL, None)
        assert find_eligible(broken.gate.judge(admitted, np.array(rows, np.int64))).all()
        named = NamedQuery(user, ("c001",), False, None, "request")
        with pytest.raises(ModelOutputError):
            pipeline.score(named, Call(time.monotonic() + 60, lambda: True))
    finally:
        pipeline.close()
