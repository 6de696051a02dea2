"""Lists the tests of the fault table, in its order."""

import inspect
import re
import sys
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

KEEPING: Final = ("__main__", "picture", "record", "report", "state", "table")

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


def list_other_files(test: FaultTest) -> frozenset[str]:
    """Returns the modules whose changes leave true what a test found.

    They are other tests that it takes nothing from, and what only keeps and shows findings.
    """
    modules = {each.run.__module__ for each in TESTS}
    used, found = set[str](), {test.run.__module__}
    while found:
        used |= found
        text = "".join(inspect.getsource(sys.modules[name]) for name in found)
        found = {name for name in modules if re.search(rf"\b{re.escape(name)}\b", text)} - used
    keeping = (f"benchmarks.faults.{name}" for name in KEEPING)
    return frozenset(f"{name.replace('.', '/')}.py" for name in (*modules - used, *keeping))
