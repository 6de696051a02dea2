"""Names the state of the code that the fault tests try, so that counts outlive a commit of other files."""

import hashlib
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.machine import ROOT, run_git

TESTED: Final = (
    "server",
    "protos",
    "suitability",
    "index",
    "export",
    "benchmarks/faults",
    "benchmarks/load",
    "benchmarks/verify",
    "CMakeLists.txt",
    "constraints.txt",
)
"""What a server is made of, and what breaks and judges it; documents, results and tests are neither."""


@dataclass(frozen=True)
class State:
    """The code under test.

    Attributes:
        code: a short name of its content; "+" follows where tracked files of it differ from the commit.
        commit: that it was checked out of, with the same mark.
    """

    code: str
    commit: str


def read_state(
    root: Path = ROOT, paths: Sequence[str] = TESTED, without: Collection[str] = frozenset()
) -> State:
    """Reads the state of a checkout's files; both names are "unknown" without git.

    Args:
        root: the checkout.
        paths: files and folders.
        without: files of these folders that do not count.
    """
    try:
        files = run_git("ls-tree", "-r", "HEAD", "--", *paths, root=root).splitlines()
        commit = run_git("rev-parse", "--short", "HEAD", root=root)
        changed = run_git("diff", "--name-only", "HEAD", "--", *paths, root=root).splitlines()
    except (OSError, subprocess.CalledProcessError):
        return State("unknown", "unknown")
    kept = [line for line in files if line.partition("\t")[2] not in without]
    mark = "+" if set(changed) - set(without) else ""
    return State(hashlib.sha256("\n".join(kept).encode()).hexdigest()[:7] + mark, commit + mark)
