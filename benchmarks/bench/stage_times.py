"""Measures where the time of a request goes: the server's own stages, and the rest around them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.errors import BenchmarkInputError
from benchmarks.serving import Stub

WARMUP_COUNT = 50
CALL_TIMEOUT_S = 30.0
REST = "everything else"
"""Both ends of gRPC, the way between threads, reading and writing messages, counting what was withheld."""


@dataclass(frozen=True)
class StageResult:
    """What one stage of a request takes, over many requests of one caller.

    Attributes:
        stage: name in the server's trace, or REST.
        p50_us, p95_us: time, each of its own distribution.
        share: of the sum over all requests.
    """

    stage: str
    p50_us: float
    p95_us: float
    share: float


def measure_stages(stub: Stub, requests: Sequence[bytes], *, count: int) -> list[StageResult]:
    """Sends requests one after the other, each with a trace.

    Args:
        stub: the server.
        requests: serialized RecommendRequest messages; used in turn.
        count: requests to measure, after some that are not.
    """
    if count < 1:
        raise BenchmarkInputError(f"count is {count}; expected at least 1")
    names: list[str] = []
    times = []
    for position in range(WARMUP_COUNT + count):
        request = pb.RecommendRequest.FromString(requests[position % len(requests)])
        request.include_trace = True
        start_s = time.perf_counter()
        answer = stub.Recommend(request, timeout=CALL_TIMEOUT_S)
        elapsed_s = time.perf_counter() - start_s
        stages = {each.stage: each.elapsed.seconds + each.elapsed.nanos / 1e9 for each in answer.trace.stages}
        names = [*stages, REST]
        times.append([*stages.values(), max(0.0, elapsed_s - sum(stages.values()))])
    return summarise(names, np.array(times[WARMUP_COUNT:]))


def summarise(names: Sequence[str], times_s: NDArray[np.float64]) -> list[StageResult]:
    """Summarises the seconds of each stage, float64 [requests, stages]."""
    total_s = times_s.sum()
    return [
        StageResult(
            stage=name,
            p50_us=float(np.median(column)) * 1e6,
            p95_us=float(np.percentile(column, 95)) * 1e6,
            share=float(column.sum() / total_s) if total_s > 0 else 0.0,
        )
        for name, column in zip(names, times_s.T, strict=True)
    ]
