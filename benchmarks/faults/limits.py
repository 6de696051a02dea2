"""Test 7: messages and metadata far larger than any that are taken."""

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import grpc

from benchmarks.faults.crowd import NOTHING_WRONG, beside_others
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, run_server
from benchmarks.load.client import METHOD, read_reason
from server.ports import MESSAGE_BYTES_MAX, METADATA_BYTES_MAX

CALL_COUNT: Final = 400
FLOOD_COUNT: Final = 4
"""Floods without others, one after the other."""
CALL_S_MAX: Final = 20.0
MESSAGES: Final = tuple(MESSAGE_BYTES_MAX * times + 1 for times in (1, 2, 4, 16))
METADATA: Final = tuple(METADATA_BYTES_MAX * times for times in (2, 4, 16, 64))
if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Method = grpc.UnaryUnaryMultiCallable[bytes, bytes]
    Metadata = tuple[tuple[str, str | bytes], ...]

_REFUSALS: Final = ("RESOURCE_EXHAUSTED", "MESSAGE_MALFORMED")


class Flood:
    """Oversize calls, one at a time, and what became of them."""

    def __init__(self, target: str) -> None:
        """Sends nothing yet."""
        self._target = target
        self._counts: Counter[str] = Counter({"oversize calls taken": 0, "refused as something else": 0})
        self._elapsed_ms: list[float] = []
        self.sent_count = 0

    def send(self, count: int, until_s: float) -> None:
        """Sends oversize messages and metadata by turns, in all sizes, so long as there is time."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self._target, options=options) as channel:
            grpc.channel_ready_future(channel).result(timeout=CALL_S_MAX)
            call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
            while self.sent_count < count and time.monotonic() < until_s:
                size = self.sent_count // 2 % len(MESSAGES)
                if self.sent_count % 2:
                    metadata = tuple((f"x-{part}", "x" * 8000) for part in range(METADATA[size] // 8000))
                    self._send(call, b"", metadata)
                else:
                    self._send(call, bytes(MESSAGES[size]), ())
                self.sent_count += 1

    def findings(self) -> Findings:
        """Returns what was counted, and how long refusals took."""
        return Findings(
            {"oversize calls": self.sent_count} | dict(self._counts),
            samples={"refused after, ms": tuple(self._elapsed_ms)},
        )

    def _send(self, call: "Method", message: bytes, metadata: "Metadata") -> None:
        start_s = time.monotonic()
        try:
            call(message, timeout=CALL_S_MAX, metadata=metadata)
        except grpc.RpcError as error:
            self._counts["refused as something else"] += read_reason(error) not in _REFUSALS
        else:
            self._counts["oversize calls taken"] += 1
        self._elapsed_ms.append((time.monotonic() - start_s) * 1e3)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Sends both kinds beside other callers, and then alone, when what memory grows by is theirs."""
    count = share(CALL_COUNT, scale)
    with run_server(ground.make_folder("limits"), ground.settings()) as server:
        flood = Flood(server.target)

        def inject(until_s: float) -> bool:
            flood.send(count, until_s)
            return flood.sent_count < count

        found = beside_others(ground, server, seed, scale, inject)
        # What the allocator takes for its threads when a flood first reaches them it takes once.
        first, *later = [_measure_growth(server, count) for _ in range(FLOOD_COUNT)]
        crashed = 0 if server.alive else 1
    memory = {"memory grown, times the limit": max(later), "memory grown at first, times the limit": first}
    return found + flood.findings() + Findings({"crashes": crashed}, memory)


def _measure_growth(server: ServerProcess, count: int) -> float:
    """Returns how much more memory a server held at most during a flood than before, by the limit."""
    before = server.read_usage().resident_bytes
    server.forget_peak()
    Flood(server.target).send(count, float("inf"))
    return (server.read_peak_bytes() - before) / MESSAGE_BYTES_MAX


TEST: Final = FaultTest(
    7,
    "messages and metadata over the limits",
    run,
    {"oversize calls": CALL_COUNT},
    (
        Target("oversize calls taken", "==", 0),
        Target("refused as something else", "==", 0),
        Target("refused after, ms", "<", 50.0, "ms"),
        Target("memory grown, times the limit", "<", 2.0),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    missing="what the first flood takes once, about three times the limit: it is measured and not judged",
)
