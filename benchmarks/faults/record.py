"""Keeps what the runs of each test found, by commit, so that a long test is done in many sittings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.figures import Findings, read_findings


@dataclass(frozen=True)
class Kept:
    """What one test found so far, the seeds of the runs that found it, and the commit that they ran on."""

    findings: Findings
    seeds: tuple[int, ...]
    commit: str


class Record:
    """A folder of one file for each test. What another commit found is shown until a run replaces it."""

    def __init__(self, folder: Path, commit: str) -> None:
        """Names the folder, made when something is kept, and the commit that runs."""
        self._folder = folder
        self._commit = commit

    def read(self, number: int) -> Kept | None:
        """Returns what a test has found; None before its first run."""
        path = self._path(number)
        if not path.is_file():
            return None
        body = json.loads(path.read_text(encoding="utf-8"))
        return Kept(read_findings(body["findings"]), tuple(body["seeds"]), body["commit"])

    def add(self, number: int, findings: Findings, seed: int) -> Kept:
        """Adds a run to what is kept, and returns all of it."""
        before = self.read(number)
        if before is None or before.commit != self._commit:
            before = Kept(Findings(), (), self._commit)
        kept = Kept(before.findings + findings, (*before.seeds, seed), self._commit)
        path = self._path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".partial")
        draft.write_text(json.dumps(_to_json(kept)) + "\n", encoding="utf-8")
        draft.replace(path)
        return kept

    def _path(self, number: int) -> Path:
        return self._folder / f"test-{number:02}.json"


def _to_json(kept: Kept) -> Mapping[str, Any]:
    return {"findings": kept.findings.to_json(), "seeds": list(kept.seeds), "commit": kept.commit}
