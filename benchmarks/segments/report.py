"""Reports on segments and association rules as tables, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.evaluate.intervals import Estimate
from benchmarks.machine import Machine
from benchmarks.report_files import write_tables
from benchmarks.segments.cost import Cost
from benchmarks.segments.portrait import Portrait
from benchmarks.segments.quality import K, Reach, Row
from index.segments import Segments

mpl.use("Agg")

from matplotlib import pyplot as plt

_POINT_COUNT: Final = 3_000
_TITLE_LENGTH: Final = 42


@dataclass(frozen=True)
class Report:
    """All that was found.

    Attributes:
        segments: those of the bundle.
        portraits: one for each.
        places: the segment of each user asked about, int64 [users].
        points: where each stands, float64 [users, 2].
        variance_share: what the points show of all variance.
        rows: lists by ways to rank.
        reach: of the rules.
        costs: CPU time of a request.
        facts: what was looked at, for people.
    """

    segments: Segments
    portraits: Sequence[Portrait]
    places: NDArray[np.int64]
    points: NDArray[np.float64]
    variance_share: float
    rows: Sequence[Row]
    reach: Reach
    costs: Sequence[Cost]
    facts: Sequence[str]


def write_report(out: Path, name: str, report: Report, machine: Machine, console: Console) -> None:
    """Shows the tables and writes them with JSON and a picture."""

    def show(target: Console) -> None:
        target.print(_make_segment_table(name, report))
        target.print(_make_quality_table(report.rows))
        for text in (
            _describe_reach(report.reach),
            _describe_costs(report.costs),
            *report.facts,
            machine.line,
        ):
            target.print(text, markup=False, highlight=False, soft_wrap=True)

    body = {
        "segments": report.segments.describe(),
        "portraits": [asdict(one) for one in report.portraits],
        "projection_variance_share": report.variance_share,
        "k": K,
        "rows": [asdict(row) for row in report.rows],
        "rules": asdict(report.reach),
        "costs": [asdict(one) for one in report.costs],
        "facts": list(report.facts),
        "machine": asdict(machine),
    }
    write_tables(out, name, console, show, body)
    _draw(out / f"{name}.png", name, report)


def _make_segment_table(name: str, report: Report) -> Table:
    table = Table(title=name, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for text in ("segment", "users", "share", "product", "title", "its users", "lift"):
        left = text in {"segment", "product", "title"}
        table.add_column(text, justify="left" if left else "right", no_wrap=True)
    for one in report.portraits:
        cells = [one.segment_id, f"{one.user_count:,}", f"{one.user_count / len(report.places):.1%}"]
        for top in one.top or [None]:
            told = ["", "", "", ""]
            if top is not None:
                told = [top.product_id, top.title[:_TITLE_LENGTH], f"{top.owner_count:,}", f"{top.lift:.2f}"]
            table.add_row(*cells, *told)
            cells = ["", "", ""]
    return table


def _make_quality_table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for text in ("question", "ranked by", "users", f"recall@{K}", f"nDCG@{K}", "95 %", "against the first"):
        left = text in {"question", "ranked by"}
        table.add_column(text, justify="left" if left else "right", no_wrap=True)
    before = ""
    for row in rows:
        table.add_row(
            row.question if row.question != before else "",
            row.way,
            f"{row.user_count:,}",
            f"{row.recall.mean:.4f}",
            f"{row.ndcg.mean:.4f}",
            f"{row.ndcg.low:.4f}-{row.ndcg.high:.4f}",
            "" if row.ndcg_gain is None else _show_gain(row.ndcg_gain),
        )
        before = row.question
    return table


def _show_gain(gain: Estimate) -> str:
    return f"{gain.mean:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})"


def _describe_reach(reach: Reach) -> str:
    return (
        f"{reach.rule_count:,} rules; one leads from the history of {reach.asked_share:.1%} of the users, "
        f"and to {reach.listed_share:.1%} of the first {K} courses listed"
    )


def _describe_costs(costs: Sequence[Cost]) -> str:
    told = ", ".join(f"{one.way} {one.us:.0f} us ({one.ratio:.3f})" for one in costs)
    return (
        f"CPU time of search and list, one request at a time, and its ratio to a bundle with neither: {told}"
    )


def _draw(path: Path, name: str, report: Report) -> None:
    figure, panels = plt.subplots(2, 2, figsize=(12, 9))
    _draw_sizes(panels[0, 0], report)
    _draw_silhouettes(panels[0, 1], report.segments)
    _draw_top(panels[1, 0], report.portraits)
    _draw_points(panels[1, 1], report)
    figure.suptitle(f"{name}: {report.facts[0]}", size=9, wrap=True)
    figure.tight_layout()
    figure.savefig(path, dpi=90, bbox_inches="tight")
    plt.close(figure)


def _draw_sizes(axes: Any, report: Report) -> None:
    names = [one.segment_id for one in report.portraits]
    axes.bar(names, [one.user_count for one in report.portraits], color=_colours(len(names)))
    axes.set(title="Users by segment", ylabel="users")


def _draw_silhouettes(axes: Any, segments: Segments) -> None:
    counts = sorted(segments.silhouettes)
    axes.plot(counts, [segments.silhouettes[count] for count in counts], marker="o")
    axes.axvline(len(segments.segment_ids), color="grey", linestyle="--", label="taken")
    axes.set(title="Mean silhouette by number of segments", xlabel="segments", ylabel="silhouette")
    axes.legend()
    axes.grid(alpha=0.3)


def _draw_top(axes: Any, portraits: Sequence[Portrait]) -> None:
    colours = _colours(len(portraits))
    bars = [
        (f"{top.title or top.product_id}"[:_TITLE_LENGTH], top.lift, colour)
        for one, colour in zip(portraits, colours, strict=True)
        for top in one.top[:4]
    ][::-1]
    axes.barh(range(len(bars)), [lift for _, lift, _ in bars], color=[colour for *_, colour in bars])
    axes.set_yticks(range(len(bars)), [title for title, *_ in bars], fontsize=7)
    axes.set(title="What a segment has more often than all users", xlabel="times the share among all")


def _draw_points(axes: Any, report: Report) -> None:
    shown = slice(0, _POINT_COUNT)
    colours = np.array(_colours(len(report.portraits)))[report.places[shown]]
    axes.scatter(*report.points[shown].T, c=colours, s=4, linewidths=0)
    axes.set(
        title=f"Users on two principal components ({report.variance_share:.0%} of variance)",
        xticks=[],
        yticks=[],
    )


def _colours(count: int) -> list[str]:
    return [mpl.colors.to_hex(mpl.colormaps["tab10"](number % 10)) for number in range(count)]
