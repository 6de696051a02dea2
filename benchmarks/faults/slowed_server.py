"""Runs the server with every search slowed: `python -m benchmarks.faults.slowed_server SECONDS ...`.

One thread searches, so that the server answers at most 1 / SECONDS searches a second. It sleeps and burns
nothing: what is left of the machine belongs to whoever overloads the server.
"""

import sys
import time
from collections.abc import Sequence

from server.__main__ import main
from server.search import Found, Job, Searcher


def slow_searches(seconds: float) -> None:
    """Makes every search of this process take so much longer.

    Args:
        seconds: for each search of a batch.
    """
    run = Searcher.run

    def run_slowed(self: Searcher, jobs: Sequence[Job]) -> list[Found | Exception]:
        time.sleep(seconds * len(jobs))
        return run(self, jobs)

    Searcher.run = run_slowed  # type: ignore[method-assign]


if __name__ == "__main__":
    slow_searches(float(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
