"""Test 5: a wall clock that is set forth and back by a day, across the ends of products' sales."""

import random
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.interposer import Interposer
from benchmarks.faults.server_process import run_server

JUMP_COUNT: Final = 10_000
JUMP_S: Final = 0.005
"""So often because only a jump between a call's arrival and its first look at the clock can harm it."""
DAY_S: Final = 86_400
EDGE_DAYS_MAX: Final = 300
DATES: Final = ("sale_start", "sale_end", "licence_until")


def list_edges(ground: Ground) -> list[float]:
    """Returns the instants near the evaluation clock at which a product comes or goes, else that clock."""
    clock = datetime.fromisoformat(ground.clock).timestamp()
    catalogue = ground.questions[0].asked.catalogue
    named = [product.get(name) for product in catalogue.values() for name in DATES]
    edges = {date.timestamp() for date in named if date is not None}
    return sorted(edge for edge in edges if abs(edge - clock) < EDGE_DAYS_MAX * DAY_S) or [clock]


def draw_instants(edges: Sequence[float], seed: int) -> Iterator[float]:
    """Yields where the clock is set to: half a day before an edge, half a day after it, and so on."""
    chance = random.Random(seed)  # noqa: S311 - nothing here is a secret.
    while True:
        sides = [-DAY_S / 2, DAY_S / 2]
        chance.shuffle(sides)
        edge = chance.choice(edges)
        yield from (edge + side for side in sides * chance.randint(1, 3))


def count_fleeting(ground: Ground, answers: Sequence[pb.RecommendResponse]) -> int:
    """Counts products that were shown although at another answer's instant they were not on sale."""
    instants = [answer.decision.decision_time.ToDatetime(UTC) for answer in answers]
    catalogue = ground.questions[0].asked.catalogue
    shown = {product.product_id for answer in answers for product in answer.products}
    ends = [catalogue[name].get(field) for name in shown for field in ("sale_end", "licence_until")]
    return sum(end is not None and end < max(instants) for end in ends)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Sets the clock of a server's process beside callers; each answer is judged for the instant it names."""
    folder, jumps = ground.make_folder("clocks"), share(JUMP_COUNT, scale)
    interposer, instants = Interposer(folder), draw_instants(list_edges(ground), seed)
    arguments = ground.settings(fixed=False)
    with run_server(folder, arguments, through=interposer.command) as server:
        with crowd(ground, server, seed, duration_s=JUMP_S * (jumps + 1)) as others:
            for _ in range(jumps):
                time.sleep(JUMP_S)
                interposer.set_clock(round(next(instants) - datetime.now(UTC).timestamp()))
        crashed = 0 if server.alive else 1
    calls = others.ended()
    answers = [pb.RecommendResponse.FromString(answer) for _, answer in calls.answers]
    days = {answer.decision.decision_time.seconds // DAY_S for answer in answers}
    expired = sum(count for reason, count in calls.count_reasons().items() if "DEADLINE" in reason)
    counts = {"jumps": jumps, "deadlines missed": expired, "crashes": crashed}
    seen = {
        "days seen in answers": float(len(days)),
        "products shown that ended": float(count_fleeting(ground, answers)),
    }
    return others.judge(Checker(ground.questions)) + Findings(counts, seen)


TEST: Final = FaultTest(
    5,
    "a wall clock that is set forth and back by a day",
    run,
    {"jumps": JUMP_COUNT},
    (
        Target("deadlines missed", "==", 0),
        Target("days seen in answers", ">=", 2),
        Target("products shown that ended", ">=", 1),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
)
