"""Nested tiers on the hard case, vectors in clusters whose risk differs: recall, selection, shared memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index import ann, tiers
from index.ann_index import AnnIndex
from index.errors import AnnFormatError
from index.files import map_proven, open_directory
from index.reference import score
from index.tiers import IndexFile
from index.tuning import TunedIndex, build_tuned

DIM = 16
COUNT = 4000
LEARNING_COUNT = 600
STOPS = (1300, 2000, 2000, 2900, 3600)
K = 20
TARGET = 0.99
TUNING_COUNT = 300
KINDS: tuple[ann.IndexKind, ...] = ("flat", "ivf_flat", "nested", "hnsw")

HOLD_INDEX = """
import json, sys
from pathlib import Path
import numpy as np
from index.ann import load_index
from index.files import map_proven, open_directory
from index.tiers import IndexFile, IndexPart

folder, size, sha256, dim, count = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:6])
with open_directory(folder) as directory:
    content = map_proven(directory, "index.faiss", size=size, sha256=sha256)
index = load_index(IndexFile(content, tuple(IndexPart(**part) for part in json.loads(sys.argv[6]))))
print(index.search(np.ones((1, dim), np.float32), 3, 0, count).tolist(), flush=True)
sys.stdin.read()
"""


def _clustered(seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors near one of 40 centres, and for each its risk, which its cluster mostly decides."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(40, DIM))
    cluster = random.integers(40, size=count)
    risk = cluster + random.normal(scale=3, size=count)
    return centres[cluster] + random.normal(scale=0.4, size=(count, DIM)), risk


def _codes(values: np.ndarray) -> np.ndarray:
    codes: np.ndarray = np.rint(values * (32767 / np.abs(values).max())).astype(np.int32)
    return codes


@pytest.fixture(scope="module")
def items() -> np.ndarray:
    """int32 [COUNT, DIM] in ascending risk."""
    vectors, risk = _clustered(1, COUNT)
    return _codes(vectors[np.argsort(risk)])


@pytest.fixture(scope="module")
def users() -> tuple[np.ndarray, np.ndarray]:
    """float32 and int32 [500, DIM]: TUNING_COUNT to tune with, and others."""
    vectors = _clustered(2, 500)[0].astype(np.float32)
    return vectors, _codes(vectors)


@pytest.fixture(scope="module")
def tuned(items: np.ndarray, users: tuple[np.ndarray, np.ndarray]) -> Iterator[dict[str, TunedIndex]]:
    """Each kind of index over the items, where up to 500 rows are all compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiers, "FLAT_ROW_COUNT_MAX", 500)
        yield {
            kind: build_tuned(
                items,
                users[0][:TUNING_COUNT],
                users[1][:TUNING_COUNT],
                kind=kind,
                learning_count=LEARNING_COUNT,
                tier_stops=STOPS,
            )
            for kind in KINDS
        }


def _recall(
    index: AnnIndex,
    items: np.ndarray,
    users: tuple[np.ndarray, np.ndarray],
    rows: tuple[int, int],
    marks: np.ndarray | None = None,
) -> float:
    """Share of the true best K that 100 candidates hold, for the users that were not tuned with."""
    bitmap = None if marks is None else np.packbits(marks, bitorder="little").tobytes()
    found = index.search(users[0][TUNING_COUNT:], 100, *rows, bitmap)
    allowed = np.arange(*rows) if marks is None else np.flatnonzero(marks)
    assert set(np.unique(found)) <= {-1, *allowed.tolist()}
    hit_count = 0
    for got, code in zip(found, users[1][TUNING_COUNT:], strict=True):
        scores = score(code, items[allowed])
        best = allowed[np.argsort(-scores, kind="stable")[:K]]
        hit_count += len(np.intersect1d(got, best))
    return hit_count / (min(K, len(allowed)) * len(found))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [0, LEARNING_COUNT])
