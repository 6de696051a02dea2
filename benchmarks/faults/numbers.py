"""Test 10: numbers that are none, infinite or absurd, in requests and from the model."""

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import grpc
from prudence.v1 import feedback_pb2, feedback_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.arguments import read_field
from benchmarks.faults.crowd import NOTHING_WRONG, beside_others
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import run_server
from benchmarks.load.client import METHOD

ROUND_COUNT: Final = 50
CALL_S_MAX: Final = 20.0
ASKED_COUNT: Final = 20
DENORMAL: Final = 5e-324
ODD: Final = (math.nan, math.inf, -math.inf, 1e38, -1e38, DENORMAL)
PROGRAM: Final = ("benchmarks.faults.nan_server",)


if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Method = grpc.UnaryUnaryMultiCallable[bytes, bytes]


class Numbers:
    """Sends odd numbers where the wire takes one, and reads what the model's own odd numbers became."""

    def __init__(self, ground: Ground, target: str) -> None:
        """Sends nothing yet."""
        self._ground, self._target = ground, target
        self._counts: Counter[str] = Counter(
            {"odd numbers taken": 0, "numbers lost": 0, "answered by a segment": 0}
        )
        self.round_count = 0

    def send(self, round_count: int, until_s: float) -> None:
        """Sends every odd number once in each round, so long as there is time."""
        with grpc.insecure_channel(self._target) as channel:
            events = feedback_pb2_grpc.FeedbackServiceStub(channel)
            recommend = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
            while self.round_count < round_count and time.monotonic() < until_s:
                for place, number in enumerate(ODD):
                    self._ask(recommend, number)
                    self._report(events, number, f"{self.round_count}-{place}")
                self._count_stand_ins(recommend)
                self.round_count += 1

    def findings(self) -> Findings:
        """Returns what was counted."""
        return Findings({"rounds": self.round_count} | dict(self._counts))

    def _ask(self, recommend: "Method", number: float) -> None:
        request = pb.RecommendRequest.FromString(self._ground.questions[0].request)
        request.diversity_trade_off = number
        try:
            recommend(request.SerializeToString(), timeout=CALL_S_MAX)
            field = ""
        except grpc.RpcError as error:
            field = read_field(error)
        self._expect(field, "" if number == DENORMAL else "diversity_trade_off")

    def _report(self, events: feedback_pb2_grpc.FeedbackServiceStub, number: float, event_id: str) -> None:
        """Reports a rating and a dwell time that are no usable numbers; a finite rating is one."""
        event = feedback_pb2.Event(
            event_id=f"rating-{event_id}",
            user_id=self._ground.user_ids[0],
            product_id=self._ground.product_ids[0],
            event_type="EVENT_TYPE_RATING",
            rating=number,
        )
        dwell = feedback_pb2.Event()
        dwell.CopyFrom(event)
        dwell.ClearField("rating")
        dwell.MergeFrom(
            feedback_pb2.Event(event_id=f"dwell-{event_id}", event_type="EVENT_TYPE_DWELL", dwell_s=number)
        )
        request = feedback_pb2.RecordEventsRequest(events=[event, dwell])
        results = events.RecordEvents(request, timeout=CALL_S_MAX).results
        self._expect(results[0].field, "" if math.isfinite(number) else "rating")
        self._expect(results[1].field, "" if number == DENORMAL else "dwell_s")

    def _expect(self, found: str, field: str) -> None:
        if found != field:
            self._counts["odd numbers taken" if field else "numbers lost"] += 1

    def _count_stand_ins(self, recommend: "Method") -> None:
        for question in self._ground.questions[:ASKED_COUNT]:
            answer = pb.RecommendResponse.FromString(recommend(question.request, timeout=CALL_S_MAX))
            self._counts["answered by a segment"] += pb.RESPONSE_REASON_SEGMENT_FALLBACK in answer.reasons


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Sends odd numbers beside other callers, some of whom have no usable vector in this server."""
    folder, count = ground.make_folder("numbers"), share(ROUND_COUNT, scale)
    # Events are of today; an evaluation clock may be of another day.
    settings = ground.settings("--store", ground.copy_store(folder), "--feedback-log", folder / "log")
    with run_server(folder, settings, program=PROGRAM) as server:
        numbers = Numbers(ground, server.target)

        def inject(until_s: float) -> bool:
            numbers.send(count, until_s)
            return numbers.round_count < count

        found = beside_others(ground, server, seed, scale, inject)
        crashed = 0 if server.alive else 1
    return found + numbers.findings() + Findings({"crashes": crashed})


TEST: Final = FaultTest(
    10,
    "NaN, infinity and 1e38 from callers and the model",
    run,
    {"rounds": ROUND_COUNT},
    (
        Target("odd numbers taken", "==", 0),
        Target("numbers lost", "==", 0),
        Target("answered by a segment", ">=", 1),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    missing="features of borrowers: the platform's bundle has no risk model; tests/server sends them",
)
