"""Shows how the model learned: loss of every epoch, and quality on validation where it was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report.drawing import render
from benchmarks.report.section import Section, Table

COLUMNS = ("stage", "epoch", "loss", "nDCG@10", "recall@20", "seconds")


def make_curves(metrics: Mapping[str, Any]) -> Section:
    """Reads the history that a training run stores in metrics.json.

    Args:
        metrics: with `stages`, each with `name` and `epochs`, and `epoch_count`, the best of the search.
    """
    stages: Sequence[Mapping[str, Any]] = metrics["stages"]
    rows = [
        (stage["name"], str(number), f"{epoch['loss']:.4f}", *_show_quality(epoch), f"{epoch['seconds']:.0f}")
        for stage in stages
        for number, epoch in enumerate(stage["epochs"], start=1)
    ]

    def draw(panels: Sequence[Any]) -> None:
        for stage in stages:
            losses = [epoch["loss"] for epoch in stage["epochs"]]
            panels[0].plot(range(1, len(losses) + 1), losses, marker="o", ms=3, label=stage["name"])
            known = [
                (number, epoch["quality"])
                for number, epoch in enumerate(stage["epochs"], start=1)
                if epoch["quality"] is not None
            ]
            for name, label in (("ndcg_at_10", "nDCG@10"), ("recall_at_20", "recall@20")):
                if known:
                    values = [quality[name] for _, quality in known]
                    panels[1].plot([number for number, _ in known], values, marker="o", ms=3, label=label)
        panels[0].set(title="Loss", xlabel="epoch")
        panels[1].set(title="Quality on validation", xlabel="epoch")
        for axes in panels:
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.lines:
                axes.legend(fontsize="small")

    sentence = (
        f"Model {metrics['model']}, seed {metrics['seed']}. The search learns from the earlier events and "
        f"is validated on the later ones of what the model may know; best after {metrics['epoch_count']} "
        "epochs. The final model learns from all that it may know for as many epochs."
    )
    alt = "Loss by epoch for each stage of training, and nDCG@10 and recall@20 on validation by epoch."
    return Section(
        "curves",
        "How the model learned",
        (sentence,),
        (Table("Every epoch", COLUMNS, tuple(rows)),),
        (render("curves", alt, draw, panels=2),),
    )


def _show_quality(epoch: Mapping[str, Any]) -> tuple[str, str]:
    quality = epoch["quality"]
    if quality is None:
        return "-", "-"
    return f"{quality['ndcg_at_10']:.4f}", f"{quality['recall_at_20']:.4f}"
