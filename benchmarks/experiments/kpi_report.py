"""Reports on campaigns and placements: click-through, conversion, revenue and retention, with charts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.experiments.campaigns import (
    RETENTION_DAYS,
    Day,
    Kpis,
    measure_all,
    measure_days,
    measure_tags,
)
from benchmarks.experiments.log import Log
from benchmarks.report.drawing import draw_bars, draw_estimates, render
from benchmarks.report.section import Picture, Section, Table

UNTAGGED = "(none)"
SHOWN_COUNT_MAX = 12
"""So many tags fit into a chart; the tables have all."""


@dataclass(frozen=True)
class Measured:
    """Everything that the report shows."""

    total: Kpis
    campaigns: tuple[Kpis, ...]
    placements: tuple[Kpis, ...]
    days: tuple[Day, ...]


def measure(log: Log) -> Measured:
    """Measures a log."""
    return Measured(
        measure_all(log),
        tuple(measure_tags(log, "campaign")),
        tuple(measure_tags(log, "placement")),
        tuple(measure_days(log)),
    )


def make_sections(measured: Measured, log: Log) -> list[Section]:
    """Makes every section."""
    return [
        _make_total(measured, log),
        _make_tags("campaigns", "Campaigns", measured.campaigns),
        _make_tags("placements", "Placements", measured.placements),
        _make_retention(measured),
    ]


def make_body(measured: Measured, log: Log) -> dict[str, Any]:
    """Returns every figure, for the JSON file."""
    return {
        **asdict(measured),
        "nameless_answer_count": log.nameless_count,
        "unmatched_event_counts": dict(log.unmatched),
        "seen_by": _say_seen(log),
    }


def _make_total(measured: Measured, log: Log) -> Section:
    matched = len(log.events.kind)
    lost = sum(log.unmatched.values())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in log.unmatched.items())
    return Section(
        "all",
        "Everything together",
        (
            f"Seen is what {_say_seen(log)}. Clicks and sales count each product of an answer once. "
            "Intervals are over users, whose answers are not independent.",
            f"{matched:,} events belong to an answer of the log; {lost:,} do not and count nowhere: "
            f"{reasons}. {log.nameless_count:,} answers went to users whom the store does not know, and are "
            "left out.",
        ),
        (_make_table("All answers", (measured.total,)),),
        (_draw_days(measured.days),),
    )


def _make_tags(name: str, title: str, tags: Sequence[Kpis]) -> Section:
    return Section(name, title, (), (_make_table(title, tags),), (_draw_tags(name, title, tags),))


def _make_table(caption: str, tags: Sequence[Kpis]) -> Table:
    rows = tuple(
        (
            tag.name or UNTAGGED,
            f"{tag.answer_count:,}",
            f"{tag.user_count:,}",
            f"{tag.click_count:,}",
            _show(tag.ctr),
            f"{tag.sale_count:,}",
            _show(tag.conversion),
            f"{tag.revenue_minor:,}",
        )
        for tag in tags
    )
    columns = ("tag", "answers", "users", "clicks", "CTR", "sales", "conversion", "revenue, minor units")
    return Table(caption, columns, rows)


def _make_retention(measured: Measured) -> Section:
    tags = [measured.total, *measured.campaigns]
    rows = tuple(
        (tag.name or UNTAGGED, *(_show(tag.retention[days]) for days in RETENTION_DAYS)) for tag in tags
    )
    labels = [row[0] for row in rows][:SHOWN_COUNT_MAX]
    series = {
        f"within {days} day{'s' if days > 1 else ''}": [tag.retention[days] for tag in tags][: len(labels)]
        for days in RETENTION_DAYS
    }

    def draw(panels: Sequence[Any]) -> None:
        known = {name: list(map(_in_percent, estimates)) for name, estimates in series.items()}
        draw_estimates(panels[0], labels, known, unit="users who came back, %")

    height = 1.5 + 0.45 * len(labels)
    return Section(
        "retention",
        "Who comes back",
        (
            "Users who got another answer, of whatever campaign, on a later day (UTC), at most so many days "
            "after their first answer of the campaign. Users whose days are not over yet are left out; "
            "- says that nobody's are.",
        ),
        (Table("Retention by campaign", ("campaign", *(f"{days} d" for days in RETENTION_DAYS)), rows),),
        (render("retention", "Share of users who came back, by campaign", draw, height=height),),
    )


def _draw_tags(name: str, title: str, tags: Sequence[Kpis]) -> Picture:
    shown = tags[:SHOWN_COUNT_MAX]
    labels = [tag.name or UNTAGGED for tag in shown]

    def draw(panels: Sequence[Any]) -> None:
        for axes, unit, estimates in (
            (panels[0], "CTR, %", [tag.ctr for tag in shown]),
            (panels[1], "conversion, %", [tag.conversion for tag in shown]),
        ):
            draw_estimates(axes, labels, {title: list(map(_in_percent, estimates))}, unit=unit)
        draw_bars(panels[2], labels, {title: [float(tag.revenue_minor) for tag in shown]}, unit="minor units")
        panels[2].set_title("revenue")
        panels[2].tick_params(axis="x", rotation=30)

    return render(name, f"Click-through, conversion and revenue by {title.lower()}", draw, panels=3)


def _draw_days(days: Sequence[Day]) -> Picture:
    def draw(panels: Sequence[Any]) -> None:
        numbers = np.arange(len(days))
        for axes, unit, values in (
            (panels[0], "CTR, %", [100 * day.ctr for day in days]),
            (panels[1], "conversion, %", [100 * day.conversion for day in days]),
        ):
            axes.plot(numbers, values)
            axes.set_ylabel(unit)
            axes.set_ylim(bottom=0)
            axes.set_xlabel(f"days since {_show_day(days[0].day)}")

    return render("days", "Click-through and conversion by day", draw, panels=2)


def _say_seen(log: Log) -> str:
    if log.impressions_logged:
        return "impressions say, and whatever was acted on"
    return "answers held, since the log holds no impressions"


def _in_percent(estimate: Estimate | None) -> Estimate | None:
    if estimate is None or not np.isfinite(estimate.mean):
        return None
    return Estimate(100 * estimate.mean, 100 * estimate.low, 100 * estimate.high)


def _show(estimate: Estimate | None) -> str:
    if estimate is None or not np.isfinite(estimate.mean):
        return "-"
    return f"{estimate.mean:.2%} ({estimate.low:.2%} to {estimate.high:.2%})"


def _show_day(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).date().isoformat()
