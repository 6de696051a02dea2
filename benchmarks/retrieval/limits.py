"""What the machine can do at most, and what scoring and selecting cost."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.retrieval.catalogue import Catalogue
from benchmarks.retrieval.truth import BATCH, K

RESCORE_COUNT: Final = 200
"""Candidates of each request whose scoring is timed."""

_INT8_PER_FLOAT32: Final = 4
"""Products of int8 in a register of the widest instruction for each of float32 in one."""
_PASSES: Final = 9
_MATRIX_SIDE: Final = 64  # BLAS shares larger products among threads.
_MATRIX_COUNT: Final = 4_096


@dataclass(frozen=True)
class RescoreTime:
    """Scoring RESCORE_COUNT candidates of each request of a batch and selecting K.

    Attributes:
        item_count: size of the catalogue they are scattered over.
        us: CPU time per request, median.
        us_low, us_high: quartiles.
    """

    item_count: int
    us: float
    us_low: float
    us_high: float


@dataclass(frozen=True)
class MachineLimits:
    """What one core can do, by CPU time.

    Attributes:
        read_gb_s: reading memory: a plain sum.
        copy_gb_s: copying memory, counting bytes read and written.
        float32_products_s: multiplications of a float32 matrix product.
        int8_products_s: estimate of those of int8: four times as many fit in a register.
    """

    read_gb_s: float
    copy_gb_s: float
    float32_products_s: float
    int8_products_s: float


def measure_rescore(catalogue: Catalogue, pass_count: int) -> RescoreTime:
    """Times what a server does to score and select scattered candidates, the calls from Python included."""
    scorer = catalogue.scorer
    random = np.random.default_rng(0)
    chunks = catalogue.users.chunks(min(BATCH, len(catalogue.users)))
    candidate_count = min(RESCORE_COUNT, catalogue.count)
    times = []
    for number in range(max(2, pass_count * 3)):
        users = chunks[number % len(chunks)]
        candidates = np.stack(
            [random.choice(catalogue.count, candidate_count, replace=False) for _ in range(len(users))]
        )
        start_ns = time.process_time_ns()
        for code, rows in zip(users.codes, candidates, strict=True):
            scorer.order(rows, scorer.score(code, rows), K)
        times.append((time.process_time_ns() - start_ns) / 1e3 / len(users))
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return RescoreTime(catalogue.count, middle, low, high)


def measure_limits(byte_count: int) -> MachineLimits:
    """Measures the machine over buffers of a size, which should be far above its caches."""
    source = np.ones(byte_count // 8, np.int64)
    target = np.empty_like(source)
    left = np.ones((_MATRIX_COUNT, _MATRIX_SIDE, _MATRIX_SIDE), np.float32)
    product = np.empty_like(left)
    matrix_s = _best(lambda: np.matmul(left, left[0], out=product))
    products_s = _MATRIX_COUNT * _MATRIX_SIDE**3 / matrix_s
    return MachineLimits(
        read_gb_s=source.nbytes / _best(lambda: np.add.reduce(source)) / 1e9,
        copy_gb_s=2 * source.nbytes / _best(lambda: np.copyto(target, source)) / 1e9,
        float32_products_s=products_s,
        int8_products_s=products_s * _INT8_PER_FLOAT32,
    )


def _best(call: Callable[[], object]) -> float:
    """Returns the least CPU seconds of a call, since it is a limit that is asked for."""
    times = []
    for _ in range(_PASSES):
        start_ns = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - start_ns)
    return min(times) / 1e9
