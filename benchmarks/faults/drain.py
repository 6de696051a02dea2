"""Test 17: SIGTERM under load, and three servers that are restarted one after the other."""

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import grpc
import numpy as np
from prudence.channels import open_channels

from benchmarks.faults.calls import OK
from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import OVERLOADED, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, run_server, start_server
from benchmarks.faults.wire import CONNECTION_LOST, NOT_SEEN
from benchmarks.load.client import METHOD, read_reason

STOP_COUNT: Final = 20
ROLL_COUNT: Final = 10
SERVER_COUNT: Final = 3
RATE: Final = 100.0
DELAY_S: Final = 0.5
GRACE_S: Final = 5.0
WARM_S: Final = 1.0
CALL_S_MAX: Final = 10.0
REFUSED: Final = ("NOT_READY", "OVERLOADED", NOT_SEEN)
"""What says that the call was not begun, so that it may be made elsewhere."""
LOST: Final = ("UNAVAILABLE", CONNECTION_LOST)
"""What a call meets at a port that is closed already; before, it would be a call that was cut."""
CANCELLED: Final = "CANCELLED"
"""What gRPC's own code answers where a call reaches it while it closes: the server has not seen the call."""

if TYPE_CHECKING:  # The classes of grpc are generic only to the type checker.
    Future = grpc.Future[bytes]


def stop_once(ground: Ground, seed: int) -> Findings:
    """Stops a server under load, and counts calls that it had taken and did not answer."""
    settings = ground.settings("--drain-delay-s", DELAY_S, "--grace-s", GRACE_S)
    checker = Checker(ground.questions)
    with run_server(ground.make_folder("drain"), settings) as server:
        checker.learn(server.target)
        with crowd(ground, server, seed, duration_s=WARM_S + DELAY_S + 0.5, rate=RATE) as others:
            others.running.sleep_until(WARM_S)
            stopped_s = time.monotonic() - others.running.start_s
            ending = server.stop()
    calls = others.ended()
    # Until the delay is over the port is open, and nothing of what it took may be lost. A busy machine may
    # send a call of the delay's end after it.
    early = calls.intended_s + calls.late_s < stopped_s + DELAY_S / 2
    cut = np.count_nonzero(early & np.isin(calls.reason, LOST))
    cut += calls.count - calls.ended(OK, *REFUSED, *LOST, CANCELLED).count
    counts = {
        "stops": 1,
        "calls": calls.count,
        "calls cut": int(cut),
        "calls cancelled as the port closed": calls.ended(CANCELLED).count,
        "exits other than 0": int(ending.status != 0),
    } | {f"ended {reason}": count for reason, count in calls.count_reasons().items() if reason != OK}
    return checker.judge(calls.answers) + Findings(counts, {"exit after, s": ending.elapsed_s})


class Rolling:
    """Equal servers at one name, as the client sees them: it spreads calls and repeats harmless ones."""

    def __init__(self, ground: Ground, seed: int) -> None:
        """Starts the servers."""
        self._ground = ground
        self._random = np.random.default_rng(seed)
        self._settings = ground.settings("--drain-delay-s", DELAY_S, "--grace-s", GRACE_S)
        self._servers = [self._start(0) for _ in range(SERVER_COUNT)]

    def restart_all(self) -> Findings:
        """Restarts one server after the other under load; returns what callers noticed."""
        addresses = ",".join(server.target for server in self._servers)
        (channel,) = open_channels(f"ipv4:{addresses}", 1)
        checker, ended = Checker(self._ground.questions), threading.Event()
        checker.learn(self._servers[0].target)
        with channel:
            answers: set[tuple[int, bytes]] = set()
            reasons: Counter[str] = Counter()
            load = threading.Thread(target=self._call_on, args=(channel, ended, answers, reasons))
            load.start()
            statuses = []
            for place, server in enumerate(self._servers):
                time.sleep(WARM_S)
                statuses.append(server.stop().status)
                self._servers[place] = self._start(int(server.target.rpartition(":")[2]))
            time.sleep(WARM_S)
            ended.set()
            load.join()
        counts = {
            "rolling restarts": 1,
            "calls of rolling restarts": sum(reasons.values()),
            "calls failed in rolling restarts": sum(reasons.values()) - reasons[OK] - reasons[OVERLOADED],
            "calls of rolling restarts refused, OVERLOADED": reasons[OVERLOADED],
            "exits other than 0": sum(status != 0 for status in statuses),
        }
        noticed = {f"ended {reason}": count for reason, count in reasons.items() if reason != OK}
        return checker.judge(answers) + Findings(counts | noticed)

    def close(self) -> None:
        """Ends the servers."""
        for server in self._servers:
            server.kill()

    def _start(self, port: int) -> ServerProcess:
        return start_server(self._ground.make_folder("rolling"), self._settings, port=port)

    def _call_on(
        self,
        channel: grpc.Channel,
        ended: threading.Event,
        answers: set[tuple[int, bytes]],
        reasons: Counter[str],
    ) -> None:
        """Sends questions at Poisson times until told to end, and waits for the last answer."""
        call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
        futures: list[tuple[int, Future]] = []
        at_s = time.monotonic()
        while not ended.is_set():
            at_s += float(self._random.exponential(1 / min(RATE, self._ground.rate_max)))
            time.sleep(max(0.0, at_s - time.monotonic()))
            number = int(self._random.integers(len(self._ground.questions)))
            futures.append((number, call.future(self._ground.questions[number].request, timeout=CALL_S_MAX)))
        for number, future in futures:
            error = future.exception()
            if error is None:
                answers.add((number, future.result()))
                reasons[OK] += 1
            else:
                assert isinstance(error, grpc.RpcError), "a call ends with an answer or its own error"
                reasons[read_reason(error)] += 1


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Stops single servers, and restarts three in turn."""
    found = Findings()
    for number in range(share(STOP_COUNT, scale)):
        found += stop_once(ground, seed * 1000 + number)
    rolling = Rolling(ground, seed)
    try:
        for _ in range(share(ROLL_COUNT, scale)):
            found += rolling.restart_all()
    finally:
        rolling.close()
    return found


TEST: Final = FaultTest(
    17,
    "SIGTERM under load, three servers restarted in turn",
    run,
    {"stops": STOP_COUNT, "rolling restarts": ROLL_COUNT},
    (
        Target("calls cut", "==", 0),
        Target("calls cancelled as the port closed", "==", 0),
        Target("calls failed in rolling restarts", "==", 0),
        Target("calls of rolling restarts refused, OVERLOADED", "==", 0),
        Target("exits other than 0", "==", 0),
        Target("exit after, s", "<", DELAY_S + GRACE_S, "s"),
        Target("suitability violations", "==", 0),
        Target("crossed answers", "==", 0),
    ),
    part=0.2,
)
