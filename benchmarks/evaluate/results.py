"""Keeps what was reached, user by user, so that an evaluation that was stopped goes on where it ended."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.evaluate.ranking import Outcome
from benchmarks.evaluate.task import Task


def name_record(task: Task, scorer: str, settings: Path | None) -> str:
    """Names the file of one result: other data, other users or other training settings are other files."""
    asked = hashlib.sha256((task.data / "interactions.parquet").read_bytes())
    negatives = task.negatives or {}
    for user in task.users:
        asked.update(repr((user, sorted(task.relevant[user]), sorted(negatives.get(user, ())))).encode())
    digest = "" if settings is None else f"-{hashlib.sha256(settings.read_bytes()).hexdigest()[:12]}"
    return f"{task.name}-{asked.hexdigest()[:12]}-{scorer}{digest}.npz"


def write_outcome(path: Path, outcome: Outcome, *, commit: str) -> None:
    """Writes an outcome and the commit that made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    arrays: dict[str, Any] = {
        "task": np.array(outcome.task),
        "user_ids": np.array(outcome.user_ids),
        "recall": outcome.recall,
        "ndcg": outcome.ndcg,
        "note": np.array(outcome.note),
        "commit": np.array(commit),
    }
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    temporary.replace(path)


def read_outcome(path: Path) -> tuple[Outcome, str]:
    """Reads what `write_outcome` wrote; returns the commit beside it."""
    with np.load(path, allow_pickle=False) as body:
        users = tuple(map(str, body["user_ids"]))
        outcome = Outcome(str(body["task"]), users, body["recall"], body["ndcg"], str(body["note"]))
        return outcome, str(body["commit"])
