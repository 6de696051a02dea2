"""What is measured on a GPU with a bundle: the tower, its index, and both in one process.

Each case compares the GPU with the CPU before any speed is reported. A case whose device or library is not
there gives a line that says so; nothing is estimated.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.bundle_scorer import USER_VECTOR, open_tower
from index import ann_gpu
from index.ann import load_index
from index.ann_index import AnnIndex
from index.bundle import Bundle
from index.device_matrix import DeviceMatrix
from index.errors import AnnDeviceError
from server.encoder import Encoder, copy_to_gpu
from server.errors import DeviceError

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
BATCHES = (1, 16, 64)
PREFIX_FRACTIONS = (0.01, 0.1, 0.5, 1.0)
CANDIDATE_COUNT = 100
REPEAT_COUNT = 30
WARM_UP_COUNT = 5
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class GpuCase:
    """One measurement.

    Attributes:
        name: what was measured, on which size.
        status: "measured" or "not measured".
        note: what ran, or why nothing was measured.
        cpu_ms, gpu_ms: median time of one call; None if not measured. CPU time is that of one thread.
        agreement: tower: largest relative difference of a vector; index: share of the exact candidates that
            the GPU found; None if not measured.
    """

    name: str
    status: str
    note: str
    cpu_ms: float | None = None
    gpu_ms: float | None = None
    agreement: float | None = None


def run_suite(bundle: Bundle) -> list[GpuCase]:
    """Runs every case on a bundle; on a machine without a GPU every case is "not measured"."""
    cases = [_measure_together(bundle), _try_selector()]
    cases += [_measure_tower(bundle, batch) for batch in BATCHES]
    cases += [_measure_hand_over(bundle, batch) for batch in BATCHES]
    cases += [
        _measure_index(bundle, fraction, batch)
        for fraction in PREFIX_FRACTIONS
        for batch in (BATCHES[0], BATCHES[-1])
    ]
    return cases


def _measure_together(bundle: Bundle) -> GpuCase:
    """Whether onnxruntime-gpu and faiss-gpu load and run in one process."""
    name = "tower and index on the GPU in one process"
    try:
        session = _open_gpu_tower(bundle)
        index = load_index(bundle.read_index(), device="cuda")
    except (BenchmarkInputError, AnnDeviceError) as error:
        return GpuCase(name, NOT_MEASURED, str(error))
    vectors = session.run([USER_VECTOR], make_feed(bundle, 1))[0]
    index.search(vectors, CANDIDATE_COUNT, 0, bundle.products.count)
    return GpuCase(name, "measured", f"{CUDA} and {index.kind} ran together")


def _try_selector() -> GpuCase:
    """What faiss on the GPU makes of a selector; no search of ours relies on it."""
    name = "an IDSelector given to an inverted file on the GPU"
    try:
        return GpuCase(name, "measured", f"it is {ann_gpu.try_selector_on_gpu()}")
    except AnnDeviceError as error:
        return GpuCase(name, NOT_MEASURED, str(error))


def _measure_hand_over(bundle: Bundle, batch: int) -> GpuCase:
    """From the tower to a search of the GPU's matrix: the vectors stay there, or pass through the host.

    The column of the CPU is the way through the host; both run on the GPU.
    """
    name = f"tower, then matrix: in place against through the host, batch {batch}"
    try:
        encoder = Encoder(bundle.user_tower, device="cuda", thread_count=1)
        search = open_matrix(bundle.item_vectors.astype(np.float32))
    except (DeviceError, AnnDeviceError) as error:
        return GpuCase(name, NOT_MEASURED, str(error))
    feed = make_feed(bundle, batch)
    count = min(CANDIDATE_COUNT, bundle.products.count - 1)

    def through_host() -> NDArray[np.int64]:
        return search.search(encoder.embed(feed), count, 0, bundle.products.count)

    def in_place() -> NDArray[np.int64]:
        vectors, on_device = encoder.embed_in_place(feed)
        return search.search(vectors, count, 0, bundle.products.count, on_device=on_device)

    return GpuCase(
        name,
        "measured",
        search.kind,
        cpu_ms=time_call(through_host),
        gpu_ms=time_call(in_place),
        agreement=share_found(through_host(), in_place()),
    )


def _measure_tower(bundle: Bundle, batch: int) -> GpuCase:
    name = f"user tower, batch {batch}"
    try:
        gpu = _open_gpu_tower(bundle)
    except BenchmarkInputError as error:
        return GpuCase(name, NOT_MEASURED, str(error))
    cpu = open_tower(bundle.user_tower, thread_count=1, provider=CPU)
    feed = make_feed(bundle, batch)
    expected, found = (session.run([USER_VECTOR], feed)[0] for session in (cpu, gpu))
    return GpuCase(
        name,
        "measured",
        CUDA,
        cpu_ms=time_call(lambda: cpu.run([USER_VECTOR], feed)),
        gpu_ms=time_call(lambda: gpu.run([USER_VECTOR], feed)),
        agreement=relative_difference(expected, found),
    )


def _measure_index(bundle: Bundle, fraction: float, batch: int) -> GpuCase:
    """Searches a prefix of the rows, as a risk limit makes one."""
    row_stop = max(1, round(bundle.products.count * fraction))
    name = f"index, first {fraction:.0%} of the rows, batch {batch}"
    try:
        gpu = _open_index(bundle, "cuda")
    except AnnDeviceError as error:
        return GpuCase(name, NOT_MEASURED, str(error))
    cpu = _open_index(bundle, "cpu")
    queries = make_queries(bundle, batch)
    found = gpu.search(queries, CANDIDATE_COUNT, 0, row_stop)
    items = bundle.item_vectors[:row_stop]  # [rows, dim]
    exact = search_exactly(queries, items, CANDIDATE_COUNT)
    return GpuCase(
        name,
        "measured",
        gpu.kind,
        cpu_ms=time_call(lambda: cpu.search(queries, CANDIDATE_COUNT, 0, row_stop)),
        gpu_ms=time_call(lambda: gpu.search(queries, CANDIDATE_COUNT, 0, row_stop)),
        agreement=share_found(exact, found),
    )


def open_matrix(vectors: NDArray[np.float32]) -> AnnIndex:
    """Copies vectors to the GPU and returns their exact search.

    Raises:
        DeviceError, AnnDeviceError: there is no GPU, or a library for it is not installed.
    """
    pointer, owner = copy_to_gpu(vectors)
    return ann_gpu.search_matrix(DeviceMatrix(pointer, len(vectors), vectors.shape[1], owner))


def _open_gpu_tower(bundle: Bundle) -> onnxruntime.InferenceSession:
    available = onnxruntime.get_available_providers()
    if CUDA not in available:
        raise BenchmarkInputError(f"the installed onnxruntime {onnxruntime.__version__} has no {CUDA}")
    return open_tower(bundle.user_tower, thread_count=1, provider=CUDA)


def _open_index(bundle: Bundle, device: Literal["cpu", "cuda"]) -> AnnIndex:
    return load_index(bundle.read_index(), device=device)


def make_feed(bundle: Bundle, batch: int) -> dict[str, NDArray[Any]]:
    """Makes tower inputs from the bundle's golden requests, repeated to fill the batch."""
    requests = bundle.golden.requests
    rows = [requests[position % len(requests)].inputs for position in range(batch)]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def make_queries(bundle: Bundle, batch: int) -> NDArray[np.float32]:
    """Makes queries from the user vectors of the bundle's golden requests, float32 [batch, dim]."""
    requests = bundle.golden.requests
    vectors = [requests[position % len(requests)].user_vector for position in range(batch)]
    return np.stack(vectors).astype(np.float32)


