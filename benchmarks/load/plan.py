"""What a load run is asked to do and what it found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.errors import BenchmarkInputError

DURATION_S_MAX = 600.0
REQUEST_COUNT_MAX = 2_000_000
CLIENT_COUNT_MAX = 64
IN_FLIGHT_LIMIT = 2048
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class LoadPlan:
    """One load run.

    Attributes:
        target: `host:port` of the server; loopback only, since the driver means to overload it.
        requests: serialized RecommendRequest messages to draw from, with replacement.
        mode: closed: each caller sends its next request when the last is answered;
            open: requests are sent at times fixed beforehand, whether or not the server keeps up.
        concurrency: closed loop: callers over all client processes.
        rate: open loop: requests per second over all client processes, Poisson arrivals.
        client_count: client processes.
        duration_s: how long requests are sent.
        request_count_max: requests over all clients after which sending stops.
        timeout_s: deadline of each call.
        seed: draws requests and arrival times.
        keep_answers: whether clients keep every distinct answer, to be checked after the run.
    """

    target: str
    requests: tuple[bytes, ...]
    mode: Literal["closed", "open"]
    concurrency: int = 1
    rate: float = 100.0
    client_count: int = 2
    duration_s: float = 5.0
    request_count_max: int = 200_000
    timeout_s: float = 10.0
    seed: int = 1
    keep_answers: bool = False

    def __post_init__(self) -> None:
        if self.target.rpartition(":")[0] not in LOOPBACK_HOSTS:
            expected = ", ".join(LOOPBACK_HOSTS)
            raise BenchmarkInputError(f"target is {self.target!r}; expected a port on {expected}")
        if not self.requests:
            raise BenchmarkInputError("requests are empty; expected at least one serialized request")
        limits: tuple[tuple[str, float, float, float], ...] = (
            ("client_count", self.client_count, 1, CLIENT_COUNT_MAX),
            ("concurrency", self.concurrency, 1, IN_FLIGHT_LIMIT),
            ("rate", self.rate, 0.1, 1_000_000.0),
            ("duration_s", self.duration_s, 0.05, DURATION_S_MAX),
            ("request_count_max", self.request_count_max, 1, REQUEST_COUNT_MAX),
            ("timeout_s", self.timeout_s, 0.01, DURATION_S_MAX),
        )
        for name, value, low, high in limits:
            if not low <= value <= high:
                raise BenchmarkInputError(f"{name} is {value}; expected {low} to {high}")


@dataclass(frozen=True)
class ClientReport:
    """What one client process saw.

    Attributes:
        latencies_s: seconds of each answered call; open loop: from the time it was meant to be sent.
        error_counts: failed calls by reason.
        start_s, end_s: system-wide monotonic clock at the first intended send and the last answer.
        answers: distinct answers, as the number of the request in the plan and the serialized answer.
    """

    latencies_s: tuple[float, ...]
    error_counts: Mapping[str, int]
    start_s: float
    end_s: float
    answers: frozenset[tuple[int, bytes]] = frozenset()


@dataclass(frozen=True)
class LoadResult:
    """What all clients of one run saw together.

    Attributes:
        mode: closed or open.
        concurrency: callers of a closed loop; 0 in an open loop.
        offered_rate: requests per second meant to be sent; 0 in a closed loop.
        answered_count: calls answered OK.
        error_counts: failed calls by reason.
        elapsed_s: from the first intended send to the last answer.
        requests_per_s: answered calls per second.
        latency_ms_p50, latency_ms_p95, latency_ms_p99, latency_ms_max: of answered calls; 0 without any.
        server_cpu_us_per_request: CPU time of the whole server process over answered calls.
        checked_count: distinct answers that were checked; 0 where the plan keeps none.
        faulty_count: those of them in which the check found a fault; must be 0.
    """

    mode: str
    concurrency: int
    offered_rate: float
    answered_count: int
    error_counts: Mapping[str, int]
    elapsed_s: float
    requests_per_s: float
    latency_ms_p50: float
    latency_ms_p95: float
    latency_ms_p99: float
    latency_ms_max: float
    server_cpu_us_per_request: float
    checked_count: int = 0
    faulty_count: int = 0

    @property
    def error_count(self) -> int:
        """Returns the number of failed calls."""
        return sum(self.error_counts.values())
