"""Lists the tests of the fault table, in its order."""

from typing import Final

from benchmarks.faults import (
    arguments,
    attacks,
    audit,
    clocks,
    corruption,
    disk,
    drain,
    hurried,
    idle,
    limits,
    malformed,
    mixed,
    numbers,
    overload,
    publishing,
    records,
    soak,
    strangers,
    swaps,
    tls_misuse,
)
from benchmarks.faults.figures import FaultTest

TESTS: Final[tuple[FaultTest, ...]] = (
    publishing.TEST,
    records.TEST,
    corruption.TEST,
    disk.TEST,
    clocks.TEST,
    idle.TEST,
    limits.TEST,
    malformed.TEST,
    arguments.TEST,
    numbers.TEST,
    strangers.TEST,
    overload.TEST,
    hurried.STORM,
    hurried.CANCELLED,
    soak.TEST,
    swaps.TEST,
    drain.TEST,
    tls_misuse.TEST,
    attacks.TEST,
    mixed.TEST,
    audit.TEST,
)
