"""Test 9: counts and lists of ids at and beyond their limits."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.crowd import NOTHING_WRONG, beside_others
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import run_server

ROUND_COUNT: Final = 200
CALL_S_MAX: Final = 20.0
K_MAX: Final = 1000
IDS_MAX: Final = 10_000
MIB: Final = 1 << 20
SERVICE: Final = "/prudence.v1.RecommendationService/"

Case = tuple[str, str, Any, str]
"""What it is, the method, the message, and the field at fault; empty where the answer is to be OK."""


def list_cases(whole: pb.RecommendRequest, product_ids: Sequence[str]) -> list[Case]:
    """Lists messages at and beyond every limit of a count or a list."""

    def ask(**fields: Any) -> pb.RecommendRequest:
        request = pb.RecommendRequest()
        request.CopyFrom(whole)
        for name, value in fields.items():
            request.ClearField(name)
            if isinstance(value, list):
                getattr(request, name).extend(value)
            else:
                setattr(request, name, value)
        return request

    def name(ids: list[str]) -> pb.ScoreProductsRequest:
        return pb.ScoreProductsRequest(user=whole.user, product_ids=ids)

    some, long = list(product_ids[:20]), [f"p{number}" for number in range(IDS_MAX + 1)]
    cases: list[Case] = [
        (f"k of {k}", "Recommend", ask(k=k), "k") for k in (0, -1, K_MAX + 1, 10**9, 2**31 - 1)
    ]
    cases += [(f"k of {k}", "Recommend", ask(k=k), "") for k in (1, K_MAX)]
    for field in ("include_product_ids", "exclude_product_ids"):
        cases += [
            (f"10,001 ids to {field}", "Recommend", ask(**{field: long}), field),
            (f"10,000 ids to {field}", "Recommend", ask(**{field: long[:-1]}), ""),
            (f"the same ids twice to {field}", "Recommend", ask(**{field: some * 2}), ""),
            (f"empty ids to {field}", "Recommend", ask(**{field: ["", ""]}), ""),
        ]
    cases += [
        ("no id to score", "ScoreProducts", name([]), "product_ids"),
        ("10,001 ids to score", "ScoreProducts", name(long), "product_ids"),
        ("the same id twice to score", "ScoreProducts", name([*some, some[0]]), "product_ids[20]"),
        ("no request in a batch", "BatchRecommend", pb.BatchRecommendRequest(), "requests"),
        (
            "257 requests in a batch",
            "BatchRecommend",
            pb.BatchRecommendRequest(requests=[ask(k=1)] * 257),
            "requests",
        ),
        (
            "a batch that wants 256,000",
            "BatchRecommend",
            pb.BatchRecommendRequest(requests=[ask(k=K_MAX)] * 256),
            "requests",
        ),
    ]
    return cases


class Trial:
    """Sends cases and compares what comes back with what is expected."""

    def __init__(self, target: str, cases: Sequence[Case]) -> None:
        """Sends nothing yet."""
        self._target, self._cases = target, cases
        self._counts: Counter[str] = Counter({"answered otherwise": 0})
        self._refused_ms: list[float] = []
        self.round_count = 0

    def send(self, round_count: int, until_s: float) -> None:
        """Sends every case once in each round, so long as there is time."""
        with grpc.insecure_channel(
            self._target, options=[("grpc.max_receive_message_length", -1)]
        ) as channel:
            calls: Mapping[str, Callable[..., bytes]] = {
                name: channel.unary_unary(SERVICE + name, request_serializer=None, response_deserializer=None)
                for _, name, _, _ in self._cases
            }
            messages = [message.SerializeToString() for _, _, message, _ in self._cases]
            while self.round_count < round_count and time.monotonic() < until_s:
                for (what, method, _, field), message in zip(self._cases, messages, strict=True):
                    self._send(what, calls[method], message, field)
                self.round_count += 1

    def findings(self) -> Findings:
        """Returns what was counted."""
        return Findings(
            {"rounds": self.round_count, "calls": self.round_count * len(self._cases)} | dict(self._counts),
            samples={"refused after, ms": tuple(self._refused_ms)},
        )

    def _send(self, what: str, call: Callable[..., bytes], message: bytes, field: str) -> None:
        start_s = time.monotonic()
        try:
            call(message, timeout=CALL_S_MAX)
            found = ""
        except grpc.RpcError as error:
            found = read_field(error)
        if field:
            self._refused_ms.append((time.monotonic() - start_s) * 1e3)
        if found != field:
            self._counts["answered otherwise"] += 1
            self._counts[f"{what}: {found or 'OK'}"] += 1


def read_field(error: grpc.RpcError) -> str:
    """Returns the field that an INVALID_ARGUMENT names, or the code of another error."""
    assert isinstance(error, grpc.Call), f"a failed call is no grpc.Call but {type(error).__name__}"
    status, request = rpc_status.from_call(error), error_details_pb2.BadRequest()
    if error.code() is grpc.StatusCode.INVALID_ARGUMENT and status is not None:
        for detail in status.details:
            if detail.Unpack(request) and request.field_violations:
                return str(request.field_violations[0].field)
    return str(error.code().name)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Sends every case again and again beside other callers; memory is read around the refused ones."""
    count = share(ROUND_COUNT, scale)
    whole = pb.RecommendRequest.FromString(ground.questions[0].request)
    with run_server(ground.make_folder("arguments"), ground.settings()) as server:
        refused = [case for case in list_cases(whole, ground.product_ids) if case[3]]
        trial, alone = (
            Trial(server.target, list_cases(whole, ground.product_ids)),
            Trial(server.target, refused),
        )

        def inject(until_s: float) -> bool:
            trial.send(count, until_s)
            return trial.round_count < count

        found = beside_others(ground, server, seed, scale, inject)
        before = server.read_usage().resident_bytes
        server.forget_peak()
        alone.send(count, float("inf"))
        grown = (server.read_peak_bytes() - before) / MIB
        crashed = 0 if server.alive else 1
    # How long a refusal takes is measured beside the others, on the same cores.
    return found + trial.findings() + Findings({"crashes": crashed}, {"memory grown by refusals, MiB": grown})


TEST: Final = FaultTest(
    9,
    "k and lists of ids at and beyond their limits",
    run,
    {"rounds": ROUND_COUNT},
    (
        Target("answered otherwise", "==", 0),
        Target("refused after, ms", "<", 5.0, "ms"),
        Target("memory grown by refusals, MiB", "<", 1.0, "MiB"),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
)
