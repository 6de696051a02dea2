"""The other callers: an open loop of questions beside every fault, and what they noticed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from benchmarks.faults.calls import OK, Calls
from benchmarks.faults.checker import Checker
from benchmarks.faults.figures import Findings, Target
from benchmarks.faults.ground import Ground
from benchmarks.faults.load import Load, RunningLoad, running_load
from benchmarks.faults.load_client import Stream
from benchmarks.faults.server_process import ServerProcess

RATE: Final = 50.0
ROUND_S: Final = 20.0
OVERLOADED: Final = "OVERLOADED"
"""How a call ends that the server refuses before it begins; it may be made again."""
NOTHING_WRONG: Final = (
    Target("others failed", "==", 0),
    Target("others refused, OVERLOADED", "==", 0),
    Target("suitability violations", "==", 0),
    Target("crossed answers", "==", 0),
    Target("answers of no single bundle", "==", 0),
)
"""What every test of the table asks of the answers to others."""


@dataclass
class Crowd:
    """The other callers of one server.

    Attributes:
        running: when the load began; faults are injected meanwhile.
        calls: how their calls ended, once the block has.
    """

    running: RunningLoad
    calls: Calls | None = field(default=None)

    def ended(self) -> Calls:
        """Returns how the calls ended, once the block has."""
        assert self.calls is not None, "the load has not ended"
        return self.calls

    def judge(self, checker: Checker) -> Findings:
        """Counts what the others noticed."""
        calls = self.ended()
        ended = {
            f"others: {reason}": count for reason, count in calls.count_reasons().items() if reason != OK
        }
        refused = calls.ended(OVERLOADED).count
        counts = {
            "others answered": calls.ended(OK).count,
            "others refused, OVERLOADED": refused,
            "others failed": sum(ended.values()) - refused,
        } | ended
        return Findings(counts) + checker.judge(calls.answers)


@contextmanager
def crowd(
    ground: Ground, server: ServerProcess, seed: int, *, duration_s: float = ROUND_S, rate: float = RATE
) -> Iterator[Crowd]:
    """Lets the others call while the block runs, and until the end of the round."""
    stream = Stream(
        "others", ground.requests, min(rate, ground.rate_max), stop_s=duration_s, keep_answers=True
    )
    load = Load(server.target, (stream,), client_count=1, seed=seed)
    with running_load(load) as running:
        others = Crowd(running)
        yield others
    assert running.outcome is not None, "the load has ended"
    others.calls = running.outcome.calls["others"]


def beside_others(
    ground: Ground, server: ServerProcess, seed: int, scale: float, inject: Callable[[float], bool]
) -> Findings:
    """Injects beside other callers, round after round, until there is nothing left to inject.

    Args:
        ground: what the others ask.
        server: whom.
        seed: of the first round; each further one has the next.
        scale: of the counts; below a fifth rounds are shorter than in full, and last at least a second.
        inject: injects until an instant of time.monotonic() at most; returns whether anything is left.
    """
    checker, found, left = Checker(ground.questions), Findings(), True
    checker.learn(server.target)
    round_s = max(1.0, ROUND_S * min(5 * scale, 1.0))
    while left:
        with crowd(ground, server, seed, duration_s=round_s) as others:
            left = inject(others.running.start_s + round_s)
        found = found + others.judge(checker)
        seed += 1
    return found