def time_call(call: Callable[[], object]) -> float:
    """Returns the median milliseconds of a call, after warming up."""
    for _ in range(WARM_UP_COUNT):
        call()
    times: list[float] = []
    for _ in range(REPEAT_COUNT):
        start_s = time.perf_counter()
        call()
        times.append((time.perf_counter() - start_s) * 1e3)
    return float(np.median(times))


def search_exactly(
    queries: NDArray[np.float32], items: NDArray[np.int32], candidate_count: int
) -> NDArray[np.int64]:
    """Returns the rows of the largest inner products, int64 [batch, <= candidate_count]."""
    scores = queries.astype(np.float64) @ items.astype(np.float64).T  # [batch, n]
    return np.argsort(-scores, axis=1, kind="stable")[:, :candidate_count].astype(np.int64)


def share_found(expected: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """Returns the share of the expected rows that were found, over all queries."""
    hits = sum(
        len(set(one.tolist()) & set(other.tolist())) for one, other in zip(expected, found, strict=True)
    )
    return hits / expected.size


def relative_difference(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Returns the largest distance of two vectors over the length of the expected one."""
    distance = np.linalg.norm(expected - found, axis=1)  # [batch]
    length = np.linalg.norm(expected, axis=1)  # [batch]
    return float(np.max(distance / np.maximum(length, np.finfo(np.float32).tiny)))


def count_measured(cases: Sequence[GpuCase]) -> int:
    """Returns how many cases were measured."""
    return sum(case.status != NOT_MEASURED for case in cases)
