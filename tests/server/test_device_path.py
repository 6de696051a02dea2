"""From the tower to a search without the host: vectors are searched where the tower left them.

The host's memory stands for the GPU's, so that what is read by address can be compared with the definition.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import ann_gpu
from index.device_matrix import DeviceMatrix
from index.post_filter import Found
from server.clock import Clock
from server.encoder import Encoder
from server.planner import Planner
from server.retrieval import Retriever
from server.row_search import IndexSearch
from server.search import Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from tests.index.gpu_stand_in import gpu  # noqa: F401 - a fixture.
from tests.server.cases import CHANNEL, NOW
from tests.server.searching import found_of, make_job

K = 12


class InPlaceEncoder(Encoder):
    """Leaves its vectors in the host's memory as the CUDA provider does on the GPU."""

    def __init__(self, like: Encoder) -> None:
        self.__dict__.update(like.__dict__)

    def embed_in_place(self, feed: Mapping[str, Any]) -> tuple[np.ndarray, DeviceMatrix | None]:
        return self._run_in_place(feed, "cpu")


def read(matrix: DeviceMatrix) -> np.ndarray:
    floats = (ctypes.c_float * (matrix.count * matrix.dim)).from_address(matrix.pointer)
    return np.array(floats, np.float32).reshape(matrix.count, matrix.dim)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_snapshot(
        tiny_bundles,
        load_fit_policy(None),
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=False,
    )


@pytest.fixture
def searcher() -> Searcher:
    return Searcher(Clock(NOW), CHANNEL)


@pytest.fixture
def pointers(gpu: None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:  # noqa: F811
    """Notes of each search of the matrix its number of queries, and whether they were read in place."""
    seen: list[tuple[int, bool]] = []
    compare = ann_gpu._GpuMatrix._compare

    def note(self: Any, queries: Any, count: int, start: int, stop: int) -> Found:
        seen.append((len(queries.values), queries.on_device is not None))
        return compare(self, queries, count, start, stop)

    monkeypatch.setattr(ann_gpu._GpuMatrix, "_compare", note)
    return seen


@pytest.fixture
def on_device(snapshot: Snapshot, pointers: Sequence[object]) -> Snapshot:
    """The snapshot with its tower and its vectors where a GPU would have them."""
    vectors = snapshot.bundle.item_vectors.astype(np.float32)
    matrix = DeviceMatrix(vectors.ctypes.data, len(vectors), vectors.shape[1], vectors)
    search = IndexSearch(ann_gpu.search_matrix(matrix), "gpu")
    return replace(
        snapshot,
        encoder=InPlaceEncoder(snapshot.encoder),
        retriever=Retriever(Planner({"gpu": search}, {})),
    )


def test_the_vectors_are_at_the_address_and_are_those_of_the_tower(snapshot: Snapshot) -> None:
    feeds = [request.inputs for request in snapshot.bundle.golden.requests[:5]]
    together = {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}
    vectors, matrix = InPlaceEncoder(snapshot.encoder).embed_in_place(together)
    assert matrix is not None
    np.testing.assert_array_equal(read(matrix), vectors)
    # The CPU's vector instructions round a row's last bits by its place in the batch.
    np.testing.assert_allclose(vectors, snapshot.encoder.embed(together), rtol=0, atol=1e-6)
    third = matrix.take([2])
    assert third is not None
    np.testing.assert_array_equal(read(third), vectors[2:3])


def test_on_the_cpu_nothing_stays_on_a_device(snapshot: Snapshot) -> None:
    vectors, matrix = snapshot.encoder.embed_in_place(snapshot.bundle.golden.requests[0].inputs)
    assert matrix is None
    np.testing.assert_array_equal(vectors, snapshot.encoder.embed(snapshot.bundle.golden.requests[0].inputs))


def test_a_search_in_place_answers_as_the_definition_does(
    on_device: Snapshot, searcher: Searcher, pointers: list[tuple[int, bool]]
) -> None:
    # The small catalogue is taken whole unless fewer candidates are wanted than it has rows.
    jobs = [make_job(on_device, f"c{number:03}", k=K) for number in range(5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.retrieval.CANDIDATE_COUNT_MIN", K)
        patch.setattr("server.retrieval.CANDIDATES_PER_K", 2)
        founds = [found_of(outcome) for outcome in searcher.run(jobs)]
    assert pointers[0] == (5, True)
    for found in founds:
        exact = on_device.scorer.score(found.vector, np.arange(on_device.bundle.products.count))
        best = np.argsort(-exact, kind="stable")[: 2 * K]
        assert found.rows[: 2 * K].tolist() == best.tolist()
        assert found.scores[: 2 * K].tolist() == exact[best].tolist()


@pytest.mark.parametrize(
    ("like_rows", "expected"), [((None, None, None), (3, True)), ((None, 4, None), (3, False))]
)
def test_what_is_not_the_towers_is_searched_from_the_host(
    like_rows: tuple[int | None, ...],
    expected: tuple[int, bool],
    on_device: Snapshot,
    searcher: Searcher,
    pointers: list[tuple[int, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.retrieval.CANDIDATE_COUNT_MIN", K)
    monkeypatch.setattr("server.retrieval.CANDIDATES_PER_K", 2)
    jobs = [replace(make_job(on_device, "c001", k=K), like_row=row) for row in like_rows]
    for job, outcome in zip(jobs, searcher.run(jobs), strict=True):
        found = found_of(outcome)
        assert found.vector.tolist() == found_of(searcher.run([job])[0]).vector.tolist()
    assert pointers[0] == expected
