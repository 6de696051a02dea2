"""Test 16: bundles that replace each other under load, good ones, bad ones and older ones."""

import random
import time
from typing import Final

import numpy as np

from benchmarks.faults.batches import BatchCallers
from benchmarks.faults.calls import Calls
from benchmarks.faults.checker import learn_both
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target, share
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, run_server
from benchmarks.faults.shelf import Shelf, wait_until_told

SWAP_COUNT: Final = 100
REQUEST_COUNT: Final = 1_000_000
RATE: Final = 150.0
PAIR_COUNT: Final = 10
"""Rounds of the open loop, each with a p99 during swaps and one between."""
ROUND_S: Final = 30.0
SWAPS_OF_BATCHES: Final = 2
"""Of a round of batches: each bundle gives every question another answer to be judged."""
PAUSE_S: Final = 2.0
BAD_EVERY: Final = 4
CALM_CALLS_MIN: Final = 100
PART: Final = 1 / PAIR_COUNT


class Publisher:
    """Publishes to a server that follows, again and again, and notes when each bundle came into force."""

    def __init__(self, shelf: Shelf, server: ServerProcess, seed: int) -> None:
        """Publishes nothing yet."""
        self._shelf, self._server = shelf, server
        self._chance = random.Random(seed)  # noqa: S311 - nothing here is a secret.
        self._serving = ""
        self.windows: list[tuple[float, float]] = []
        self.counts = {
            "swaps": 0,
            "bad bundles": 0,
            "swaps that did not come": 0,
            "bad bundles not refused": 0,
        }

    def publish_on(self, swap_count: int, pause_s: float, until_s: float) -> None:
        """Publishes so many bundles, with a bad one now and then, so long as there is time."""
        for number in range(swap_count):
            if time.monotonic() + pause_s > until_s:
                return
            if number % BAD_EVERY == BAD_EVERY - 1:
                self._publish_bad()
            self._publish_good()
            time.sleep(pause_s)

    def _publish_good(self) -> None:
        version = self._shelf.make_next()
        from_s = time.monotonic()
        self._shelf.publish(version)
        came = wait_until_told(self._server, "bundle changed", version)
        self.windows.append((from_s, time.monotonic()))
        self.counts["swaps"] += 1
        self.counts["swaps that did not come"] += not came
        if self._serving:
            self._shelf.drop(self._serving)
        self._serving = version

    def _publish_bad(self) -> None:
        older = bool(self._chance.randrange(2))
        version = self._shelf.make_next(older=True) if older else self._shelf.make_spoiled(self._chance)
        self._shelf.publish(version)
        self.counts["bad bundles"] += 1
        self.counts["bad bundles not refused"] += not wait_until_told(self._server, "bundle refused", version)
        self._shelf.drop(version)


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Swaps bundles beside single callers, whose latencies are compared, and then beside callers of batches.

    Each caller knows the answer of either bundle. A p99 needs an open loop, and a million requests need more
    than such a loop may ask beside a swap on a small machine.
    """
    folder = ground.make_folder("swaps")
    shelf, checker, found = Shelf(ground, folder), learn_both(ground), Findings()
    # At a scale smaller than a part swaps come as often, for less long.
    round_s = max(4.0, ROUND_S * min(scale / PART, 1.0))
    pause_s = PAUSE_S if scale >= PART else PAUSE_S / 4
    with run_server(folder, ground.settings("--bundle-poll-s", 0.1, bundles=shelf.bundles)) as server:
        publisher = Publisher(shelf, server, seed)
        for number in range(share(PAIR_COUNT, scale)):
            publisher.windows.clear()
            with crowd(ground, server, seed + number, duration_s=round_s, rate=RATE) as others:
                start_s = others.running.start_s
                publisher.publish_on(share(SWAP_COUNT, scale), pause_s, start_s + round_s)
            judged, calls = others.judge(checker), others.ended()
            answered = {"requests answered": judged.counts["others answered"]}
            found += judged + Findings(answered) + _compare(calls, publisher.windows, start_s)
        while (left := share(REQUEST_COUNT, scale) - found.counts["requests answered"]) > 0:
            with BatchCallers(ground, server.target, seed + left) as callers:
                until_s = time.monotonic() + round_s
                publisher.publish_on(SWAPS_OF_BATCHES, round_s / SWAPS_OF_BATCHES, until_s)
                time.sleep(max(0.0, until_s - time.monotonic()))
            found += checker.judge(callers.answers) + Findings(callers.counts)
        crashed = 0 if server.alive else 1
    return found + Findings(publisher.counts | {"crashes": crashed})


def _compare(calls: Calls, windows: list[tuple[float, float]], start_s: float) -> Findings:
    """Compares the p99 while a bundle was being replaced with that of all other times of the round."""
    during = np.zeros(calls.count, dtype=bool)
    for from_s, until_s in windows:
        during |= (calls.intended_s >= from_s - start_s) & (calls.intended_s < until_s - start_s)
    if min(np.count_nonzero(during), np.count_nonzero(~during)) < CALM_CALLS_MIN:
        return Findings()
    slow, calm = (float(np.percentile(calls.elapsed_s[part], 99)) for part in (during, ~during))
    return Findings(samples={"p99 during a swap, times that between": (slow / calm,)})


TEST: Final = FaultTest(
    16,
    "bundles replaced under load, bad ones between",
    run,
    {"swaps": SWAP_COUNT, "requests answered": REQUEST_COUNT},
    (
        Target("swaps that did not come", "==", 0),
        Target("bad bundles not refused", "==", 0),
        Target("batches of two bundles", "==", 0),
        Target("p99 during a swap, times that between", "<", 1.5),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    part=PART,
)