@pytest.mark.parametrize("stop", [*sorted(set(STOPS)), COUNT])
def test_every_tier_reaches_the_target(
    kind: str,
    first: int,
    stop: int,
    tuned: dict[str, TunedIndex],
    items: np.ndarray,
    users: tuple[np.ndarray, np.ndarray],
) -> None:
    assert _recall(ann.load_index(tuned[kind].file), items, users, (first, stop)) >= TARGET - 0.01
    measured = {
        (found.row_start, found.row_stop): found.recall for found in tuned[kind].recall if found.share == 1
    }
    assert measured[first, stop] >= TARGET


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_a_selection_reaches_the_target(
    kind: str,
    share: float,
    tuned: dict[str, TunedIndex],
    items: np.ndarray,
    users: tuple[np.ndarray, np.ndarray],
) -> None:
    marks = np.random.default_rng(9).random(COUNT) < share
    index = ann.load_index(tuned[kind].file)
    assert _recall(index, items, users, (0, COUNT), marks) >= TARGET - 0.01


@pytest.mark.parametrize("row_stop", [1600, 3000, 3999])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_selection_within_a_limit_reaches_the_target(
    row_stop: int,
    share: float,
    tuned: dict[str, TunedIndex],
    items: np.ndarray,
    users: tuple[np.ndarray, np.ndarray],
) -> None:
    marks = np.random.default_rng(9).random(COUNT) < share
    marks[row_stop:] = False
    index = ann.load_index(tuned["nested"].file)
    assert _recall(index, items, users, (0, row_stop), marks) >= TARGET - 0.01


def test_hard_selections_are_measured(tuned: dict[str, TunedIndex]) -> None:
    for kind in KINDS:
        measured = {
            (found.row_start, found.row_stop, found.share): found.recall for found in tuned[kind].recall
        }
        assert {(0, COUNT, 0.1), (0, COUNT, 0.01)} <= measured.keys()
        between = {stop for _, stop, _ in measured} - {*STOPS, COUNT, LEARNING_COUNT}
        assert between == {950, 1650, 2450, 3250, 3800}
        assert min(measured.values()) >= TARGET


@pytest.mark.parametrize("row_stop", [601, 1299, 1301, 2400, 3999])
def test_a_limit_between_two_tiers_reaches_the_target(
    row_stop: int, tuned: dict[str, TunedIndex], items: np.ndarray, users: tuple[np.ndarray, np.ndarray]
) -> None:
    index = ann.load_index(tuned["nested"].file)
    assert _recall(index, items, users, (0, row_stop)) >= TARGET - 0.01


def test_each_distinct_limit_has_one_part_without_the_rows_above_it(tuned: dict[str, TunedIndex]) -> None:
    ranges = [(part.row_start, part.row_stop) for part in tuned["nested"].file.parts]
    assert ranges == [(0, 600), (600, 1300), (600, 2000), (600, 2900), (600, 3600), (600, 4000)]
    assert {part.kind for part in tuned["nested"].file.parts} == {"IndexIVFFlat"}


def test_tuning_probes_fewer_lists_than_there_are(tuned: dict[str, TunedIndex]) -> None:
    for part in tuned["nested"].file.parts:
        assert 1 <= part.effort < part.list_count
        for efforts in (part.range_efforts, part.mask_efforts):
            assert sorted(efforts) == list(efforts)
            assert efforts[0] >= part.effort


@pytest.mark.parametrize("kind", KINDS)
def test_asking_for_more_than_there_is_gives_all_and_padding(
    kind: str, tuned: dict[str, TunedIndex], users: tuple[np.ndarray, np.ndarray]
) -> None:
    found = ann.load_index(tuned[kind].file).search(users[0][:2], COUNT + 5, 0, COUNT)
    assert found.tolist() == [[*range(COUNT), *[-1] * 5]] * 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("learning_count", "stops"), [(0, (0, 0)), (1, (1, 1)), (0, (1,))])
def test_one_row_and_empty_tiers_are_indexed(
    kind: ann.IndexKind, learning_count: int, stops: tuple[int, ...]
) -> None:
    item, user = np.ones((1, DIM), np.int32), np.ones((1, DIM), np.float32)
    tuned = build_tuned(item, user, item, kind=kind, learning_count=learning_count, tier_stops=stops)
    assert ann.load_index(tuned.file).search(user, 2, 0, 1).tolist() == [[0, -1]]
    assert {found.recall for found in tuned.recall} == {1.0}


