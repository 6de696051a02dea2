"""Draws the panels of a dashboard where Grafana would put them."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.dashboard.prometheus import Series

GRID_WIDTH: Final = 24
"""Columns of Grafana's grid."""
_INCH_PER_COLUMN: Final = 0.72
_INCH_PER_ROW: Final = 0.42
_UNITS: Final = {
    "reqps": (1.0, "per second"),
    "s": (1e3, "ms"),
    "bytes": (1 / 2**20, "MiB"),
    "percentunit": (100.0, "%"),
    "short": (1.0, ""),
}
_LINE_COUNT_MAX: Final = 10

Ask = Callable[[str], list[Series]]


@dataclass(frozen=True)
class Panel:
    """A panel: its title, place on the grid, unit, and expressions with what names their lines."""

    title: str
    column: int
    row: int
    width: int
    height: int
    unit: str
    targets: tuple[tuple[str, str], ...]


def read_panels(path: Path) -> tuple[Panel, ...]:
    """Reads a dashboard's file."""
    return tuple(_read_panel(each) for each in json.loads(path.read_bytes())["panels"])


def draw(panels: Sequence[Panel], ask: Ask, start_s: float, title: str, path: Path) -> list[str]:
    """Asks every panel's questions and draws what is answered.

    Args:
        panels: what is drawn.
        ask: evaluates an expression over the time that is drawn.
        start_s: the instant that is drawn as 0.
        title: above all panels.
        path: file of the picture.

    Returns:
        Titles of the panels that had nothing to show.
    """
    rows = max(panel.row + panel.height for panel in panels)
    size = GRID_WIDTH * _INCH_PER_COLUMN, rows * _INCH_PER_ROW + 0.6
    figure = plt.figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(rows, GRID_WIDTH)
    empty = []
    for panel in panels:
        place = grid[panel.row : panel.row + panel.height, panel.column : panel.column + panel.width]
        if not _draw_panel(figure.add_subplot(place), panel, ask, start_s):
            empty.append(panel.title)
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return empty


def name_line(template: str, labels: dict[str, str]) -> str:
    """Names a line as Grafana does: every {{label}} of the template by its value."""
    name = re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), template)
    return name.replace("/prudence.v1.", "").strip() or "all"


def _draw_panel(axes: Axes, panel: Panel, ask: Ask, start_s: float) -> bool:
    scale, unit = _UNITS.get(panel.unit, (1.0, panel.unit))
    lines = [
        (name_line(template, series.labels), series)
        for expression, template in panel.targets
        for series in ask(expression)
    ]
    for name, series in lines[:_LINE_COUNT_MAX]:
        times = [at - start_s for at in series.times_s]
        axes.plot(times, [scale * value for value in series.values], label=name, linewidth=1)
    axes.set_title(panel.title + (f", {unit}" if unit else ""), fontsize=9, loc="left")
    axes.set_ylim(bottom=0)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize=6, loc="upper left")
    else:
        axes.text(0.5, 0.5, "nothing was counted", ha="center", va="center", transform=axes.transAxes)
    return bool(lines)


def _read_panel(found: dict[str, Any]) -> Panel:
    place = found["gridPos"]
    return Panel(
        title=found["title"],
        column=place["x"],
        row=place["y"],
        width=place["w"],
        height=place["h"],
        unit=found["fieldConfig"]["defaults"].get("unit", "short"),
        targets=tuple((each["expr"], each.get("legendFormat", "")) for each in found["targets"]),
    )
