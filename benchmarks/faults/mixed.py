"""Test 20: requests of every kind at once, and in batches: each is answered as it is alone."""

import threading
import time
from typing import TYPE_CHECKING, Final

import grpc
import numpy as np
from google.protobuf.message import Message
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, beside_others
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import run_server

REQUEST_COUNT: Final = 1_000_000
SINGLES_A_TURN: Final = 32
BATCHES_A_TURN: Final = 6
BATCH_COUNT: Final = 64
UNDER_WAY_MAX: Final = 4
THREAD_COUNT: Final = 128
NAMED_COUNT: Final = 20
CALL_S_MAX: Final = 30.0
SERVICE: Final = "/prudence.v1.RecommendationService/"
METHODS: Final = ("Recommend", "ScoreProducts", "SimilarProducts", "CheckEligibility")

if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Future = grpc.Future[bytes]


def ask_of_all_kinds(ground: Ground, seed: int) -> list[tuple[str, bytes]]:
    """Returns every question as a request of each method, with the method's name."""
    random = np.random.default_rng(seed)
    asked: list[tuple[str, bytes]] = []
    for question in ground.questions:
        whole = pb.RecommendRequest.FromString(question.request)
        names = sorted(random.choice(ground.product_ids, size=NAMED_COUNT, replace=False).tolist())
        requests: tuple[Message, ...] = (
            whole,
            pb.ScoreProductsRequest(user=whole.user, product_ids=names, context=whole.context),
            pb.SimilarProductsRequest(user=whole.user, product_id=names[0], k=whole.k, context=whole.context),
            pb.CheckEligibilityRequest(user=whole.user, product_ids=names, context=whole.context),
        )
        asked += [
            (name, request.SerializeToString()) for name, request in zip(METHODS, requests, strict=True)
        ]
    return asked


class Mixture:
    """Requests of all kinds under way together, compared with what each was answered alone."""

    def __init__(self, target: str, asked: list[tuple[str, bytes]], seed: int) -> None:
        """Asks for every answer alone first."""
        self._target, self._asked = target, asked
        self._random = np.random.default_rng(seed)
        self._slots = threading.BoundedSemaphore(UNDER_WAY_MAX)
        self._lock = threading.Lock()
        self.counts = {"requests": 0, "calls": 0, "other answers than alone": 0, "requests failed": 0}
        with grpc.insecure_channel(target) as channel:
            calls = _open_methods(channel)
            self._alone = [calls[method](request, timeout=CALL_S_MAX) for method, request in asked]

    def send(self, count: int, until_s: float) -> None:
        """Sends single requests and batches by turns, so long as there is time."""
        with grpc.insecure_channel(
            self._target, options=[("grpc.max_receive_message_length", -1)]
        ) as channel:
            calls = _open_methods(channel)
            while self.counts["requests"] < count and time.monotonic() < until_s:
                for number in self._random.integers(len(self._asked), size=SINGLES_A_TURN).tolist():
                    method, request = self._asked[number]
                    self._start(calls[method], request, [number])
                for _ in range(BATCHES_A_TURN):
                    chosen, batch = self._draw_batch()
                    self._start(calls["BatchRecommend"], batch, chosen)
            for _ in range(UNDER_WAY_MAX):
                self._slots.acquire()
        for _ in range(UNDER_WAY_MAX):
            self._slots.release()

    def _draw_batch(self) -> tuple[list[int], bytes]:
        """Returns a batch of questions: their numbers among what is asked, and the request."""
        lists = self._random.integers(len(self._asked) // len(METHODS), size=BATCH_COUNT).tolist()
        chosen = [place * len(METHODS) for place in lists]
        batch = pb.BatchRecommendRequest(
            requests=[pb.RecommendRequest.FromString(self._asked[number][1]) for number in chosen]
        )
        return chosen, batch.SerializeToString()

    def recommended(self) -> list[bytes]:
        """Returns what the questions were answered alone, in their order."""
        return self._alone[:: len(METHODS)]

    def _start(
        self, call: "grpc.UnaryUnaryMultiCallable[bytes, bytes]", request: bytes, numbers: list[int]
    ) -> None:
        self._slots.acquire()
        call.future(request, timeout=CALL_S_MAX).add_done_callback(lambda future: self._end(future, numbers))

    def _end(self, future: "Future", numbers: list[int]) -> None:
        failed = other = 0
        if future.exception() is not None:
            failed = len(numbers)
        elif len(numbers) == 1:
            other = future.result() != self._alone[numbers[0]]
        else:
            results = pb.BatchRecommendResponse.FromString(future.result()).results
            other = sum(
                result.response.SerializeToString() != self._alone[number]
                for number, result in zip(numbers, results, strict=True)
            )
        with self._lock:
            self.counts["requests"] += len(numbers)
            self.counts["calls"] += 1
            self.counts["requests failed"] += failed
            self.counts["other answers than alone"] += other
        self._slots.release()


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Sends the mixture beside other callers; what was answered alone is judged as every answer is."""
    count = share(REQUEST_COUNT, scale)
    # Batches may take half of the threads, and are refused before other calls: here nothing shall be refused.
    settings = ground.settings("--rpc-thread-count", THREAD_COUNT)
    with run_server(ground.make_folder("mixed"), settings) as server:
        mixture = Mixture(server.target, ask_of_all_kinds(ground, seed), seed)

        def inject(until_s: float) -> bool:
            mixture.send(count, until_s)
            return mixture.counts["requests"] < count

        found = beside_others(ground, server, seed, max(scale, 0.5), inject)
        crashed = 0 if server.alive else 1
    judged = Checker(ground.questions).judge(enumerate(mixture.recommended()))
    return found + judged + Findings(mixture.counts | {"crashes": crashed})


def _open_methods(channel: grpc.Channel) -> dict[str, "grpc.UnaryUnaryMultiCallable[bytes, bytes]"]:
    return {
        name: channel.unary_unary(SERVICE + name, request_serializer=None, response_deserializer=None)
        for name in (*METHODS, "BatchRecommend")
    }


TEST: Final = FaultTest(
    20,
    "mixed requests and batches, each against it alone",
    run,
    {"requests": REQUEST_COUNT},
    (
        Target("other answers than alone", "==", 0),
        Target("requests failed", "==", 0),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    part=0.1,
)