def test_building_twice_gives_the_same_index(
    tuned: dict[str, TunedIndex],
    items: np.ndarray,
    users: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiers, "FLAT_ROW_COUNT_MAX", 500)
    again = build_tuned(
        items,
        users[0][:TUNING_COUNT],
        users[1][:TUNING_COUNT],
        kind="nested",
        learning_count=LEARNING_COUNT,
        tier_stops=STOPS,
    )
    assert again == tuned["nested"]


@pytest.mark.parametrize("position", range(6))
def test_a_damaged_part_is_named(position: int, tuned: dict[str, TunedIndex]) -> None:
    file = tuned["nested"].file
    content = bytearray(file.content)
    start = sum(part.size for part in file.parts[:position])
    content[start : start + 4] = b"JUNK"
    part = file.parts[position]
    with pytest.raises(
        AnnFormatError, match=rf"rows \[{part.row_start}, {part.row_stop}\): expected a faiss"
    ):
        ann.load_index(IndexFile(bytes(content), file.parts))


def test_parts_in_another_order_are_refused(tuned: dict[str, TunedIndex]) -> None:
    file = tuned["nested"].file
    first, second, *rest = file.parts
    swapped = (
        dataclasses.replace(first, size=second.size),
        dataclasses.replace(second, size=first.size),
        *rest,
    )
    with pytest.raises(AnnFormatError, match=r"IndexIVFFlat of rows \[0, 600\): it ends after"):
        ann.load_index(IndexFile(file.content, swapped))


@pytest.mark.parametrize("kind", KINDS)
def test_processes_share_the_memory_of_one_file(kind: ann.IndexKind, tmp_path: Path) -> None:
    count = 4_000 if kind == "hnsw" else 50_000
    vectors = np.random.default_rng(3).normal(size=(count, DIM)).astype(np.float32)
    file = ann.build_index(vectors, kind, tier_stops=(count // 2,))
    content = bytes(file.content)
    (tmp_path / "index.faiss").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    parts = json.dumps([dataclasses.asdict(part) for part in file.parts])
    arguments = [str(tmp_path), str(len(content)), digest, str(DIM), str(len(vectors)), parts]
    command = [sys.executable, "-c", HOLD_INDEX, *arguments]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as second,
    ):
        answers = [process.stdout.readline() for process in (first, second) if process.stdout]
        assert answers[0] == answers[1] != b""
        for process in (first, second):
            pages = _pages_of(process.pid, tmp_path / "index.faiss")
            # All of it was hashed and searched, none of it is a copy of this process.
            assert pages["Shared_Clean"] + pages["Shared_Dirty"] >= 0.9 * len(content) / 1024
            assert pages["Private_Clean"] + pages["Private_Dirty"] <= 0.1 * len(content) / 1024
            assert pages["Anonymous"] == 0
        for process in (first, second):
            process.communicate()


def _pages_of(process_id: int, path: Path) -> dict[str, int]:
    """Returns the kilobytes of a mapped file by state."""
    pages: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{process_id}/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            inside = line.endswith(str(path))
        elif inside and rest[-1] == "kB":
            pages[name[:-1]] = pages.get(name[:-1], 0) + int(rest[0])
    return pages


def test_loading_a_mapped_index_copies_no_vectors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(3).normal(size=(100_000, DIM)).astype(np.float32)
    file = ann.build_index(vectors, "ivf_flat")
    content = bytes(file.content)
    (tmp_path / "index.faiss").write_bytes(content)
    with open_directory(tmp_path) as directory:
        mapped = map_proven(
            directory, "index.faiss", size=len(content), sha256=hashlib.sha256(content).hexdigest()
        )
    before = _own_kilobytes()
    index = ann.load_index(IndexFile(mapped, file.parts))
    assert _own_kilobytes() - before < 0.5 * len(content) / 1024
    best = ann.load_index(file).search(vectors[:3], 9, 0, 90_000)
    np.testing.assert_array_equal(index.search(vectors[:3], 9, 0, 90_000), best)


def _own_kilobytes() -> int:
    """Returns the memory that belongs to this process alone, without mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
