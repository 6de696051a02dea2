"""Tests whether a score means the same for everybody: what it promises on some users must hold on others.

Scores of a ranking are no probabilities. Half of the users turn them into one: candidates are cut into bins
by score, and a bin promises the share of its pairs that were taken. The other half says whether it holds.
Bins halve towards the top, because only the top is ever shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evaluate.metrics import FloatArray
from benchmarks.report.drawing import render
from benchmarks.report.measured import BoolArray, IntArray, Measured
from benchmarks.report.section import Section, Table

BIN_COUNT = 12


@dataclass(frozen=True)
class Calibration:
    """Bins from the lowest scores to the highest.

    Attributes:
        edges: lowest score of each bin but the first, float64 [bins - 1].
        promised: share taken among the users that fit, float64 [bins].
        observed: share taken among the others, float64 [bins]; NaN where none of theirs is in the bin.
        pair_counts: pairs of the others, int64 [bins].
        error: mean difference of promised and observed, weighted by pairs.
    """

    edges: FloatArray
    promised: FloatArray
    observed: FloatArray
    pair_counts: IntArray
    error: float


def measure_calibration(scores: FloatArray, relevant: BoolArray, candidates: BoolArray) -> Calibration:
    """Fits the bins on users of even rows and tests them on users of odd rows; at least one of each.

    Source: histogram binning, Zadrozny and Elkan 2001; the expected calibration error, Naeini et al. 2015.
    """
    fitted, tested = candidates.copy(), candidates.copy()
    fitted[1::2], tested[0::2] = False, False
    shares = 1 - 0.5 ** np.arange(1, BIN_COUNT)  # .5, .75, .875, ...
    edges = np.unique(np.quantile(scores[fitted], shares))
    promised, _ = _count(scores[fitted], relevant[fitted], edges)
    observed, pair_counts = _count(scores[tested], relevant[tested], edges)
    used = ~np.isnan(promised) & (pair_counts > 0)
    error = np.average(np.abs(promised - observed)[used], weights=pair_counts[used])
    return Calibration(edges, promised, observed, pair_counts, float(error))


def make_calibration(measured: Measured) -> Section:
    """Shows promised against observed, and every bin."""
    found = measure_calibration(measured.scores, measured.relevant, measured.candidates)
    rows = [
        (f"{number}", f"{count:,}", _show(promised), _show(observed))
        for number, (count, promised, observed) in enumerate(
            zip(found.pair_counts, found.promised, found.observed, strict=True), start=1
        )
    ]

    def draw(panels: Sequence[Any]) -> None:
        shown = (found.promised > 0) & (found.observed > 0)
        promised, observed = found.promised[shown], found.observed[shown]
        together = np.concatenate([promised, observed])
        ends = [together.min(), together.max()] if len(together) else []
        panels[0].plot(ends, ends, ls="--", color="grey", label="as promised")
        panels[0].plot(promised, observed, marker="o", ms=4, ls="none", label="bins")
        panels[0].set(xlabel="promised share taken", ylabel="observed share taken")
        if len(promised):
            panels[0].set(xscale="log", yscale="log")
        panels[0].legend(fontsize="small")

    base = measured.relevant[measured.candidates].mean()
    sentences = (
        "Half of the users turn scores into a promise: the share taken among candidates of like score. The "
        "other half says whether it holds, so the scores must mean the same for people who were never "
        "compared.",
        f"Of all candidates {base:.3%} were taken. Mean difference of promised and observed (expected "
        f"calibration error): {found.error:.4%}. Ratio of the top bin to the mean: "
        f"{found.observed[-1] / base:.1f}.",
    )
    alt = "Share of candidates taken, promised against observed, by bin of score; on the diagonal they agree."
    columns = ("bin, lowest scores first", "pairs", "promised", "observed")
    return Section(
        "calibration",
        "Calibration of the score",
        sentences,
        (Table("Bins of score", columns, tuple(rows)),),
        (render("calibration", alt, draw),),
    )


def _count(scores: FloatArray, taken: BoolArray, edges: FloatArray) -> tuple[FloatArray, IntArray]:
    """Returns the share taken in each bin, NaN for an empty one, and the number of pairs."""
    bins = np.searchsorted(edges, scores, side="right")
    counts = np.bincount(bins, minlength=len(edges) + 1)
    hits = np.bincount(bins, weights=taken.astype(np.float64), minlength=len(edges) + 1)
    shares = np.divide(hits, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    return shares, counts.astype(np.int64)


def _show(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.3%}"
