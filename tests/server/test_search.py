"""What the compute thread does with a batch, over an opened snapshot of the tiny bundle."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.bundle import Bundle
from server.clock import Clock
from server.encoder import Encoder
from server.errors import DeviceError, ModelOutputError, SnapshotError
from server.scoring import Scorer
from server.search import Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot, warm_up
from tests.server.cases import (
    CHANNEL,
    NOW,
)
from tests.server.searching import (
    NO_ROWS,
    found_of,
    make_job,
)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="faiss",
        allow_assumed=False,
    )


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL)


class ConstantScorer(Scorer):
    """Gives every row the same score."""

    def __init__(self, like: Scorer) -> None:
        self.__dict__.update(like.__dict__)

    def score(self, user: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.full(len(rows), 7, np.int64)


def test_a_batch_gives_each_job_what_it_gets_alone(snapshot: Snapshot, searcher: Searcher) -> None:
    jobs = [
        make_job(snapshot, f"c{number:03}", f"f{number % 10:03}", k=number + 1, risk_score_limit=900 * number)
        for number in range(11)
    ]
    together = [found_of(outcome) for outcome in searcher.run(jobs)]
    alone = [found_of(searcher.run([job])[0]) for job in jobs]
    for one, other in zip(together, alone, strict=True):
        assert one.rows.tolist() == other.rows.tolist()
        assert one.scores.tolist() == other.scores.tolist()
        assert one.masks.tolist() == other.masks.tolist()


def test_a_batch_over_two_snapshots_gives_each_job_its_own(snapshot: Snapshot, searcher: Searcher) -> None:
    other = dataclasses.replace(snapshot, scorer=ConstantScorer(snapshot.scorer))
    jobs = [
        make_job(kept, "c001", k=k) for k, kept in enumerate([snapshot, other, snapshot, other, other], 1)
    ]
    together = [found_of(outcome) for outcome in searcher.run(jobs)]
    assert [found.batch_count for found in together] == [2, 3, 2, 3, 3]
    assert [set(found.scores.tolist()) == {7} for found in together] == [False, True, False, True, True]
    for job, found in zip(jobs, together, strict=True):
        alone = found_of(searcher.run([job])[0])
        assert (found.rows.tolist(), found.scores.tolist()) == (alone.rows.tolist(), alone.scores.tolist())


def test_rows_left_out_are_not_looked_at(snapshot: Snapshot, searcher: Searcher) -> None:
    found = found_of(searcher.run([make_job(snapshot, left_out_rows=np.array([0, 5, 31], np.int64))])[0])
    assert not {0, 5, 31} & set(found.rows.tolist())
    assert len(found.rows) == snapshot.bundle.products.count - 3


def test_only_the_rows_named_are_looked_at(snapshot: Snapshot, searcher: Searcher) -> None:
    found = found_of(searcher.run([make_job(snapshot, only_rows=np.array([4, 2, 40], np.int64))])[0])
    assert found.rows.tolist() == [2, 4, 40]
    assert found_of(searcher.run([make_job(snapshot, only_rows=NO_ROWS)])[0]).rows.tolist() == []


def test_an_empty_part_of_the_catalogue_gives_nothing(snapshot: Snapshot, searcher: Searcher) -> None:
    assert len(found_of(searcher.run([make_job(snapshot, row_start=7, row_stop=7)])[0]).rows) == 0


class BrokenEncoder:
    """Gives NaN for users without a history."""

    provider = "broken"

    def __init__(self, dim: int) -> None:
        self._dim = dim

    def embed(self, feed: Mapping[str, np.ndarray]) -> np.ndarray:
        vectors = np.ones((len(feed["history_token"]), self._dim), np.float32)
        vectors[feed["history_token"].sum(axis=1) == 0, 3] = np.nan
        return vectors


def test_a_vector_with_nan_is_an_error_of_its_own_request(
    snapshot: Snapshot, searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = BrokenEncoder(snapshot.bundle.manifest.embedding_dim)
    monkeypatch.setattr(type(snapshot.encoder), "embed", lambda _, feed: encoder.embed(feed))
    jobs = [make_job(snapshot, "c001"), make_job(snapshot), make_job(snapshot, "c002")]
    outcomes = searcher.run(jobs)
    assert isinstance(outcomes[1], ModelOutputError)
    assert found_of(outcomes[0]).scores.tolist() == found_of(outcomes[2]).scores.tolist()


def test_warm_up_accepts_the_bundle_and_refuses_another_answer(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up(snapshot)
    monkeypatch.setattr(
        type(snapshot.encoder),
        "embed",
        lambda _, feed: np.ones((1, snapshot.bundle.manifest.embedding_dim), np.float32),
    )
    with pytest.raises(SnapshotError, match="golden request 0"):
        warm_up(snapshot)


def test_a_device_that_is_not_there_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(DeviceError, match="CUDAExecutionProvider"):
        Encoder(tiny_bundle.user_tower, device="cuda", thread_count=1)


def test_what_is_no_tower_is_refused(tiny_bundle: Bundle) -> None:
    with pytest.raises(SnapshotError, match=r"user_tower\.onnx"):
        Encoder(b"no onnx", device="cpu", thread_count=1)
    with pytest.raises(SnapshotError, match="user_vector"):
        Encoder(tiny_bundle.item_tower, device="cpu", thread_count=1)


def test_inputs_the_tower_does_not_take_are_refused(snapshot: Snapshot) -> None:
    with pytest.raises(SnapshotError, match="history_token"):
        snapshot.encoder.check_feed({"history_token": np.zeros((1, 50), np.int64)})


def test_a_user_vector_does_not_depend_on_its_place_in_the_batch(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder(tiny_bundle.user_tower, device="cpu", thread_count=1)
    feeds = [request.inputs for request in tiny_bundle.golden.requests[:5]]
    together = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    counts = []
    run = encoder._run

    def counting(feed: Mapping[str, Any]) -> Any:
        counts.append(len(feed["history_token"]))
        return run(feed)

    monkeypatch.setattr(encoder, "_run", counting)
    vectors = encoder.embed(together)
    assert counts == [1] * 5
    assert all(np.array_equal(row, run(feed)[0]) for row, feed in zip(vectors, feeds, strict=True))
