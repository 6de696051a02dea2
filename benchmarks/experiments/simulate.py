"""Draws a feedback log of an experiment: users of unlike habits, who come on several days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from server.experiments.assignment import draw_variant
from server.experiments.plan import Experiment
from server.feedback.compaction import ANSWER_SCHEMA, EVENT_SCHEMA
from server.feedback.parts import ANSWERS_FOLDER, EVENTS_FOLDER

K: Final = 5
PRODUCT_COUNT: Final = 400
START: Final = datetime(2026, 10, 1, tzinfo=UTC)
CAMPAIGNS: Final = {"autumn": 1.0, "onboarding": 1.3, "": 0.8}
"""Campaigns, and how much more is clicked in them."""
PLACEMENTS: Final = ("home", "product", "mail")
PRICE_MINOR: Final = 19_900


@dataclass(frozen=True)
class World:
    """What the drawn users are like.

    Attributes:
        user_count: how many there are.
        day_count: days over which they come.
        click_share: of products seen, clicked in the mean; users differ widely.
        sale_share: of products clicked, bought in the mean.
        lifts: by variant, factor on the click share.
        slowdowns: by variant, factor on latency.
        seed: of everything drawn.
    """

    user_count: int
    day_count: int = 42
    click_share: float = 0.06
    sale_share: float = 0.10
    lifts: tuple[tuple[str, float], ...] = ()
    slowdowns: tuple[tuple[str, float], ...] = ()
    seed: int = 0


def write_log(world: World, experiment: Experiment, folder: Path) -> None:
    """Writes the Parquet files that a server's log would be compacted to."""
    random = np.random.default_rng(world.seed)
    answers: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for number in range(world.user_count):
        pseudonym = random.bytes(34)
        variant = draw_variant(experiment, pseudonym)
        drawn = [] if variant is None else [{"experiment": experiment.name, "variant": variant.name}]
        name = "" if variant is None else variant.name
        # Some come often and click often: answers of one user are anything but independent.
        taste = world.click_share * dict(world.lifts).get(name, 1.0) * random.gamma(2.0, 0.5)
        for day in _draw_days(random, world.day_count):
            answer = _draw_answer(random, f"{number}-{day}", pseudonym.hex(), drawn)
            answer["decision_time"] = START + timedelta(days=float(day + random.uniform()))
            answer["latency_us"] = int(dict(world.slowdowns).get(name, 1.0) * random.lognormal(8.5, 0.4))
            answers.append(answer)
            events += _draw_events(random, answer, taste, world.sale_share)
    _write(folder / ANSWERS_FOLDER, sorted(answers, key=lambda each: each["decision_time"]), ANSWER_SCHEMA)
    _write(folder / EVENTS_FOLDER, sorted(events, key=lambda each: each["event_time"]), EVENT_SCHEMA)


def _draw_days(random: np.random.Generator, day_count: int) -> Sequence[int]:
    """Draws the days on which somebody comes: a first one, and then with a habit of their own."""
    first = int(random.integers(day_count))
    habit = random.beta(0.6, 2.4)
    later = first + 1 + np.flatnonzero(random.uniform(size=day_count - first - 1) < habit)
    return [first, *later.tolist()]


def _draw_answer(
    random: np.random.Generator, name: str, user: str, drawn: list[dict[str, str]]
) -> dict[str, Any]:
    empty = random.uniform() < 0.01
    weights = 1.0 / np.arange(1, PRODUCT_COUNT + 1) ** 0.7
    rows = random.choice(PRODUCT_COUNT, 0 if empty else K, replace=False, p=weights / weights.sum())
    removed = [("MAT_LEVEL_OVER_TOLERANCE", random.poisson(30)), ("MAT_HORIZON", random.poisson(8))]
    return {
        "answer_id": name,
        "user": user,
        "method": "Recommend",
        "bundle_version": "simulated",
        "policy_hash": "simulated",
        "overlay_sequence": 0,
        "placement": PLACEMENTS[random.integers(len(PLACEMENTS))],
        "campaign": tuple(CAMPAIGNS)[random.integers(len(CAMPAIGNS))],
        "experiments": drawn,
        "product_ids": [f"p{row:04}" for row in rows.tolist()],
        "scores": [0] * len(rows),
        "sources": [""] * len(rows),
        "history": [],
        "features": "{}",
        "withheld": [{"code": code, "count": int(count)} for code, count in removed if count],
        "personalised": True,
    }


def _draw_events(
    random: np.random.Generator, answer: dict[str, Any], taste: float, sale_share: float
) -> list[dict[str, Any]]:
    """Draws what came of an answer: every product is seen, some are clicked, few of these are bought."""
    drawn = []
    moment = answer["decision_time"]
    click_share = min(taste * CAMPAIGNS[answer["campaign"]], 1.0)
    for position, product_id in enumerate(answer["product_ids"], start=1):
        kinds = ["impression"]
        if random.uniform() < click_share:
            kinds.append("click")
            if random.uniform() < sale_share:
                kinds.append("purchase")
        for step, kind in enumerate(kinds):
            at = moment + timedelta(seconds=30 * step + position)
            drawn.append(
                {
                    "event_id": f"{answer['answer_id']}-{position}-{kind}",
                    "user": answer["user"],
                    "product_id": product_id,
                    "event_type": kind,
                    "event_time": at,
                    "received_time": at,
                    # A caller that forgets to name the answer loses the event for every report.
                    "answer_id": None if random.uniform() < 0.01 else answer["answer_id"],
                    "position": position,
                    "revenue_minor": PRICE_MINOR if kind == "purchase" else None,
                    "placement": answer["placement"],
                    "campaign": answer["campaign"],
                }
            )
    return drawn


def _write(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    numbered = [{"log_position": number} | row for number, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(numbered, schema=schema), folder / "part-00000001.parquet")
