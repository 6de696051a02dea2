"""Lists the tests of the fault table, in its order."""

from typing import Final

from benchmarks.faults import arguments, corruption, idle, limits, malformed, numbers, strangers
from benchmarks.faults.figures import FaultTest

TESTS: Final[tuple[FaultTest, ...]] = (
    corruption.TEST,
    idle.TEST,
    limits.TEST,
    malformed.TEST,
    arguments.TEST,
    numbers.TEST,
    strangers.TEST,
)
