"""Test 11: users whom nobody knows, products that are not there, and empty histories."""

from typing import Final

from prudence.v1 import profile_pb2
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.calls import OK, Calls
from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, OVERLOADED, ROUND_S, Crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.load import Load, running_load
from benchmarks.faults.load_client import Stream
from benchmarks.faults.server_process import ServerProcess, run_server

PAIR_COUNT: Final = 5
RATE: Final = 60.0


def list_strangers(ground: Ground) -> tuple[tuple[bytes, int], ...]:
    """Returns requests of strangers, each with the reason that its answer must give."""
    whole = [pb.RecommendRequest.FromString(question.request) for question in ground.questions[:60]]
    strangers: list[tuple[bytes, int]] = []
    for number, request in enumerate(whole):
        request.ClearField("include_product_ids")
        request.ClearField("risk_score_limit")
        if number % 3 == 0:
            request.user.CopyFrom(profile_pb2.User(user_id=f"nobody-{number}"))
            strangers.append((request.SerializeToString(), pb.RESPONSE_REASON_USER_UNKNOWN))
        elif number % 3 == 1:
            request.user.ClearField("history")
            strangers.append((request.SerializeToString(), pb.RESPONSE_REASON_HISTORY_EMPTY))
        else:
            for event in request.user.history:
                event.product_id = f"gone-{event.product_id}"
            strangers.append((request.SerializeToString(), pb.RESPONSE_REASON_HISTORY_EMPTY))
    return tuple(strangers)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Lets strangers and known users call in turns, and compares how long both wait."""
    strangers = list_strangers(ground)
    count, round_s = share(PAIR_COUNT, scale), max(1.0, ROUND_S / 2 * min(scale, 1.0))
    found = Findings()
    with run_server(ground.make_folder("strangers"), ground.settings()) as server:
        checker = Checker(ground.questions)
        checker.learn(server.target)
        for pair in range(count):
            others, odd = _call_in_turns(ground, server, strangers, round_s, seed + pair)
            found = found + others.judge(checker) + _judge(odd, strangers)
            found += Findings(
                {"pairs": 1},
                samples={
                    "p99, times that of known users": (
                        odd.percentile_ms(99) / others.ended().percentile_ms(99),
                    )
                },
            )
    return found


def _call_in_turns(
    ground: Ground,
    server: ServerProcess,
    strangers: tuple[tuple[bytes, int], ...],
    round_s: float,
    seed: int,
) -> tuple[Crowd, Calls]:
    """Runs one load of known users, then of strangers, in the order that the seed says."""
    known_first = seed % 2 == 0
    first, second = (0.0, round_s), (round_s, 2 * round_s)
    known, odd = (first, second) if known_first else (second, first)
    requests = tuple(request for request, _ in strangers)
    rate = min(RATE, ground.rate_max)
    streams = (
        Stream("others", ground.requests, rate, *known, keep_answers=True),
        Stream("strangers", requests, rate, *odd, keep_answers=True),
    )
    with running_load(Load(server.target, streams, client_count=1, seed=seed)) as running:
        crowd = Crowd(running)
    assert running.outcome is not None, "the load has ended"
    crowd.calls = running.outcome.calls["others"]
    return crowd, running.outcome.calls["strangers"]


def _judge(odd: Calls, strangers: tuple[tuple[bytes, int], ...]) -> Findings:
    without = sum(
        strangers[number][1] not in pb.RecommendResponse.FromString(answer).reasons
        for number, answer in odd.answers
    )
    refused = odd.ended(OVERLOADED).count
    return Findings(
        {
            "strangers answered": odd.ended(OK).count,
            "strangers refused, OVERLOADED": refused,
            "strangers failed": odd.count - odd.ended(OK).count - refused,
            "reasons missing": without,
        }
    )


TEST: Final = FaultTest(
    11,
    "unknown users, unknown products, empty histories",
    run,
    {"pairs": PAIR_COUNT},
    (
        Target("strangers failed", "==", 0),
        Target("strangers refused, OVERLOADED", "==", 0),
        Target("reasons missing", "==", 0),
        Target("p99, times that of known users", "<", 1.2),
        *NOTHING_WRONG,
    ),
)
