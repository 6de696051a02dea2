"""Reports what changes of the catalogue cost, as tables, JSON and a picture."""

from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.bench.scene import shorten_count
from benchmarks.catalogue.measure import CatalogueCosts
from benchmarks.machine import Machine
from benchmarks.report_files import write_tables

mpl.use("Agg")

from matplotlib import pyplot as plt


def write_report(costs: CatalogueCosts, machine: Machine, out: Path, console: Console) -> None:
    """Writes catalogue-COUNT.txt, .json and .png, and shows the tables."""
    name = f"catalogue-{shorten_count(costs.product_count)}"

    def show(target: Console) -> None:
        target.print(machine.line, markup=False, soft_wrap=True)
        target.print(
            f"PatchProducts on {costs.product_count:,} products, checked, durable and in force; to compile "
            f"the gate of all takes {costs.gate_cpu_ms:.0f} ms, the filter {costs.filter_cpu_ms:.0f} ms",
            _tabulate_patches(costs),
            f"index update of {costs.update.row_count} rows, {costs.update.embedded_count} embedded; "
            f"{costs.update.wall_s:.1f} s elapsed",
            _tabulate_update(costs),
            _describe_log(costs),
            soft_wrap=True,
            sep="\n",
        )

    write_tables(out, name, console, show, {"machine": asdict(machine), **asdict(costs)})
    _draw(costs, machine.line, out / f"{name}.png")


def _tabulate_patches(costs: CatalogueCosts) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("products of a call", "CPU ms, p50", "elapsed ms, p50"):
        table.add_column(name, justify="right")
    for each in costs.patches:
        table.add_row(f"{each.product_count:,}", f"{each.cpu_ms:.0f}", f"{each.wall_ms:.0f}")
    return table


def _tabulate_update(costs: CatalogueCosts) -> Table:
    update = costs.update
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("step")
    table.add_column("CPU s", justify="right")
    for step, cpu_s in update.steps_cpu_s:
        table.add_row(step, f"{cpu_s:.2f}")
    table.add_row("all", f"{update.cpu_s:.2f}")
    return table


def _describe_log(costs: CatalogueCosts) -> str:
    log = costs.log
    return (
        f"the log of {log.call_count} calls over {log.patched_count:,} products: {log.log_bytes:,} bytes, "
        f"{log.start_cpu_ms:.0f} ms of CPU time to read at a start; compacted in {log.compact_cpu_ms:.0f} ms "
        f"to {log.snapshot_bytes:,} bytes, {log.compacted_start_cpu_ms:.0f} ms"
    )


def _draw(costs: CatalogueCosts, caption: str, path: Path) -> None:
    figure, (patches, update) = plt.subplots(1, 2, figsize=(11, 3.4))
    names = [f"patch {each.product_count:,}" for each in costs.patches] + ["compile gate", "compile filter"]
    times = [each.cpu_ms for each in costs.patches] + [costs.gate_cpu_ms, costs.filter_cpu_ms]
    bars = patches.barh(names, times, color=["#0072B2"] * len(costs.patches) + ["#B0B0B0"] * 2)
    patches.bar_label(bars, [f"{each:.0f}" for each in times], padding=3)
    patches.set(xlabel="ms of CPU time, p50", xlim=(0, max(times) * 1.15))
    steps = costs.update.steps_cpu_s
    bars = update.barh([step for step, _ in steps], [cpu_s for _, cpu_s in steps], color="#009E73")
    update.bar_label(bars, [f"{cpu_s:.2f}" for _, cpu_s in steps], padding=3)
    update.set(
        xlabel=f"s of CPU time; index update of {costs.update.row_count} rows: {costs.update.cpu_s:.1f} s",
        xlim=(0, max(cpu_s for _, cpu_s in steps) * 1.15),
    )
    for axes in (patches, update):
        axes.invert_yaxis()
        axes.grid(alpha=0.3, axis="x")
    figure.suptitle(f"{costs.product_count:,} products\n{caption}", size=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
