"""Measures every form of the user tower and of the vectors: bytes, CPU time, and what it costs in lists."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import faiss as faiss_module
import numpy as np
from numpy.typing import NDArray

from benchmarks.quantisation.towers import list_towers
from export.graph import write_graph
from export.judges import choose_judges
from export.parity import embed_rows, open_session
from export.quality_gate import QualityLimits, find_faults
from export.quantisation import (
    CANDIDATE_COUNT,
    QuantisationCost,
    Vectors,
    in_float32,
    in_int8,
    in_int32,
    measure_cost,
)
from export.write import choose_scales, embed_all
from index.features import encode_items
from server import native
from training.examples import read_learning_data
from training.metrics import RECALL_K
from training.trained import open_run

faiss: Any = faiss_module  # Its type stubs lag the library.

BATCHES: Final = (1, 32)
_USER_COUNT: Final = 256  # Users of one timed pass; a whole number of the largest batch.

Call = Callable[[slice], object]


@dataclass(frozen=True)
class Form:
    """One row: a form of the user tower or of the vectors.

    Attributes:
        part: "user tower" or "vectors".
        name: the form.
        byte_count: what it takes on disk.
        us: CPU time of a request by batch, median over the passes.
        us_low, us_high: quartiles.
        cost: its lists beside those of float32.
        faults: what the gate of export has against it; empty where it accepts the form.
    """

    part: str
    name: str
    byte_count: int
    us: dict[int, float]
    us_low: dict[int, float]
    us_high: dict[int, float]
    cost: QuantisationCost
    faults: Sequence[str]


@dataclass(frozen=True)
class _Subject:
    """A form before it is timed: `call` answers a slice of users."""

    part: str
    name: str
    byte_count: int
    call: Call
    cost: QuantisationCost


def measure(run: Path, data: Path, limits: QualityLimits, *, pass_count: int) -> list[Form]:
    """Measures a run of the two towers on its data.

    Args:
        run: what training wrote.
        data: the data set that the run learned from.
        limits: what the gate accepts.
        pass_count: timed passes over every form, at least 2.
    """
    trained, learning_data = open_run(run), read_learning_data(data)
    items = embed_all(
        trained.towers.item_tower,
        encode_items(trained.spec, trained.vocabulary, learning_data.products).feed(),
    )
    judges = choose_judges(trained, learning_data)
    users = embed_all(trained.towers.user_tower, judges.inputs)
    exact = in_float32(users, items)
    subjects = []
    graph = write_graph(trained.towers.user_tower, judges.inputs, output="user_vector")
    for name, tower in list_towers(graph, judges.inputs).items():
        session = open_session(tower)
        cost = measure_cost(exact, in_float32(embed_rows(session, judges.inputs), items), judges)
        subjects.append(_Subject("user tower", name, len(tower), _make_tower(session, judges.inputs), cost))
    scales = choose_scales(trained.config, users, items)
    int32, int8 = in_int32(users, items, **scales), in_int8(users, items, **scales)
    searches = list_searches(users, items, int32, int8)
    costs = {
        "float32": measure_cost(exact, exact, judges),
        "int32": measure_cost(exact, int32, judges),
        "int8": measure_cost(exact, int8, judges),
        "int8 scan, int32 scores": measure_cost(exact, int32, judges, scan=int8),
    }
    for name, (byte_count, call) in searches.items():
        subjects.append(_Subject("vectors", name, byte_count, call, costs[name]))
    return _time_in_turns(subjects, limits, pass_count, min(_USER_COUNT, len(users)))


def list_searches(
    users: NDArray[np.float32], items: NDArray[np.float32], int32: Vectors, int8: Vectors
) -> dict[str, tuple[int, Call]]:
    """Lists the ways to find a user's best 20 of all products, with the bytes of the items' vectors.

    Args:
        users: float32 [users, dim].
        items: float32 [products, dim].
        int32: both as integers.
        int8: both as smaller ones.
    """
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    every = np.arange(len(items), dtype=np.int64)
    fine_users, fine = int32.users.astype(np.int32), int32.items.astype(np.int32)
    coarse_users, coarse = int8.users.astype(np.int8), int8.items.astype(np.int8)

    def select(user: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[native.select(native.rescore(user, fine, rows), rows, k=RECALL_K)]

    def scan(chunk: slice, count: int) -> NDArray[np.int64]:
        asked = coarse_users[chunk]
        starts, stops = np.zeros(len(asked), np.int64), np.full(len(asked), len(items), np.int64)
        return native.scan(asked, coarse, starts, stops, count=min(count, len(items)))[0]

    def search(chunk: slice) -> object:
        candidates = scan(chunk, CANDIDATE_COUNT)
        return [select(user, rows) for user, rows in zip(fine_users[chunk], candidates, strict=True)]

    return {
        "float32": (items.nbytes, lambda chunk: flat.search(users[chunk], RECALL_K)[1]),
        "int32": (fine.nbytes, lambda chunk: [select(user, every) for user in fine_users[chunk]]),
        "int8": (coarse.nbytes, lambda chunk: scan(chunk, RECALL_K)),
        "int8 scan, int32 scores": (coarse.nbytes + fine.nbytes, search),
    }


def _make_tower(session: Any, inputs: Any) -> Call:
    return lambda chunk: session.run(None, {name: value[chunk] for name, value in inputs.items()})


def _time_in_turns(
    subjects: Sequence[_Subject], limits: QualityLimits, pass_count: int, user_count: int
) -> list[Form]:
    """Times all forms in turns, so that what disturbs the machine disturbs them alike."""
    times: dict[tuple[int, int], list[float]] = {
        (place, batch): [] for place in range(len(subjects)) for batch in BATCHES
    }
    for _ in range(pass_count):
        for (place, batch), found in times.items():
            found.append(_time_pass(subjects[place].call, batch, user_count))
    forms = []
    for place, subject in enumerate(subjects):
        quartiles = {
            batch: statistics.quantiles(times[place, batch], n=4, method="inclusive") for batch in BATCHES
        }
        low, middle, high = ({batch: each[which] for batch, each in quartiles.items()} for which in range(3))
        faults = list(find_faults(subject.cost, limits))
        forms.append(
            Form(subject.part, subject.name, subject.byte_count, middle, low, high, subject.cost, faults)
        )
    return forms


def _time_pass(call: Call, batch: int, user_count: int) -> float:
    """Returns microseconds of CPU time per user, of all threads."""
    start_ns = time.process_time_ns()
    for start in range(0, user_count, batch):
        call(slice(start, min(start + batch, user_count)))
    return (time.process_time_ns() - start_ns) / 1e3 / user_count
