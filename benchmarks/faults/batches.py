"""Callers who ask in batches, one after the other: many requests a second, each answer kept to be judged."""

import threading
from typing import Final

import grpc
import numpy as np
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.ground import Ground

METHOD: Final = "/prudence.v1.RecommendationService/BatchRecommend"
REQUEST_COUNT: Final = 64
"""Of one call."""
CALLER_COUNT: Final = 4
CALL_S_MAX: Final = 30.0


class BatchCallers:
    """Asks questions in batches in a closed loop, from several threads, while the block runs."""

    def __init__(self, ground: Ground, target: str, seed: int) -> None:
        """Asks nothing yet."""
        self._requests = [pb.RecommendRequest.FromString(request) for request in ground.requests]
        self._target = target
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(np.random.default_rng([seed, number]),), daemon=True)
            for number in range(CALLER_COUNT)
        ]
        self.answers: set[tuple[int, bytes]] = set()
        self.counts = {
            "calls of batches": 0,
            "requests answered": 0,
            "batches of two bundles": 0,
            "others failed": 0,
            "others refused, OVERLOADED": 0,
        }

    def __enter__(self) -> "BatchCallers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, random: np.random.Generator) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(self._target, options=options) as channel:
            call = channel.unary_unary(
                METHOD,
                request_serializer=pb.BatchRecommendRequest.SerializeToString,
                response_deserializer=pb.BatchRecommendResponse.FromString,
            )
            while not self._ended.is_set():
                chosen = random.integers(len(self._requests), size=REQUEST_COUNT).tolist()
                batch = pb.BatchRecommendRequest(requests=[self._requests[number] for number in chosen])
                try:
                    results = call(batch, timeout=CALL_S_MAX).results
                except grpc.RpcError as error:
                    self._count_refused(overloaded=error.code() is grpc.StatusCode.UNAVAILABLE)
                else:
                    self._count(chosen, [each.response for each in results if each.HasField("response")])

    def _count_refused(self, *, overloaded: bool) -> None:
        with self._lock:
            self.counts["others refused, OVERLOADED" if overloaded else "others failed"] += REQUEST_COUNT

    def _count(self, chosen: list[int], responses: list[pb.RecommendResponse]) -> None:
        """Counts a batch; one with an error in it has fewer responses than requests, and its rest failed."""
        answered = zip(chosen, (response.SerializeToString() for response in responses), strict=False)
        versions = {response.decision.bundle_version for response in responses}
        with self._lock:
            self.answers.update(answered)
            self.counts["calls of batches"] += 1
            self.counts["requests answered"] += len(responses)
            self.counts["batches of two bundles"] += len(versions) > 1
            self.counts["others failed"] += REQUEST_COUNT - len(responses)
