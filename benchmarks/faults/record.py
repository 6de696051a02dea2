"""Keeps what the runs of each test found, by code tested, so that a long test is done in many sittings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.figures import Findings, read_findings
from benchmarks.faults.state import State


@dataclass(frozen=True)
class Kept:
    """What one test found so far.

    Attributes:
        findings: of all runs.
        seeds: of the runs, in their order.
        state: the code that all of them ran on, and the commit of the last.
    """

    findings: Findings
    seeds: tuple[int, ...]
    state: State


class Record:
    """A folder of one file for each test. What other code did is shown until a run replaces it."""

    def __init__(self, folder: Path, state: State) -> None:
        """Names the folder, made when something is kept, and the code that runs."""
        self._folder = folder
        self._state = state

    def read(self, number: int) -> Kept | None:
        """Returns what a test has found; None before its first run."""
        path = self._path(number)
        if not path.is_file():
            return None
        body = json.loads(path.read_text(encoding="utf-8"))
        # Before the code had a name of its own, that of its commit served.
        state = State(body.get("code", body["commit"]), body["commit"])
        return Kept(read_findings(body["findings"]), tuple(body["seeds"]), state)

    def add(self, number: int, findings: Findings, seed: int) -> Kept:
        """Adds a run to what is kept, and returns all of it."""
        before = self.read(number)
        if before is None or before.state.code != self._state.code:
            before = Kept(Findings(), (), self._state)
        kept = Kept(before.findings + findings, (*before.seeds, seed), self._state)
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".partial")
        draft.write_text(json.dumps(_to_json(kept)) + "\n", encoding="utf-8")
        draft.replace(path)
        return kept

    def _path(self, number: int) -> Path:
        return self._folder / f"test-{number:02}.json"


def _to_json(kept: Kept) -> Mapping[str, Any]:
    return {
        "findings": kept.findings.to_json(),
        "seeds": list(kept.seeds),
        "code": kept.state.code,
        "commit": kept.state.commit,
    }
