"""Draws what was measured of the feedback log."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.feedback.reports import Throughput

TARGET_EVENTS_PER_S = 5000


def draw(path: Path, shapes: Sequence[Throughput], latencies_ms: Sequence[float], title: str) -> None:
    """Draws throughput by the size of a call, and how long events took to change an answer.

    Args:
        path: picture to write.
        shapes: what callers reached.
        latencies_ms: from sending an event to having the changed answer.
        title: stands above.
    """
    figure = Figure(figsize=(10, 4))
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    names = [f"{shape.batch_count} x {shape.caller_count}" for shape in shapes]
    left.bar(names, [shape.events_per_s for shape in shapes])
    left.axhline(TARGET_EVENTS_PER_S, color="black", linestyle="--", label="to reach")
    left.set_xlabel("events of a call x callers")
    left.set_ylabel("durable events per second")
    left.legend()
    right.hist(latencies_ms, bins=40)
    right.set_xlabel("from event to changed answer, ms (to reach: p99 below 1000)")
    right.set_ylabel("events")
    figure.suptitle(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
