"""Reports on one experiment: who took part, what differed, what repeated looks show, and what got worse."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.experiments.compare import METRICS, Comparison, Judged, conclude
from benchmarks.experiments.differences import MISMATCH_P_MAX, Difference
from benchmarks.experiments.log import DAY_US, Log
from benchmarks.report.drawing import draw_estimates, render
from benchmarks.report.section import Picture, Section, Table

PERCENT = 100.0


def make_sections(judged: Judged, log: Log) -> list[Section]:
    """Makes every section, the conclusion first."""
    return [
        _make_conclusion(judged),
        _make_users(judged, log),
        _make_differences(judged),
        *(_make_path(judged, each) for each in judged.comparisons if each.path is not None),
        _make_guardrails(judged),
    ]


def make_body(judged: Judged, log: Log) -> dict[str, Any]:
    """Returns every figure, for the JSON file."""
    return {
        "experiment": judged.experiment.name,
        "metric": judged.metric,
        "level": judged.level,
        "mismatch_p": judged.mismatch_p,
        "user_counts": dict(judged.exposed.user_counts),
        "several_variant_user_count": judged.exposed.several_count,
        "late_user_count": judged.exposed.late_count,
        "nameless_answer_count": log.nameless_count,
        "unmatched_event_counts": dict(log.unmatched),
        "variants": [
            {
                "variant": each.variant,
                "conclusion": conclude(judged, each),
                "differences": {
                    name: asdict(found) | {"difference": found.value}
                    for name, found in each.differences.items()
                },
                "sequential": None if each.path is None else _describe_path(each),
                "guardrails": [asdict(guardrail) for guardrail in each.guardrails],
            }
            for each in judged.comparisons
        ],
    }


def _make_conclusion(judged: Judged) -> Section:
    rows = tuple((each.variant, conclude(judged, each)) for each in judged.comparisons)
    return Section(
        "conclusion",
        "What may be concluded",
        (
            f"The metric that decides is {judged.metric}: {METRICS[judged.metric]}. The decision is that of "
            "the sequential test, which is valid however often this report was read before.",
        ),
        (Table("Variants", ("variant", "conclusion"), rows),),
    )


def _make_users(judged: Judged, log: Log) -> Section:
    shares = {variant.name: variant.share_bps for variant in judged.experiment.variants}
    total, drawn = sum(judged.exposed.user_counts.values()), sum(shares.values())
    rows = []
    for name, outcomes in judged.exposed.variants.items():
        count = judged.exposed.user_counts[name]
        answers = int(outcomes.columns["answers"].sum())
        expected = f"{total * shares[name] / drawn:,.0f}"
        rows.append((name, f"{count:,}", expected, f"{outcomes.user_count:,}", f"{answers:,}"))
    verdict = "as they were drawn" if judged.sound else "NOT as they were drawn: nothing below is to be used"
    unmatched = ", ".join(f"{count:,} {reason}" for reason, count in log.unmatched.items())
    return Section(
        "users",
        "Who took part",
        (
            f"Users are spread over the variants {verdict} (chi-square, p = {judged.mismatch_p:.3g}; an "
            f"alarm below {MISMATCH_P_MAX}).",
            f"Users seen under several variants, and left out: {judged.exposed.several_count:,}. Users who "
            f"came too late to be looked at for the whole window: {judged.exposed.late_count:,}. Answers to "
            f"users whom the store does not know, left out: {log.nameless_count:,}.",
            f"Events that belong to no answer of the log: {unmatched}.",
        ),
        (
            Table(
                "Users by variant",
                ("variant", "users", "expected by its share", "looked at", "answers to these"),
                tuple(sorted(rows, key=lambda row: list(shares).index(row[0]))),
            ),
        ),
    )


def _make_differences(judged: Judged) -> Section:
    rows = []
    for each in judged.comparisons:
        for name, found in each.differences.items():
            percent = name != "revenue"
            rows.append(
                (
                    f"{each.variant}: {METRICS[name]}",
                    _show(found.control, percent=percent),
                    _show(found.variant, percent=percent),
                    f"{_show(found.value, percent=percent, signed=True)} "
                    f"({_show(found.low, percent=percent, signed=True)} to "
                    f"{_show(found.high, percent=percent, signed=True)})",
                    f"{found.p_value:.3g}",
                )
            )
    level = f"{judged.level:.4g}"
    return Section(
        "differences",
        "What differed",
        (
            "These intervals and p-values are for one look at the end of the time that was planned. Who "
            "looks earlier and stops at a difference finds too many; the sequential test is for that.",
            "Clicks of what was seen vary between users, and one user's answers are not independent: the "
            "interval is over users, by the delta method. Shares of users are compared by the two-proportion "
            "test, with Newcombe's interval.",
        ),
        (
            Table(
                f"Differences to {judged.control}, with intervals of level {level}",
                ("metric", judged.control, "variant", "difference", "p"),
                tuple(rows),
            ),
        ),
        (_draw_differences(judged),),
    )


def _draw_differences(judged: Judged) -> Picture:
    series = {
        each.variant: [_relate(found) for found in each.differences.values()] for each in judged.comparisons
    }

    def draw(panels: Sequence[Any]) -> None:
        draw_estimates(
            panels[0], list(METRICS), series, unit=f"difference to {judged.control}, % of its figure"
        )
        panels[0].axvline(0, linewidth=1, color="gray")

    return render(
        "differences", "Differences of each metric to the control, with intervals", draw, height=2.6
    )


def _relate(found: Difference) -> Estimate | None:
    if found.control == 0:
        return None
    share = PERCENT / found.control
    return Estimate(found.value * share, found.low * share, found.high * share)


def _make_path(judged: Judged, comparison: Comparison) -> Section:
    path = comparison.path
    assert path is not None
    decided = "has not left 0" if path.decided_us is None else f"left 0 on {_show_day(path.decided_us)}"
    percent = judged.metric != "revenue"
    found = (
        f"{_show(path.value[-1], percent=percent, signed=True)} "
        f"({_show(path.low[-1], percent=percent, signed=True)} to "
        f"{_show(path.high[-1], percent=percent, signed=True)})"
    )
    scale = PERCENT if percent else 1.0

    def draw(panels: Sequence[Any]) -> None:
        days = (path.time_us - path.time_us[0]) / DAY_US
        panels[0].fill_between(days, path.low * scale, path.high * scale, alpha=0.25)
        panels[0].plot(days, path.value * scale)
        panels[0].axhline(0, linewidth=1, color="gray")
        panels[0].set_title(comparison.variant)
        panels[0].set_xlabel(f"days since the first look, {_show_day(int(path.time_us[0]))}")
        panels[0].set_ylabel(f"difference of {judged.metric}{', points' if percent else ''}")

    name = f"sequential-{comparison.variant}"
    return Section(
        name,
        f"Looking every day: {comparison.variant}",
        (
            f"The interval holds at all looks together. It {decided}; the last of {len(path.value)} looks "
            f"found {found}, and the always-valid p-value is {path.p_value[-1]:.3g}.",
        ),
        (),
        (render(name, f"Difference of {judged.metric} after each day, with its interval", draw),),
    )


def _make_guardrails(judged: Judged) -> Section:
    rows = [
        (
            f"{each.variant}: {guardrail.name}",
            f"{guardrail.control:.4g}",
            f"{guardrail.variant:.4g}",
            f"{guardrail.worse_low:+.1%} to {guardrail.worse_high:+.1%}",
            f"{guardrail.margin:.0%}",
            guardrail.verdict.value,
        )
        for each in judged.comparisons
        for guardrail in each.guardrails
    ]
    return Section(
        "guardrails",
        "What must not become worse",
        (
            "A guardrail holds if the interval leaves no figure possible that is worse than the control's by "
            "more than its margin; undecided means that too few users were looked at to say.",
        ),
        (
            Table(
                "Guardrails",
                ("guardrail", judged.control, "variant", "worse by", "margin", "verdict"),
                tuple(rows),
            ),
        ),
        (_draw_guardrails(judged),),
    )


def _draw_guardrails(judged: Judged) -> Picture:
    labels, shown, margins = [], [], []
    for each in judged.comparisons:
        for guardrail in each.guardrails:
            if np.isfinite(guardrail.worse_high):
                low, high = guardrail.worse_low * PERCENT, guardrail.worse_high * PERCENT
                labels.append(f"{each.variant}: {guardrail.name}")
                shown.append(Estimate((low + high) / 2, low, high))
                margins.append(guardrail.margin * PERCENT)

    def draw(panels: Sequence[Any]) -> None:
        draw_estimates(panels[0], labels, {"interval": shown}, unit="worse than the control by, %")
        panels[0].scatter(
            margins, np.arange(len(margins))[::-1], marker="|", s=160, color="C1", label="margin"
        )
        panels[0].legend(fontsize="small")

    height = 1.4 + 0.35 * len(labels)
    return render("guardrails", "How much worse each guardrail may be, and its margin", draw, height=height)


def _describe_path(comparison: Comparison) -> dict[str, Any]:
    path = comparison.path
    assert path is not None
    decided = path.decided_us
    return {
        "look_count": len(path.value),
        "difference": float(path.value[-1]),
        "low": float(path.low[-1]),
        "high": float(path.high[-1]),
        "p_value": float(path.p_value[-1]),
        "decided_on": None if decided is None else _show_day(decided),
    }


def _show(value: float, *, percent: bool, signed: bool = False) -> str:
    text = f"{value * PERCENT:+.3f} %" if percent else f"{value:+,.1f}"
    return text if signed else text.lstrip("+")


def _show_day(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).date().isoformat()
