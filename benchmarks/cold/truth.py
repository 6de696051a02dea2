"""Scores as well as the truth of a simulation allows: a bound for whoever knows a user's few events alone.

The simulation is drawn again, so that positions, popularity and every user's tastes are known. Those of a
tested user are not looked at: all other users are draws from the same distribution, each weighs by the chance
of the tested user's events under its tastes, and the score is the weighted mean of their chances of taking a
product (self-normalised importance sampling, good while the events are few). A stated risk level leaves only
users of that level.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from benchmarks.dataset import read_json
from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.task import Scores, Task
from training.dataset import parse_clock
from training.simulate.behaviour import FINANCIAL_SHARE, YEAR_S, log_odds
from training.simulate.courses import draw_courses
from training.simulate.people import People, draw_people, user_ids
from training.simulate.platform import make_streams
from training.simulate.products import draw_products
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import QUARTER_COUNT, Latents, draw_latents

SCORER: Final = "truth"
_LEAST: Final = 1e-30  # A chance that float32 holds, in place of 0.
_ALIKE_COUNT: Final = 3000  # The users that weigh most; the others' weights are lost in rounding.

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Truth:
    """What a simulation draws before anybody does anything.

    Attributes:
        settings: sizes, seed and clock.
        product_ids: courses first.
        latents: tastes, positions and popularity.
        people: tolerance and interest of every user.
        steps: risk step 0 to 4 of each financial product.
    """

    settings: SimulationSettings
    product_ids: tuple[str, ...]
    latents: Latents
    people: People
    steps: NDArray[np.int64]


def draw_truth(data: Path, seed: int) -> Truth:
    """Draws the truth of a simulated data set again.

    Raises:
        BenchmarkInputError: the data set is not a simulation of this seed.
    """
    path = data / "truth.npz"
    if not path.is_file():
        raise BenchmarkInputError(f"{path} is missing; expected simulated data")
    source = read_json(data / "source.json")
    with np.load(path) as held:
        settings = SimulationSettings(
            clock=parse_clock(source["clock"]),
            seed=seed,
            users=len(held["risk_levels"]),
            courses=len(held["course_topics"]),
            products=len(held["product_topics"]),
            taste_correlation=float(held["taste_correlation"]),
            taste_drift=float(held["taste_drift"]),
        )
        streams = make_streams(seed)
        latents = draw_latents(settings, streams["latents"])
        if not np.array_equal(held["learning_taste"], latents.learning[-1]):
            raise BenchmarkInputError(f"{data}: expected a simulation of seed {seed}; its tastes are others")
    courses = draw_courses(settings, latents, streams["courses"])
    products, steps = draw_products(settings, latents, streams["products"])
    people = draw_people(settings, streams["people"])
    ids = tuple(str(name) for name in (*courses["id"], *products["id"]))
    return Truth(settings, ids, latents, people, steps)


class TruthScorer:
    """Scores products by the chance that the next session is on them, given profile and events."""

    def __init__(self, truth: Truth, task: Task) -> None:
        """Computes all users' chances: four times users x products numbers."""
        self._chance = [_list_chances(truth, quarter) for quarter in range(QUARTER_COUNT)]
        self._levels = truth.people.risk_levels
        self._column = {product: column for column, product in enumerate(truth.product_ids)}
        self._row = {str(user): row for row, user in enumerate(user_ids(truth.settings.users))}
        profiles = _read(task.data / "profiles.parquet", ["user_id", "risk_level"])
        self._stated = dict(zip(profiles["user_id"], profiles["risk_level"], strict=True))
        events = _read(task.data / "interactions.parquet", ["user_id", "product_id", "event_time"])
        started = truth.settings.now.timestamp() - YEAR_S
        self._pairs: dict[str, set[tuple[int, int]]] = defaultdict(set)  # Of quarter and column.
        for user, product, time in zip(*events.values(), strict=True):
            quarter = int((time.timestamp() - started) / YEAR_S * QUARTER_COUNT)
            self._pairs[user].add((min(quarter, QUARTER_COUNT - 1), self._column[product]))

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns chances in the last quarter, float64 [users, products]."""
        columns = [self._column[product] for product in product_ids]
        return np.stack([self._expect(user) for user in user_ids]).astype(np.float64)[:, columns]

    def _expect(self, user: str) -> Floats:
        """Returns the mean chances of users like one, float32 [products]."""
        weight = np.zeros(len(self._levels))  # Logarithms.
        for quarter, column in sorted(self._pairs.get(user, ())):
            weight += np.log(np.maximum(self._chance[quarter][:, column], _LEAST))
        level = self._stated.get(user)
        if level is not None:
            weight[self._levels != level] = -np.inf
        weight[self._row[user]] = -np.inf
        likely = np.argsort(-weight, kind="stable")[:_ALIKE_COUNT]
        share = np.exp(weight[likely] - weight[likely[0]])
        mean: Floats = (share / share.sum()).astype(np.float32) @ self._chance[-1][likely]
        return mean


def _list_chances(truth: Truth, quarter: int) -> Floats:
    """Lists every user's chance of opening each product in a session of a quarter, [users, products]."""
    parts = []
    for financial in (False, True):
        odds = log_odds(
            latents=truth.latents,
            people=truth.people,
            steps=truth.steps,
            quarter=quarter,
            financial=financial,
            first=0,
            last=truth.settings.users,
        )
        odds = np.exp(odds - odds.max(axis=1, keepdims=True))
        share = truth.people.investor * np.float32(FINANCIAL_SHARE)  # [users]
        part = (share if financial else 1.0 - share) / odds.sum(axis=1)
        parts.append(odds * part[:, None].astype(np.float32))
    return np.concatenate(parts, axis=1)


def _read(path: Path, names: list[str]) -> dict[str, list[Any]]:
    return pyarrow.parquet.read_table(path, columns=names, use_threads=False).to_pydict()
