"""Measures how well products are found that few or no users have: by content they can be placed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.evaluate.metrics import NO_CANDIDATE, FloatArray
from benchmarks.report.drawing import draw_bars, render
from benchmarks.report.measured import BoolArray, IntArray, Measured
from benchmarks.report.section import Section, Table

STEPS = ((1, "0"), (6, "1-5"), (21, "6-20"), (101, "21-100"))
LAST = "> 100"
RANKS = 50


@dataclass(frozen=True)
class ColdQuality:
    """How well the taken products of one step are found.

    Attributes:
        owners: the step, by number of owners.
        product_count: products in it, taken or not.
        pair_count: pairs of a user and a product of it that the user took.
        found: share of the pairs within the first ranks.
        place: mean share of the user's other candidates that score lower, equal ones by half.
        place_alike: the same among candidates of the same step: how well they are told apart.
    """

    owners: str
    product_count: int
    pair_count: int
    found: float
    place: float
    place_alike: float


def measure_places(scores: FloatArray, relevant: BoolArray, *, ranks: int) -> tuple[FloatArray, FloatArray]:
    """Finds where each relevant pair stands among the user's candidates.

    Args:
        scores: float64 [users, products], NO_CANDIDATE where a product is no candidate.
        relevant: bool [users, products], candidates only.
        ranks: number of first ranks.

    Returns:
        For each pair, in row order: the chance to stand within the first ranks, and the share of the other
        candidates that score lower; equal scores stand in random order. float64 [pairs] both.
    """
    found, places = [], []
    for row, column in zip(*np.nonzero(relevant), strict=True):
        mine = scores[row][scores[row] != NO_CANDIDATE]
        above = int((mine > scores[row, column]).sum())
        tied = int((mine == scores[row, column]).sum())  # Itself included.
        found.append(min(max(ranks - above, 0) / tied, 1.0))
        places.append((len(mine) - above - tied + (tied - 1) / 2) / max(1, len(mine) - 1))
    return np.array(found), np.array(places)


def measure_cold(scores: FloatArray, relevant: BoolArray, owner_counts: IntArray) -> list[ColdQuality]:
    """Measures by number of owners; NaN where no product of a step was taken."""
    steps = np.searchsorted([stop for stop, _ in STEPS], owner_counts, side="right")
    kept = relevant & (scores != NO_CANDIDATE)
    found, places = measure_places(scores, kept, ranks=RANKS)
    pair_steps = steps[np.nonzero(kept)[1]]
    result = []
    for number, name in enumerate((*(name for _, name in STEPS), LAST)):
        mine, columns = pair_steps == number, steps == number
        _, alike = measure_places(scores[:, columns], kept[:, columns], ranks=RANKS)
        means = [float(one.mean()) if len(one) else np.nan for one in (found[mine], places[mine], alike)]
        result.append(ColdQuality(name, int(columns.sum()), int(mine.sum()), *means))
    return result


def make_cold_products(measured: Measured) -> Section:
    """Compares the model with most-popular, which cannot tell cold products apart."""
    found = {
        "model": measure_cold(measured.scores, measured.relevant, measured.owner_counts),
        "most popular": measure_cold(measured.popularity, measured.relevant, measured.owner_counts),
    }
    rows = tuple(
        (model.owners, f"{model.product_count:,}", f"{model.pair_count:,}", _show(model.found),
         _show(popular.found), _show(model.place), _show(popular.place), _show(model.place_alike),)
        for model, popular in zip(*found.values(), strict=True)
    )  # fmt: skip
    columns = (
        "owners",
        "products",
        "taken",
        f"recall@{RANKS}",
        "most popular",
        "mean place",
        "most popular",
        "among its like",
    )
    sentence = (
        "Products by number of users who have them among what the model knows; 0 are cold, placed by their "
        f"content alone. Recall@{RANKS}: share of what was taken that stands in the first {RANKS} ranks; "
        "mean place: share of the other candidates that score lower, 50 % by chance; among its like: of "
        "those of the same row. No rule is asked."
    )

    def draw(panels: Sequence[Any]) -> None:
        for axes, field, unit in (
            (panels[0], "found", f"recall@{RANKS}"),
            (panels[1], "place", "mean place"),
        ):
            series = {name: [getattr(one, field) for one in mine] for name, mine in found.items()}
            draw_bars(axes, [one.owners for one in found["model"]], series, unit=unit)
            axes.set_xlabel("owners of the product")

    alt = "Recall and mean place of what users took, by number of owners, for the model and most popular."
    return Section(
        "cold",
        "Cold and rare products",
        (sentence,),
        (Table("Taken products by number of owners", columns, rows),),
        (render("cold", alt, draw, panels=2),),
    )


def _show(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"
