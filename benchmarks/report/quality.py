"""Measures quality by groups of users: by history length, and by segment and risk level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.evaluate.intervals import Estimate
from benchmarks.evaluate.metrics import FloatArray
from benchmarks.report.drawing import draw_estimates, render
from benchmarks.report.groups import (
    HISTORIES,
    LONGEST_HISTORY,
    group_by_history,
    group_profiles,
    list_groups,
)
from benchmarks.report.measured import K, Measured, measure_ranking
from benchmarks.report.section import Section, Table, estimate_mean, show

UNIT = f"nDCG@{K}"
DRAWN_TRAITS = 2


@dataclass(frozen=True)
class GroupQuality:
    """A group's mean quality by scorer or rule; None where the group is empty."""

    group: str
    user_count: int
    estimates: Mapping[str, Estimate | None]


def measure_groups(
    groups: Sequence[str], names: Sequence[str], values: Mapping[str, FloatArray]
) -> list[GroupQuality]:
    """Averages values over the users of each group.

    Args:
        groups: the group of each user, [users].
        names: the groups to report, in order.
        values: by name of a column, float64 [users].
    """
    found = []
    for name in names:
        mine = np.array([group == name for group in groups], np.bool_)
        estimates = {
            column: estimate_mean(one[mine]) if mine.any() else None for column, one in values.items()
        }
        found.append(GroupQuality(name, int(mine.sum()), estimates))
    return found


def make_history_lengths(measured: Measured) -> Section:
    """Compares the model with most-popular for users with little and much history."""
    values = {
        "model": measure_ranking(measured.scores, measured.relevant, measured.candidates).ndcg,
        "most popular": measure_ranking(measured.popularity, measured.relevant, measured.candidates).ndcg,
    }
    counts = [len(history) for history in measured.histories]
    names = [*(name for _, name in HISTORIES), LONGEST_HISTORY]
    found = measure_groups(group_by_history(counts), names, values)
    sentence = (
        "No rule is asked, so that only ranking is measured. History is the number of events that the "
        "model was told; a user without any is ranked from the profile, or by popularity."
    )
    alt = "nDCG@10 of the model and of most popular by length of the user's history."
    return Section(
        "history",
        "Quality by length of history",
        (sentence,),
        (_make_table("Users by number of events", found, "events"),),
        (render("history", alt, lambda panels: _draw(panels[0], found)),),
    )


def make_segments(measured: Measured) -> Section:
    """Compares segments and risk levels, without rules and under them."""
    name, title = "segments", "Quality by segment and risk level"
    values = {"no rules": measure_ranking(measured.scores, measured.relevant, measured.candidates).ndcg}
    sentence = "Traits that are the same for all tested users, or not known of any, are left out."
    if measured.policy is not None:
        values["under the rules"] = measure_ranking(
            measured.scores, measured.relevant, measured.suitable
        ).ndcg
        sentence += (
            " What a user took later and may not be shown counts as missed under the rules: the difference "
            "is what the rules cost that segment. Small segments have wide intervals."
        )
    traits = group_profiles(measured.profiles, measured.clock)
    if not traits:
        return Section(name, title, ("The data state no trait that tells users apart: no segments.",), ())
    found = {trait: measure_groups(groups, list_groups(groups), values) for trait, groups in traits.items()}
    drawn = list(found)[:DRAWN_TRAITS]
    shown = [one for trait in drawn for one in found[trait]]
    alt = f"nDCG@10 by {' and '.join(drawn)}, {measured.condition} and without."
    return Section(
        name,
        title,
        (sentence,),
        tuple(_make_table(f"Users by {trait}", mine, trait) for trait, mine in found.items()),
        (render(name, alt, lambda panels: _draw(panels[0], shown), height=5.2),),
    )


def _make_table(caption: str, found: Sequence[GroupQuality], first: str) -> Table:
    columns = (first, "users", *(f"{UNIT}, {name}" for name in found[0].estimates))
    rows = tuple(
        (one.group, f"{one.user_count:,}", *("-" if e is None else show(e) for e in one.estimates.values()))
        for one in found
    )
    return Table(caption, columns, rows)


def _draw(axes: object, found: Sequence[GroupQuality]) -> None:
    series = {name: [one.estimates[name] for one in found] for name in found[0].estimates}
    labels = [f"{one.group}  (n = {one.user_count:,})" for one in found]
    draw_estimates(axes, labels, series, unit=UNIT)
