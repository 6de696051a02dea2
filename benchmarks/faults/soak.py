"""Test 15: hours under load with a new bundle every minute: what a server holds does not grow."""

import shutil
import time
from typing import Final

import numpy as np
from scipy import stats

from benchmarks.faults.checker import learn_both
from benchmarks.faults.crowd import NOTHING_WRONG, crowd
from benchmarks.faults.figures import FaultTest, Findings, Target
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import Usage, run_server
from benchmarks.faults.shelf import Shelf, wait_until_told

MINUTES: Final = 20.0
RELOAD_S: Final = 60.0
LOOK_S: Final = 2.0
RATE: Final = 50.0
WARM_SHARE: Final = 0.25
"""Of the run, before which nothing is counted: allocators and caches fill first."""
CONFIDENCE: Final = 0.95
MIB: Final = 1 << 20


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Serves under load while bundles are replaced; reads what the process holds all along."""
    folder, checker = ground.make_folder("soak"), learn_both(ground)
    shelf, length_s = Shelf(ground, folder), max(8.0, MINUTES * 60.0 * scale)
    reload_s, reloads, missed, before = min(RELOAD_S, length_s / 5), 0, 0, ""
    seen: list[tuple[float, Usage]] = []
    settings = ground.settings("--bundle-poll-s", 0.2, bundles=shelf.bundles)
    with run_server(folder, settings) as server:
        with crowd(ground, server, seed, duration_s=length_s, rate=RATE) as others:
            start_s = others.running.start_s
            while (at_s := time.monotonic() - start_s) < length_s:
                seen.append((at_s, server.read_usage()))
                if at_s > (reloads + 1) * reload_s:
                    version = shelf.make_next()
                    shelf.publish(version)
                    missed += not wait_until_told(server, "bundle changed", version)
                    if before:
                        shelf.drop(before)
                    before, reloads = version, reloads + 1
                time.sleep(min(LOOK_S, length_s / 50))
        crashed = 0 if server.alive else 1
    shutil.rmtree(folder)
    counts = {
        "minutes": round(length_s / 60),
        "reloads": reloads,
        "reloads missed": missed,
        "crashes": crashed,
    }
    return others.judge(checker) + Findings(counts) + measure_growth(seen)


def measure_growth(seen: list[tuple[float, Usage]]) -> Findings:
    """Returns how fast memory grew, and how many more of everything else were held at the end.

    Args:
        seen: what was held at which second of the run.
    """
    calm = seen[int(len(seen) * WARM_SHARE) :]
    hours = np.array([at_s for at_s, _ in calm]) / 3600.0
    fit = stats.linregress(hours, [usage.resident_bytes / MIB for _, usage in calm])
    bound = fit.slope + stats.t.ppf(CONFIDENCE, len(calm) - 2) * fit.stderr
    half = len(calm) // 2

    def grown(name: str) -> float:
        """Compares the largest count of the second half with that of the first."""
        first, second = (
            max(getattr(usage, name) for _, usage in part) for part in (calm[:half], calm[half:])
        )
        return max(0.0, float(second - first))

    return Findings(
        worst={
            "descriptors more": grown("descriptor_count"),
            "threads more": grown("thread_count"),
            "mappings more": grown("mapping_count"),
        },
        samples={"memory growth, MB/h, upper bound": (float(bound),)},
    )


TEST: Final = FaultTest(
    15,
    "20 minutes under load with a new bundle every minute",
    run,
    {"minutes": round(MINUTES)},
    (
        Target("memory growth, MB/h, upper bound", "<", 20.0, "MB/h"),
        Target("descriptors more", "<=", 2),
        Target("threads more", "<=", 2),
        Target("mappings more", "<=", 20),
        Target("reloads missed", "==", 0),
        Target("crashes", "==", 0),
        *NOTHING_WRONG,
    ),
    missing="seven hours, in which memory must grow by less than 1 MB/h",
)
