"""Runs a command of ours by itself and says how long it took and how much memory it held at most."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.errors import StageFailedError
from benchmarks.machine import ROOT

TIMEOUT_S: Final = 3600.0
_TAIL_LENGTH: Final = 2000


@dataclass(frozen=True)
class Outcome:
    """What a command took.

    Attributes:
        seconds: wall time, its start included.
        cpu_seconds: of all its processes; what else runs on the machine disturbs it less than wall time.
        peak_mib: the most memory that one of its processes held at once (resident, pages of files included).
        output: what it printed.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: int
    output: str

    def read(self) -> dict[str, Any]:
        """Reads the last printed line as a JSON object."""
        values: dict[str, Any] = json.loads(self.output.strip().splitlines()[-1])
        return values


def run_child(arguments: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Runs Python with arguments in a process of its own.

    Raises:
        StageFailedError: it ended with an error, or took too long.
    """
    with tempfile.TemporaryFile("w+") as file:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=file, stderr=file)  # noqa: S603
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        file.seek(0)
        output = file.read()
    if process.returncode != 0:
        command = " ".join(arguments)
        raise StageFailedError(f"{command}: exit code {process.returncode}: {output[-_TAIL_LENGTH:]}")
    return Outcome(seconds, usage.ru_utime + usage.ru_stime, round(usage.ru_maxrss / 1024), output)
