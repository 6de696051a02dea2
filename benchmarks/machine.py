"""Says on what machine, at which commit and when something was measured."""

import os
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout that is being measured; commands of the pipeline run in it."""


@dataclass(frozen=True)
class Machine:
    """Where and when a measurement was made."""

    processor: str
    core_count: int
    memory_gib: int
    system: str
    python: str
    commit: str
    date: str

    @property
    def line(self) -> str:
        """Returns one line for the head of a table."""
        return (
            f"{self.processor}, {self.core_count} cores, {self.memory_gib} GiB, {self.system}, "
            f"Python {self.python}, commit {self.commit}, {self.date}"
        )


def describe_machine() -> Machine:
    """Describes this machine, the checkout's commit and today's date (UTC)."""
    return Machine(
        processor=_read_processor(),
        core_count=os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        commit=read_commit(),
        date=datetime.now(UTC).date().isoformat(),
    )


def read_commit() -> str:
    """Returns the checkout's short commit, with "+" where tracked files differ; "unknown" without git."""
    try:
        commit = run_git("rev-parse", "--short", "HEAD")
        changed = run_git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")


def run_git(*arguments: str, root: Path = ROOT) -> str:
    """Returns what git says of a checkout.

    Raises:
        OSError: there is no git.
        CalledProcessError: there is no checkout, or it has no commit.
    """
    command = ["git", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603


def _read_processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
