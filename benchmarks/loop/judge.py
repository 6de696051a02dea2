"""Judges lists by the truth: how suitable they are, and how much of what users do next is in them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.loop.people import IntArray, People, look_chance

FIGURES: Final = ("click", "suitable", "own")
MEANINGS: Final = {
    "click": "clicks that a user's list is worth: the true chance of one, summed over its places",
    "suitable": "nDCG@10 of the list, the true chance of a click being a course's gain",
    "own": "recall@10 of the 5 courses that the user finds next without the server",
}


@dataclass(frozen=True)
class Judged:
    """Holds figures for each user, float64 [users]; MEANINGS says what of."""

    click: NDArray[np.float64]
    suitable: NDArray[np.float64]
    own: NDArray[np.float64]


def judge(people: People, lists: IntArray, taken: NDArray[np.bool_], own: IntArray) -> Judged:
    """Judges the lists that users would be shown next.

    Args:
        people: the truth.
        lists: rows of courses, int64 [users, k]; -1 where a list is shorter.
        taken: what each user has had, bool [users, courses]: no list holds it, and the best list neither.
        own: what each user does next, int64 [users, any].
    """
    rows = np.arange(len(lists))[:, None]
    look = look_chance(lists.shape[1])
    click = np.where(lists >= 0, people.click[rows, lists], 0.0)
    worth = click @ look
    best = -np.sort(-np.where(taken, 0.0, people.click), axis=1)[:, : lists.shape[1]]
    found = (lists[:, :, None] == own[:, None, :]).any(axis=1).mean(axis=1)
    return Judged(worth, worth / (best @ look), found)
