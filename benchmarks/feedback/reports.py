"""Sends events to a server from threads of this process, as bytes made beforehand, and times the answers."""

import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import numpy as np
from prudence.v1 import feedback_pb2, profile_pb2, recommendation_pb2

_TIMEOUT_S: Final = 30.0
_CLICK: Final = profile_pb2.EVENT_TYPE_CLICK


@dataclass(frozen=True)
class Throughput:
    """What callers in a closed loop reached.

    Attributes:
        batch_count: events of a call.
        caller_count: callers, each with one call at a time.
        accepted_count: events that were acknowledged as accepted.
        other_count: events with any other verdict; must be 0.
        elapsed_s: from the first call to the last answer.
        events_per_s: accepted ones.
        latency_ms_p50, latency_ms_p99: of calls.
        commit_count: times that log and store were made durable, by the server's own count.
    """

    batch_count: int
    caller_count: int
    accepted_count: int
    other_count: int
    elapsed_s: float
    events_per_s: float
    latency_ms_p50: float
    latency_ms_p99: float
    commit_count: int = 0


@dataclass(frozen=True)
class Freshness:
    """How soon answers knew of events.

    Attributes:
        event_rate: events per second beside, of other users.
        request_rate: Recommend requests per second beside.
        probe_count: events that were followed to the next answer of their user.
        stale_count: answers after the acknowledgement that did not know of the event; must be 0.
        changed_count: answers in which the score of a product that stayed changed, too.
        latency_ms_p50, latency_ms_p99, latency_ms_max: from sending the event to having the changed answer.
        events_recorded_per_s: what the events beside reached.
        requests_answered_per_s: what the requests beside reached.
    """

    event_rate: float
    request_rate: float
    probe_count: int
    stale_count: int
    changed_count: int
    latency_ms_p50: float
    latency_ms_p99: float
    latency_ms_max: float
    events_recorded_per_s: float
    requests_answered_per_s: float


def make_event(user_id: str, product_id: str) -> feedback_pb2.Event:
    """Makes a click with an id of its own, at the time of its receipt."""
    return feedback_pb2.Event(
        event_id=uuid.uuid4().hex, user_id=user_id, product_id=product_id, event_type=_CLICK
    )


def make_batches(
    users: Sequence[str], products: Sequence[str], batch_count: int, total: int, seed: int
) -> list[bytes]:
    """Makes serialized calls of distinct events of random users and products."""
    rng = np.random.default_rng(seed)
    drawn_users = rng.integers(len(users), size=total)
    drawn_products = rng.integers(len(products), size=total)
    events = [
        make_event(users[user], products[product])
        for user, product in zip(drawn_users.tolist(), drawn_products.tolist(), strict=True)
    ]
    return [
        feedback_pb2.RecordEventsRequest(events=events[start : start + batch_count]).SerializeToString()
        for start in range(0, total, batch_count)
    ]


def measure_throughput(
    target: str, batches: Sequence[bytes], caller_count: int, batch_count: int
) -> Throughput:
    """Sends every batch once, `caller_count` at a time."""
    verdicts: list[int] = []
    latencies_s: list[float] = []
    lock, left = threading.Lock(), iter(batches)
    with grpc.insecure_channel(target) as channel:
        record = channel.unary_unary(
            "/prudence.v1.FeedbackService/RecordEvents", request_serializer=None, response_deserializer=None
        )

        def call() -> None:
            while True:
                with lock:
                    batch = next(left, None)
                if batch is None:
                    return
                start_s = time.perf_counter()
                answer = record(batch, timeout=_TIMEOUT_S)
                elapsed_s = time.perf_counter() - start_s
                results = feedback_pb2.RecordEventsResponse.FromString(answer).results
                with lock:
                    latencies_s.append(elapsed_s)
                    verdicts.extend(result.verdict for result in results)

        threads = [threading.Thread(target=call) for _ in range(caller_count)]
        start_s = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed_s = time.perf_counter() - start_s
    accepted = verdicts.count(feedback_pb2.EVENT_VERDICT_ACCEPTED)
    p50, p99 = np.percentile(latencies_s, [50, 99]) * 1e3
    return Throughput(
        batch_count=batch_count,
        caller_count=caller_count,
        accepted_count=accepted,
        other_count=len(verdicts) - accepted,
        elapsed_s=elapsed_s,
        events_per_s=accepted / elapsed_s,
        latency_ms_p50=float(p50),
        latency_ms_p99=float(p99),
    )


class Prober:
    """Follows events to the next answer of their users."""

    def __init__(self, target: str) -> None:
        """Opens a channel of its own."""
        self._channel = grpc.insecure_channel(target)
        self._record: Any = self._channel.unary_unary(
            "/prudence.v1.FeedbackService/RecordEvents",
            request_serializer=feedback_pb2.RecordEventsRequest.SerializeToString,
            response_deserializer=feedback_pb2.RecordEventsResponse.FromString,
        )
        self._recommend: Any = self._channel.unary_unary(
            "/prudence.v1.RecommendationService/Recommend",
            request_serializer=recommendation_pb2.RecommendRequest.SerializeToString,
            response_deserializer=recommendation_pb2.RecommendResponse.FromString,
        )
        self.latencies_s: list[float] = []
        self.stale_count = self.changed_count = 0

    def probe(self, user_id: str) -> None:
        """Clicks on the first product of the user's list: the next list must be without it."""
        before = self._list(user_id)
        if not before:
            return
        clicked = next(iter(before))
        start_s = time.perf_counter()
        self._record(
            feedback_pb2.RecordEventsRequest(events=[make_event(user_id, clicked)]), timeout=_TIMEOUT_S
        )
        after = self._list(user_id)
        self.latencies_s.append(time.perf_counter() - start_s)
        self.stale_count += clicked in after
        self.changed_count += any(before[name] != score for name, score in after.items() if name in before)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _list(self, user_id: str) -> dict[str, int]:
        request = recommendation_pb2.RecommendRequest(user=profile_pb2.User(user_id=user_id), k=10)
        answer = self._recommend(request, timeout=_TIMEOUT_S)
        return {product.product_id: product.score for product in answer.products}
