"""Draws charts, each for a light page and for a dark one: the only door to matplotlib here."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.report.section import Picture

mpl.use("Agg")

from matplotlib import pyplot as plt

# After Okabe and Ito 2008: told apart by colour-blind people, and lighter on dark.
LIGHT_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#8A5A83", "#6B6B6B")
DARK_COLOURS: Final = ("#56B4E9", "#E69F00", "#2FC796", "#CC79A7", "#B5B5B5")
_DPI: Final = 110
_OVERVIEW_DPI: Final = 100
_OVERVIEW_COLUMNS: Final = 2

Draw = Callable[[Sequence[Any]], None]


def render(name: str, alt: str, draw: Draw, *, panels: int = 1, height: float = 3.4) -> Picture:
    """Draws a chart twice.

    Args:
        name: of its file.
        alt: what it shows, for people who do not see it.
        draw: draws on the axes that it is given, `panels` of them side by side.
        panels: number of axes.
        height: inches.
    """
    light = _render(draw, _settings("#ffffff", "#222222", "#dddddd", LIGHT_COLOURS), panels, height)
    dark = _render(draw, _settings("#1b1d21", "#e6e6e6", "#3c4047", DARK_COLOURS), panels, height)
    return Picture(name, alt, light, dark)


def draw_estimates(
    axes: Any, labels: Sequence[str], series: Mapping[str, Sequence[Estimate | None]], *, unit: str
) -> None:
    """Draws one row for each label, and in it each series as a point with its interval."""
    rows = np.arange(len(labels))[::-1]
    height = 0.6 / max(1, len(series))
    for number, (name, estimates) in enumerate(series.items()):
        offset = (len(series) - 1) * height / 2 - number * height
        known = [(row, one) for row, one in zip(rows, estimates, strict=True) if one is not None]
        means = np.array([one.mean for _, one in known])
        errors = np.array([[one.mean - one.low, one.high - one.mean] for _, one in known]).reshape(-1, 2).T
        axes.errorbar(
            means, [row + offset for row, _ in known], xerr=np.maximum(errors, 0), fmt="o", ms=4, label=name
        )
    axes.set_yticks(rows, labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlabel(unit)
    if len(series) > 1:
        axes.legend(fontsize="small")


def draw_bars(axes: Any, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, unit: str) -> None:
    """Draws one group of bars for each label, and in it a bar for each series."""
    places, width = np.arange(len(labels)), 0.8 / max(1, len(series))
    for number, (name, values) in enumerate(series.items()):
        axes.bar(places - 0.4 + width * (number + 0.5), values, width, label=name)
    axes.set_xticks(places, labels)
    axes.set_ylabel(unit)
    if len(series) > 1:
        axes.legend(fontsize="small")


def draw_overview(pictures: Sequence[Picture], title: str) -> bytes:
    """Puts the light charts together as one PNG."""
    images = [plt.imread(io.BytesIO(picture.light), format="png") for picture in pictures]
    rows = [images[first : first + _OVERVIEW_COLUMNS] for first in range(0, len(images), _OVERVIEW_COLUMNS)]
    heights = [max(image.shape[0] / image.shape[1] for image in row) for row in rows]
    figure, grid = plt.subplots(
        len(rows), _OVERVIEW_COLUMNS, figsize=(8.2 * _OVERVIEW_COLUMNS, 8.4 * sum(heights)), squeeze=False,
        layout="constrained", height_ratios=heights,
    )  # fmt: skip
    for axes in grid.flat:
        axes.axis("off")
    for axes, image in zip(grid.flat, images, strict=False):
        axes.imshow(image)
    figure.suptitle(title, fontsize=14)
    return _save(figure, _OVERVIEW_DPI)


def _settings(ground: str, ink: str, line: str, colours: Sequence[str]) -> dict[str, Any]:
    return {
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "savefig.facecolor": ground,
        "legend.facecolor": ground,
        "legend.edgecolor": line,
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.titlecolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": line,
        "grid.color": line,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "font.size": 9,
        "axes.prop_cycle": mpl.rcsetup.cycler(color=list(colours)),
    }


def _render(draw: Draw, settings: Any, panels: int, height: float) -> bytes:
    with mpl.rc_context(settings):
        figure, grid = plt.subplots(1, panels, figsize=(8, height), squeeze=False, layout="constrained")
        draw(list(grid.flat))
        return _save(figure, _DPI)


def _save(figure: Any, dpi: int) -> bytes:
    buffer = io.BytesIO()
    # Without the version of the library the same chart is the same bytes.
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
