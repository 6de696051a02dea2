"""The simulated users' true tastes at present, and how they respond to the lists that they are shown.

A user looks at a place of a list with a chance that falls with its number, clicks on what suits the true
taste, and then dwells and perhaps enrols. All numbers here are this simulation's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.simulate.people import user_ids
from training.simulate.platform import make_streams
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import QUARTER_COUNT, TASTE_STRENGTH, draw_latents

CLICK_MAX: Final = 0.6  # Chance of a click on the most suitable course, once looked at.
CLICK_SLOPE: Final = 2.0
CLICK_MIDDLE: Final = 1.5  # Standard deviations above a user's mean at which half of CLICK_MAX is reached.
ENROL_CHANCE: Final = 0.4
DISLIKE_MAX: Final = 0.05  # Below this chance of a click a course may be said no to.
DISLIKE_CHANCE: Final = 0.05
OWN_COUNT: Final = 5  # Courses that a user finds without the server, in the next period.
OWN_CHANCE: Final = 0.5  # That a user finds one in a week of this period.

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class People:
    """Holds what is true of users and courses.

    Attributes:
        user_ids, course_ids: as the server knows them.
        appeal: log-odds of opening a course, float32 [users, courses].
        click: chance of a click on a course that is looked at, float64 [users, courses].
    """

    user_ids: tuple[str, ...]
    course_ids: tuple[str, ...]
    appeal: NDArray[np.float32]
    click: NDArray[np.float64]


@dataclass(frozen=True)
class Response:
    """One thing that a user did with a course at a position of a list, 1 for the first; None: found alone."""

    course_row: int
    position: int | None
    event_type: str
    dwell_s: float | None = None


def find_people(settings: SimulationSettings) -> People:
    """Finds what is true at the end of the simulated year."""
    latents = draw_latents(settings, make_streams(settings.seed)["latents"])
    taste = latents.learning[QUARTER_COUNT - 1]  # [users, topics]
    appeal = TASTE_STRENGTH * (taste @ latents.course_positions.T) + latents.course_popularity
    spread = (appeal - appeal.mean(axis=1, keepdims=True)) / appeal.std(axis=1, keepdims=True)
    click = CLICK_MAX / (1.0 + np.exp(-CLICK_SLOPE * (spread.astype(np.float64) - CLICK_MIDDLE)))
    courses = tuple(f"C{row:05d}" for row in range(settings.courses))
    return People(tuple(user_ids(settings.users)), courses, appeal.astype(np.float32), click)


def look_chance(count: int) -> NDArray[np.float64]:
    """Returns the chance that each place of a list is looked at, [count]; the discount of DCG."""
    chance: NDArray[np.float64] = 1.0 / np.log2(np.arange(count) + 2.0)
    return chance


def respond(people: People, user_row: int, shown: IntArray, rng: np.random.Generator) -> list[Response]:
    """Draws what a user does with a list of courses, [count]; every place of it counts as an impression."""
    click = people.click[user_row, shown]
    looked = rng.random(len(shown)) < look_chance(len(shown))
    clicked = looked & (rng.random(len(shown)) < click)
    enrolled = clicked & (rng.random(len(shown)) < ENROL_CHANCE)
    seconds = np.exp(rng.normal(2.0 + 4.0 * click / CLICK_MAX, 1.0)).clip(max=86_400.0)
    disliked = looked & (click < DISLIKE_MAX) & (rng.random(len(shown)) < DISLIKE_CHANCE)
    done = []
    for place, row in enumerate(shown.tolist()):
        done.append(Response(row, place + 1, "impression"))
        if clicked[place]:
            done.append(Response(row, place + 1, "click"))
            done.append(Response(row, place + 1, "dwell", float(seconds[place])))
        if enrolled[place]:
            done.append(Response(row, place + 1, "enrol"))
        if disliked[place]:
            done.append(Response(row, place + 1, "not_interested"))
    return done


def find_alone(
    people: People, taken: NDArray[np.bool_], rng: np.random.Generator
) -> Iterator[tuple[int, list[Response]]]:
    """Yields rows of users who found a course without the server this week, and what they did with it."""
    found = draw_own(people, taken, rng)[:, 0]
    for user_row in np.flatnonzero(rng.random(len(found)) < OWN_CHANCE).tolist():
        course_row = int(found[user_row])
        yield user_row, [Response(course_row, None, "click"), Response(course_row, None, "enrol")]


def draw_own(people: People, taken: NDArray[np.bool_], rng: np.random.Generator) -> IntArray:
    """Draws the courses that each user finds next without the server, int64 [users, OWN_COUNT].

    Args:
        people: the truth.
        taken: what each user had before, bool [users, courses]; it is not drawn.
        rng: what is drawn from.
    """
    # The largest of log-odds with Gumbel noise are a draw without replacement.
    noisy = people.appeal + rng.gumbel(size=people.appeal.shape)
    found: IntArray = np.argsort(-np.where(taken, -np.inf, noisy), axis=1)[:, :OWN_COUNT]
    return found
