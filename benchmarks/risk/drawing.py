"""Draws the benchmark of risk models: ROC, calibration, KS and population stability."""

from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np

from benchmarks.risk.measure import CreditResult, ModelResult, measure_deciles
from training.risk.measures import measure_roc

mpl.use("Agg")

from matplotlib import pyplot as plt

_PSI_LIMIT: Final = 0.1  # Below it a population is customarily taken as stable.


def draw(credit: CreditResult, title: str, path: Path) -> None:
    """Draws the models without protected fields on the held-out borrowers."""
    figure, panels = plt.subplots(2, 2, figsize=(11, 8.4))
    models = [model for model in credit.models if not model.protected]
    _draw_roc(panels[0, 0], credit, models)
    _draw_calibration(panels[0, 1], credit, models)
    _draw_ks(panels[1, 0], credit, next(model for model in models if model.name == "scorecard"))
    _draw_psi(panels[1, 1], credit, models)
    for axes in panels.flat:
        axes.grid(alpha=0.3)
    figure.suptitle(f"Risk of a payment default: {credit.name}, held out, {title}", size=10)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _draw_roc(axes: Any, credit: CreditResult, models: list[ModelResult]) -> None:
    for model in models:
        good, bad = measure_roc(model.probability, credit.defaulted)
        axes.plot(good, bad, linewidth=1, label=f"{model.name} {model.quality['auc'].value:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
    axes.set(title="ROC", xlabel="share of the good above", ylabel="share of the bad above")
    axes.legend(title="AUC", fontsize=8)


def _draw_calibration(axes: Any, credit: CreditResult, models: list[ModelResult]) -> None:
    for model in models:
        expected, observed = measure_deciles(model.probability, credit.defaulted)
        label = f"{model.name} {model.quality['ece'].value:.3f}"
        axes.plot(expected, observed, marker="o", markersize=3, linewidth=1, label=label)
    axes.plot([0, 0.8], [0, 0.8], color="grey", linewidth=1, linestyle="--")
    axes.set(
        title="Calibration, ten groups of equal size", xlabel="probability", ylabel="share that defaulted"
    )
    axes.legend(title="ECE", fontsize=8)


def _draw_ks(axes: Any, credit: CreditResult, model: ModelResult) -> None:
    cuts = np.unique(model.probability)
    for label, rows in (("good", ~credit.defaulted), ("bad", credit.defaulted)):
        values = np.sort(model.probability[rows])
        axes.step(cuts, np.searchsorted(values, cuts, side="right") / len(values), where="post", label=label)
    axes.set(
        title=f"Scorecard: KS {model.quality['ks'].value:.3f}", xlabel="probability", ylabel="share up to"
    )
    axes.legend(fontsize=8)


def _draw_psi(axes: Any, credit: CreditResult, models: list[ModelResult]) -> None:
    rows = {f"score of {model.name}": model.psi for model in models if model.psi is not None}
    rows |= dict(credit.feature_psi)
    axes.barh(list(rows)[::-1], [float(value or 0) for value in list(rows.values())[::-1]])
    axes.set_xscale("log")
    axes.axvline(_PSI_LIMIT, color="grey", linestyle="--", linewidth=1)
    axes.tick_params(axis="y", labelsize=7)
    axes.set(title="Population stability, learned from against held out", xlabel="PSI")
