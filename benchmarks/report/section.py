"""The parts of a report: sections of sentences, tables and pictures."""

from dataclasses import dataclass

from benchmarks.evaluate.intervals import Estimate, estimate
from benchmarks.evaluate.metrics import FloatArray


@dataclass(frozen=True)
class Table:
    """Cells as text; the first column names the row."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.caption}: ragged rows"


@dataclass(frozen=True)
class Picture:
    """One chart as PNG, drawn for a light page and for a dark one."""

    name: str
    alt: str
    light: bytes
    dark: bytes


@dataclass(frozen=True)
class Section:
    """One question and what was measured of it."""

    name: str
    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...] = ()


def estimate_mean(values: FloatArray) -> Estimate:
    """Estimates the mean over users of one value each, with a 95 % bootstrap interval; at least one user."""
    return estimate([[str(row) for row in range(len(values))]], [values])


def show(estimated: Estimate) -> str:
    """Writes a mean with its interval."""
    return f"{estimated.mean:.4f} ({estimated.low:.3f} to {estimated.high:.3f})"


def show_share(part: float, whole: float) -> str:
    """Writes a share in percent; "-" where there is nothing to share."""
    return f"{part / whole:.1%}" if whole else "-"
