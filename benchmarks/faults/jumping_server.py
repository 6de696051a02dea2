"""Runs the server with a wall clock that jumps: `python -m benchmarks.faults.jumping_server FILE ...`.

The file holds how many seconds the clock is off; it may be written at any time. It is the clock of decisions:
deadlines are gRPC's, which reads the machine's own.
"""

import sys
from datetime import datetime
from pathlib import Path

from server.__main__ import main
from server.clock import Clock


def jump_with(path: Path) -> None:
    """Lets the decision clock of this process be off by what a file says."""
    true_now = Clock.now

    def read_offset_s() -> float:
        return float(path.read_text(encoding="ascii") or 0)

    def now(self: Clock) -> datetime:
        moment = true_now(self)
        return datetime.fromtimestamp(moment.timestamp() + read_offset_s(), moment.tzinfo)

    Clock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    jump_with(Path(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
