"""Measures a server with a feedback log: throughput, and freshness under load."""

import itertools
import re
import threading
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import grpc
import numpy as np
from prudence.v1 import profile_pb2, recommendation_pb2

from benchmarks.errors import BenchmarkInputError
from benchmarks.feedback.reports import Freshness, Prober, Throughput, make_batches, measure_throughput
from benchmarks.load.driver import run_load
from benchmarks.load.plan import LoadPlan

SHAPES: Final = ((1, 64), (10, 32), (100, 16), (1000, 4))
"""Events of a call, and callers."""
EVENTS_OF_A_CALL: Final = 10
_TIMEOUT_S: Final = 30.0
_COMMITS: Final = re.compile(r"^prudence_feedback_commit_seconds_count (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A server that is ready, and what events are about.

    Attributes:
        target: of the server.
        metrics: address of its metrics page.
        users: stored users.
        products: of the catalogue.
    """

    target: str
    metrics: str
    users: tuple[str, ...]
    products: tuple[str, ...]


def measure_shapes(place: Place, event_count: int, seed: int) -> list[Throughput]:
    """Measures calls of every shape, each with events of its own.

    Args:
        place: the server.
        event_count: events of a shape; calls of one event send a fifth of them.
        seed: draws users and products.
    """
    found = []
    for batch_count, caller_count in SHAPES:
        total = event_count // 5 if batch_count == 1 else event_count
        batches = make_batches(place.users, place.products, batch_count, total, seed)
        before = count_commits(place.metrics)
        measured = measure_throughput(place.target, batches, caller_count, batch_count)
        found.append(replace(measured, commit_count=count_commits(place.metrics) - before))
    return found


def measure_freshness(
    place: Place, probe_count: int, event_rate: float, request_rate: float, seed: int
) -> tuple[Freshness, list[float]]:
    """Follows events of some users while others report and ask.

    Args:
        place: the server.
        probe_count: events to follow, one after the other.
        event_rate: events per second beside.
        request_rate: requests per second beside.
        seed: draws users and products.

    Returns:
        what was found, and each time from event to answer in milliseconds.
    """
    rng = np.random.default_rng(seed)
    users = [place.users[row] for row in rng.permutation(len(place.users)).tolist()]
    probed, others = users[: len(users) // 4], users[len(users) // 4 :]
    prober, stop = Prober(place.target), threading.Event()
    sent: list[int] = []
    duration_s = max(5.0, probe_count * 0.04)
    # Made beforehand: making them would compete with what is measured.
    total = int(event_rate * (duration_s + 10.0))
    batches = make_batches(others, place.products, EVENTS_OF_A_CALL, total, seed)
    beside = threading.Thread(target=_report, args=(place.target, batches, event_rate, stop, sent))
    plan = LoadPlan(
        target=place.target,
        requests=tuple(_ask(user) for user in others),
        mode="open",
        rate=request_rate,
        client_count=1,
        duration_s=duration_s,
        seed=seed,
    )
    answered: list[float] = []
    asking = threading.Thread(target=lambda: answered.append(run_load(plan).requests_per_s))
    asking.start()
    beside.start()
    # The client process of the requests beside needs a while to start.
    time.sleep(2.0)
    start_s = time.perf_counter()
    for user in itertools.islice(itertools.cycle(probed), probe_count):
        prober.probe(user)
        if time.perf_counter() - start_s > duration_s:
            break
    elapsed_s = time.perf_counter() - start_s
    stop.set()
    beside.join()
    asking.join()
    prober.close()
    if not answered:
        raise BenchmarkInputError("the requests beside failed; what they met is above")
    p50, p99, longest = np.percentile(prober.latencies_s, [50, 99, 100]) * 1e3
    fresh = Freshness(
        event_rate=event_rate,
        request_rate=request_rate,
        probe_count=len(prober.latencies_s),
        stale_count=prober.stale_count,
        changed_count=prober.changed_count,
        latency_ms_p50=float(p50),
        latency_ms_p99=float(p99),
        latency_ms_max=float(longest),
        events_recorded_per_s=sum(sent) / (elapsed_s + 2.0),
        requests_answered_per_s=answered[0],
    )
    return fresh, [latency_s * 1e3 for latency_s in prober.latencies_s]


def count_commits(address: str) -> int:
    """Returns how often the server has made log and store durable."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=_TIMEOUT_S) as answer:
        found = _COMMITS.search(answer.read().decode())
    assert found is not None, "a server with a log has the metric"
    return int(float(found[1]))


def _ask(user_id: str) -> bytes:
    request = recommendation_pb2.RecommendRequest(user=profile_pb2.User(user_id=user_id), k=10)
    return request.SerializeToString()


def _report(
    target: str, batches: Sequence[bytes], rate: float, stop: threading.Event, sent: list[int]
) -> None:
    """Sends calls of events at fixed times until it is told to stop, whether or not the server keeps up."""
    with grpc.insecure_channel(target) as channel:
        record = channel.unary_unary(
            "/prudence.v1.FeedbackService/RecordEvents", request_serializer=None, response_deserializer=None
        )
        start_s = time.perf_counter()
        calls = []
        for number, batch in enumerate(batches):
            wait_s = start_s + number * EVENTS_OF_A_CALL / rate - time.perf_counter()
            if stop.wait(max(0.0, wait_s)):
                break
            calls.append(record.future(batch, timeout=_TIMEOUT_S))
        sent.append(EVENTS_OF_A_CALL * sum(call.exception() is None for call in calls))
