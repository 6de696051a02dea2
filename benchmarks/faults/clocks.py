"""Test 5: a wall clock that jumps by a day, forth and back."""

import random
import time
from typing import Final

from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.checker import Checker
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import run_server

JUMP_COUNT: Final = 100
JUMP_S: Final = 0.5
DAY_S: Final = 86_400
PROGRAM: Final = "benchmarks.faults.jumping_server"


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Lets the clock of a server jump beside callers; each answer is judged for the instant that it names."""
    folder, jumps = ground.make_folder("clocks"), share(JUMP_COUNT, scale)
    offset, chance = folder / "offset", random.Random(seed)  # noqa: S311 - nothing here is a secret.
    offset.write_text("0", encoding="ascii")
    settings = ground.settings(fixed=False)
    with run_server(folder, settings, program=(PROGRAM, str(offset))) as server:
        with crowd(ground, server, seed, duration_s=JUMP_S * (jumps + 1)) as others:
            for _ in range(jumps):
                time.sleep(JUMP_S)
                draft = offset.with_suffix(".draft")
                draft.write_text(str(chance.choice((-DAY_S, 0, DAY_S, 2 * DAY_S))), encoding="ascii")
                draft.replace(offset)
        crashed = 0 if server.alive else 1
    calls = others.ended()
    days = {
        pb.RecommendResponse.FromString(answer).decision.decision_time.seconds // DAY_S
        for _, answer in calls.answers
    }
    expired = sum(count for reason, count in calls.count_reasons().items() if "DEADLINE" in reason)
    counts = {"jumps": jumps, "deadlines missed": expired, "crashes": crashed}
    return others.judge(Checker(ground.questions)) + Findings(
        counts, {"days seen in answers": float(len(days))}
    )


TEST: Final = FaultTest(
    5,
    "a wall clock that jumps by a day or two",
    run,
    {"jumps": JUMP_COUNT},
    (
        Target("deadlines missed", "==", 0),
        Target("days seen in answers", ">=", 2),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    missing="the machine's own clock, which gRPC reads for deadlines, cannot be set here",
)
