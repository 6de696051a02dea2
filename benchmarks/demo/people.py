"""Chooses by data whom the demonstration shows: two users of the same taste and different tolerance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.dataset import DataSet
from benchmarks.errors import BenchmarkInputError
from index.features import Event

CAUTIOUS_LEVEL_MAX = 1
BOLD_LEVEL_MIN = 4
COMPARED_COUNT_MAX = 1500
HISTORY_COUNT_MIN = 4


@dataclass(frozen=True)
class Pair:
    """A cautious and a bold user, and the history that both are shown with.

    Attributes:
        cautious_id: user whose tolerance is low; the shared history is this user's.
        bold_id: user whose tolerance is high.
        how: how the two were chosen, for people.
    """

    cautious_id: str
    bold_id: str
    how: str


def choose_pair(dataset: DataSet) -> Pair:
    """Takes the data set's own personas, or finds the two stored users with the most similar histories.

    Raises:
        BenchmarkInputError: no user has a low level, or none a high one.
    """
    personas = dataset.source.get("personas") or {}
    if {"cautious", "bold"} <= set(personas):
        return Pair(
            personas["cautious"], personas["bold"], "personas of the simulation, drawn with one taste"
        )
    cautious = _list_longest(dataset, 0, CAUTIOUS_LEVEL_MAX)
    bold = _list_longest(dataset, BOLD_LEVEL_MIN, 5)
    if not cautious or not bold:
        levels = f"0 to {CAUTIOUS_LEVEL_MAX} and {BOLD_LEVEL_MIN} to 5"
        raise BenchmarkInputError(f"expected users with history at risk levels {levels}; one group is empty")
    owned = {
        user: frozenset(event.product_id for event in dataset.history(user)) for user in (*cautious, *bold)
    }
    similarity, shared, first, second = max(
        (*_compare(owned[first], owned[second]), first, second) for first in cautious for second in bold
    )
    how = (
        f"of those with a long history the two most alike: {shared} products shared, overlap {similarity:.0%}"
    )
    return Pair(first, second, how)


def choose_clicks(dataset: DataSet, *, count: int, now: float) -> list[Event]:
    """Clicks on the most popular products of the most popular category: what a new visitor might do first.

    Args:
        dataset: the data set.
        count: number of clicks.
        now: time of the last click, seconds since 1970-01-01 UTC.
    """
    product_ids: list[str] = dataset.interactions.column("product_id").to_pylist()  # type: ignore[assignment]
    owners = Counter(product_ids)
    categories: dict[str, list[str]] = {}
    for product_id in sorted(owners, key=lambda product: (-owners[product], product)):
        product = dataset.products.get(product_id)
        if product is not None:
            categories.setdefault(str(product["category"]), []).append(product_id)
    popular = max(categories.values(), key=lambda ids: sum(owners[product] for product in ids[:count]))
    return [Event(product, "click", now - 60.0 * place) for place, product in enumerate(popular[:count])]


def _list_longest(dataset: DataSet, level_min: int, level_max: int) -> Sequence[str]:
    """Lists users of some levels by length of history, longest first."""
    found = [
        user
        for user in dataset.active_user_ids
        if dataset.event_count(user) >= HISTORY_COUNT_MIN
        and user in dataset.profiles
        and isinstance(level := dataset.profiles[user]["risk_level"], int)
        and level_min <= level <= level_max
    ]
    found.sort(key=lambda user: (-dataset.event_count(user), user))
    return found[:COMPARED_COUNT_MAX]


def _compare(first: frozenset[str], second: frozenset[str]) -> tuple[float, int]:
    """Returns the Jaccard overlap of two sets, and how much they share."""
    shared = len(first & second)
    return shared / len(first | second), shared
