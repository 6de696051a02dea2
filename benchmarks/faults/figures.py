"""What a fault test found, how runs add up, and whether that reaches what was asked."""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from benchmarks.faults.ground import Ground

Relation = Literal["==", "<", "<=", ">="]


@dataclass(frozen=True)
class Findings:
    """What one run or several found.

    Attributes:
        counts: what adds up over runs.
        worst: the largest value of all runs.
        samples: values that are kept side by side; their median is what counts.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    worst: Mapping[str, float] = field(default_factory=dict)
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __add__(self, other: "Findings") -> "Findings":
        """Returns the findings of both."""
        counts = {name: self.counts.get(name, 0) + other.counts.get(name, 0) for name in _names(self, other)}
        worst = dict(self.worst)
        for name, value in other.worst.items():
            worst[name] = max(value, worst.get(name, value))
        samples = dict(self.samples)
        for name, values in other.samples.items():
            samples[name] = (*samples.get(name, ()), *values)
        return Findings(counts, worst, samples)

    def find(self, name: str) -> float | None:
        """Returns the figure of that name, None where nothing was found."""
        if name in self.counts:
            return float(self.counts[name])
        if name in self.worst:
            return self.worst[name]
        values = self.samples.get(name, ())
        return statistics.median(values) if values else None

    def to_json(self) -> dict[str, Any]:
        """Returns what `read_findings` takes."""
        return {"counts": dict(self.counts), "worst": dict(self.worst), "samples": dict(self.samples)}


def read_findings(body: Mapping[str, Any]) -> Findings:
    """Reads findings that were kept."""
    samples = {name: tuple(values) for name, values in body["samples"].items()}
    return Findings(dict(body["counts"]), dict(body["worst"]), samples)


@dataclass(frozen=True)
class Target:
    """What a figure must reach: its name, the relation, the limit, and the unit of both."""

    figure: str
    relation: Relation
    limit: float
    unit: str = ""

    def holds(self, value: float) -> bool:
        """Tells whether a value reaches the limit."""
        return {
            "==": value == self.limit,
            "<": value < self.limit,
            "<=": value <= self.limit,
            ">=": value >= self.limit,
        }[self.relation]


class Verdict(StrEnum):
    """What became of a test."""

    REACHED = "reached"
    SHORT = "holds so far"
    """Every figure holds, but less was tried than the table asks."""
    MISSED = "MISSED"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class FaultTest:
    """One test of the table.

    Attributes:
        number: in the table of serving.md.
        title: what is done to the server.
        run: does it once; `scale` is the share of the full counts, and `seed` draws everything.
        asked: counts that a full run reaches.
        targets: what the figures must reach.
        missing: what the table asks for and this test does not do; empty if nothing.
        part: the largest share of the full counts that is done before what was found is kept.
    """

    number: int
    title: str
    run: Callable[[Ground, float, int], Findings]
    asked: Mapping[str, int]
    targets: tuple[Target, ...]
    missing: str = ""
    part: float = 1.0

    def split(self, scale: float) -> tuple[float, ...]:
        """Returns the shares that are done one after the other, so that a run that is stopped keeps most."""
        count = math.ceil(round(scale / self.part, 6))
        return (scale / count,) * count

    def judge(self, findings: Findings | None) -> Verdict:
        """Says what became of the test; a figure that was not found is missed."""
        if findings is None:
            return Verdict.NOT_RUN
        if self.list_missed(findings):
            return Verdict.MISSED
        return Verdict.SHORT if self.find_share(findings)[0] < 1.0 or self.missing else Verdict.REACHED

    def list_missed(self, findings: Findings) -> tuple[Target, ...]:
        """Returns the targets that were not reached."""
        values = [(target, findings.find(target.figure)) for target in self.targets]
        return tuple(target for target, value in values if value is None or not target.holds(value))

    def find_share(self, findings: Findings) -> tuple[float, str]:
        """Returns the share of what is asked that was tried, at most 1, and the count furthest behind."""
        counts = findings.counts
        shares = ((min(1.0, counts.get(name, 0) / asked), name) for name, asked in self.asked.items())
        return min(shares, key=lambda pair: pair[0])


def share(count: int, scale: float) -> int:
    """Returns a share of a full count, at least 1."""
    return max(1, round(count * scale))


def _names(*findings: Findings) -> list[str]:
    return list(dict.fromkeys(name for each in findings for name in each.counts))
