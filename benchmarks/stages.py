"""Runs the pipeline's commands as stages whose results are kept until their inputs change.

A stage's key is the SHA-256 of its command line, of the content of its input files, and of the source of the
packages it runs. If the key of the last run is the same and the output is there, the output is used again.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from benchmarks.errors import StageFailedError
from benchmarks.machine import ROOT
from benchmarks.progress import show_step
from benchmarks.serving import read_tail

SOURCE_PATTERNS = ("*.py", "*.json", "*.hpp", "*.cpp")
PERCENT_PATTERN = re.compile(r"(\d+) ?%")
TIMEOUT_S = 6 * 3600.0
LOG_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Stage:
    """One command of the pipeline.

    Attributes:
        name: short name; also names its log and its record.
        label: what it does, for people.
        arguments: command line after `python -m`.
        inputs: files and directories that it reads.
        sources: our packages whose code decides the result.
        output: the file or directory that it writes; the command is told to write it anew.
    """

    name: str
    label: str
    arguments: tuple[str, ...]
    inputs: tuple[Path, ...]
    sources: tuple[str, ...]
    output: Path


@dataclass(frozen=True)
class StageOutcome:
    """How a stage came to its output: computed now, or kept from before."""

    stage: Stage
    reused: bool
    elapsed_s: float


def run_stage(stage: Stage, records: Path, console: Console) -> StageOutcome:
    """Runs a stage, or keeps its earlier output if nothing that it depends on has changed.

    Args:
        stage: the stage.
        records: directory for the stage's key and log.
        console: gets one line when the stage is done; a bar runs on terminals until then.

    Raises:
        StageFailedError: the command failed; the message holds the end of its log.
    """
    start_s = time.monotonic()
    record, key = records / f"{stage.name}.json", compute_key(stage)
    if stage.output.exists() and record.is_file():
        kept = json.loads(record.read_text(encoding="utf-8"))
        if kept["key"] == key:
            console.print(f"  {stage.name:<7} kept from {kept['elapsed_s']:.0f} s of work: {stage.label}")
            return StageOutcome(stage, True, time.monotonic() - start_s)
    record.unlink(missing_ok=True)
    _remove(stage.output)
    records.mkdir(parents=True, exist_ok=True)
    stage.output.parent.mkdir(parents=True, exist_ok=True)
    _run_command(stage, records / f"{stage.name}.log", console)
    elapsed_s = time.monotonic() - start_s
    record.write_text(json.dumps({"key": key, "elapsed_s": elapsed_s}) + "\n", encoding="utf-8")
    console.print(f"  {stage.name:<7} {elapsed_s:6.1f} s  {stage.label}")
    return StageOutcome(stage, False, elapsed_s)


def compute_key(stage: Stage) -> str:
    """Returns the stage's key, SHA-256 in hexadecimal."""
    digest = hashlib.sha256(json.dumps([stage.name, *stage.arguments]).encode())
    for package in sorted(stage.sources):
        files = sorted(file for pattern in SOURCE_PATTERNS for file in (ROOT / package).rglob(pattern))
        _digest_files(digest, files, ROOT)
    for path in stage.inputs:
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        _digest_files(digest, files, path.parent)
    return digest.hexdigest()


def _digest_files(digest: "hashlib._Hash", files: list[Path], start: Path) -> None:
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(start)} {content}\n".encode())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        # A SQLite store in WAL mode leaves two files beside it.
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)


def _run_command(stage: Stage, log: Path, console: Console) -> None:
    command = [sys.executable, "-m", *stage.arguments]
    with log.open("wb") as output, show_step(console, stage.label) as update:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        deadline_s = time.monotonic() + TIMEOUT_S
        try:
            while process.poll() is None:
                if time.monotonic() > deadline_s:
                    raise StageFailedError(f"{stage.name} ran longer than {TIMEOUT_S:.0f} s; log: {log}")
                update(read_percent(_read_end(log)))
                time.sleep(0.1)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise StageFailedError(
            f"{stage.name} ended with status {process.returncode}; log: {log}\n{read_tail(log)}"
        )


def read_percent(text: str) -> int | None:
    """Finds the last "30 %" that a command wrote; None where it wrote none."""
    found = PERCENT_PATTERN.findall(text)
    return int(found[-1]) if found else None


def _read_end(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        return file.read().decode("utf-8", errors="replace")
