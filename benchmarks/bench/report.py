"""Reports the benchmark of a server as tables, JSON and a picture of latency against load."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.bench.recall import RecallResult
from benchmarks.bench.stage_times import StageResult
from benchmarks.load.plan import LoadResult
from benchmarks.machine import Machine

mpl.use("Agg")

from matplotlib import pyplot as plt

WIDTH = 130


@dataclass(frozen=True)
class BenchReport:
    """Everything that one run of the benchmark found.

    Attributes:
        machine: where and when.
        serving: what was served: bundle, model, products, provider, index, kernel, data.
        loads: closed and open loops, in order.
        recalls: recall of served answers, by domain.
        stages: where the time of one caller's requests went.
    """

    machine: Machine
    serving: Mapping[str, Any]
    loads: Sequence[LoadResult]
    recalls: Sequence[RecallResult]
    stages: Sequence[StageResult]


def write_report(report: BenchReport, out: Path, name: str, console: Console) -> None:
    """Prints the tables and writes them, JSON and a picture under a name into a directory."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / f"{name}.txt").open("w", encoding="utf-8") as file:
        for target in (console, Console(file=file, width=WIDTH, highlight=False)):
            _print(report, target)
    text = json.dumps(asdict(report), indent=1, ensure_ascii=False)
    (out / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    _draw(report, out / f"{name}.png")


def _print(report: BenchReport, console: Console) -> None:
    console.print(report.machine.line, markup=False, soft_wrap=True)
    for name, value in report.serving.items():
        console.print(f"{name}: {value}", markup=False, soft_wrap=True)
    console.print("Clients run beside the server and take part of the same cores.")
    console.print(make_load_table(report.loads))
    console.print(make_stage_table(report.stages))
    console.print(make_recall_table(report.recalls))


def make_load_table(loads: Sequence[LoadResult]) -> Table:
    """Tabulates load runs: requests/s, latency, server CPU, errors by reason."""
    table = Table(title="Recommend, k = 10, users in the store", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in (
        "loop",
        "load",
        "requests/s",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "max ms",
        "CPU us",
        "answered",
        "faulty",
    ):
        table.add_column(heading, justify="left" if heading == "loop" else "right")
    table.add_column("errors")
    for load in loads:
        asked = f"{load.concurrency} callers" if load.mode == "closed" else f"{load.offered_rate:,.0f}/s"
        latencies = (load.latency_ms_p50, load.latency_ms_p95, load.latency_ms_p99, load.latency_ms_max)
        errors = ", ".join(f"{reason} {count:,}" for reason, count in sorted(load.error_counts.items()))
        table.add_row(
            load.mode,
            asked,
            f"{load.requests_per_s:,.0f}",
            *(f"{value:.2f}" for value in latencies),
            f"{load.server_cpu_us_per_request:,.0f}",
            f"{load.answered_count:,}",
            f"{load.faulty_count} of {load.checked_count:,}",
            errors or "0",
        )
    return table


def make_stage_table(stages: Sequence[StageResult]) -> Table:
    """Tabulates the stages of one caller's requests."""
    table = Table(title="Where a request's time goes, one caller", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("stage", "p50 us", "p95 us", "share"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in stages:
        table.add_row(stage.stage, f"{stage.p50_us:,.0f}", f"{stage.p95_us:,.0f}", f"{stage.share:.0%}")
    return table


def make_recall_table(recalls: Sequence[RecallResult]) -> Table:
    """Tabulates recall by domain."""
    table = Table(
        title="Served answers against exact float32 search over what suits",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for heading in (
        "domain",
        "users",
        "recall",
        "lowest",
        "same order",
        "unsuitable",
        "eligible",
        "judged by",
        "misjudged",
    ):
        table.add_column(heading, justify="left" if heading in ("domain", "judged by") else "right")
    for recall in recalls:
        table.add_row(
            f"{recall.domain} @{recall.k}",
            str(recall.user_count),
            f"{recall.recall_mean:.4f}",
            f"{recall.recall_min:.2f}",
            f"{recall.same_order_share:.0%}",
            str(recall.ineligible_count),
            f"{recall.eligible_share:.1%}",
            recall.judged_by,
            str(recall.misjudged_count),
        )
    return table


def _draw(report: BenchReport, path: Path) -> None:
    figure, panels = plt.subplots(1, 3, figsize=(15, 4.2), width_ratios=(3, 3, 2))
    panels[1].sharey(panels[0])
    _draw_stages(panels[2], report.stages)
    titles = {"closed": "closed loop (numbers: callers)", "open": "open loop (from intended send time)"}
    for axes, (mode, title) in zip(panels[:2], titles.items(), strict=True):
        loads = [load for load in report.loads if load.mode == mode and load.answered_count]
        rates = [load.requests_per_s if mode == "closed" else load.offered_rate for load in loads]
        for name in ("p50", "p95", "p99"):
            values = [getattr(load, f"latency_ms_{name}") for load in loads]
            axes.plot(rates, values, marker="o", label=name)
        if mode == "closed":
            for rate, load in zip(rates, loads, strict=True):
                axes.annotate(str(load.concurrency), (rate, load.latency_ms_p50), size=8)
        axes.set(title=title, xlabel="requests/s", yscale="log")
        axes.grid(alpha=0.3, which="both")
        axes.legend()
    panels[0].set_ylabel("latency, ms")
    machine = report.machine
    figure.suptitle(
        f"{machine.processor}, {machine.core_count} cores, {machine.commit}, {machine.date}", size=9
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw_stages(axes: Any, stages: Sequence[StageResult]) -> None:
    names = [stage.stage for stage in stages]
    axes.barh(names, [stage.p95_us for stage in stages], color="0.85", label="p95")
    axes.barh(names, [stage.p50_us for stage in stages], label="p50")
    axes.invert_yaxis()
    axes.set(title="stages, one caller", xlabel="us")
    axes.legend()
