"""What the simulated users do: sessions on products they like, each a funnel of events, over twelve months.

The chance that a user opens a product is a softmax of taste, popularity and, for financial products, nearness
of the product's risk to the user's tolerance. A session goes view or search -> click -> favourite, enrol or
purchase -> dwell, rating, comment; liking makes every step more likely.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from index.features import EVENT_TYPES
from training.simulate.people import PERSONA_COUNT, People, user_ids
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import QUARTER_COUNT, TASTE_STRENGTH, Latents

CHUNK_USERS: Final = 1_000  # Keeps the users x products matrix of one step near 20 MB.
YEAR_S: Final = 365 * 86_400
SESSIONS_MEDIAN: Final = 10.5  # With about 2.4 events a session, the median user has about 25 events.
SESSIONS_SIGMA: Final = 0.9
SESSIONS_MAX: Final = 400
RISK_AVERSION: Final = 0.35  # How much log-odds one step between product risk and tolerance costs.
FINANCIAL_SHARE: Final = 0.4  # Share of an investor's sessions that are on financial products.

VIEW, SEARCH, CLICK, ENROL, PURCHASE, RATING, FAVOURITE, DWELL, COMMENT = range(len(EVENT_TYPES))


@dataclass(frozen=True)
class _Sessions:
    """Sessions of some users: who, when (seconds before the clock, as float), which quarter and domain."""

    users: npt.NDArray[np.int64]  # [session_count]
    ages: npt.NDArray[np.float64]  # [session_count]
    quarters: npt.NDArray[np.int64]  # [session_count]
    financial: npt.NDArray[np.bool_]  # [session_count]


@dataclass(frozen=True)
class _Events:
    """Events as arrays of one length; `items` counts courses first, then products."""

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    types: npt.NDArray[np.int64]
    ages: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float32]


def draw_interactions(
    *,
    settings: SimulationSettings,
    latents: Latents,
    people: People,
    steps: npt.NDArray[np.int64],
    product_ids: list[str],
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Returns the interaction columns ordered by time, then user, product and type.

    Args:
        settings: sizes and clock.
        latents: tastes and positions.
        people: tolerance and interest per user.
        steps: risk step 0 to 4 per financial product.
        product_ids: public ids, courses first.
        rng: the source of all randomness.
        advance: called with the number of users that were finished.
    """
    chunks = []
    for first in range(0, settings.users, CHUNK_USERS):
        last = min(first + CHUNK_USERS, settings.users)
        chunks.append(
            _draw_chunk(
                settings=settings,
                latents=latents,
                people=people,
                steps=steps,
                first=first,
                last=last,
                rng=rng,
            )
        )
        advance(last - first)
    events = _join(chunks)
    now_us = int(settings.now.timestamp()) * 1_000_000
    times = now_us - np.rint(events.ages * 1_000).astype(np.int64) * 1_000  # Whole milliseconds.
    order = np.lexsort((events.types, events.items, events.users, times))
    ids = pa.array(product_ids, pa.string())
    users = pa.array(user_ids(settings.users), pa.string())
    return {
        "user_id": users.take(_arrow(events.users[order])),
        "product_id": ids.take(_arrow(events.items[order])),
        "event_type": pa.array(EVENT_TYPES).take(_arrow(events.types[order])),
        "event_time": pa.array(times[order], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
        "weight": pa.array(events.weights[order], pa.float32()),
    }


def _draw_chunk(
    *,
    settings: SimulationSettings,
    latents: Latents,
    people: People,
    steps: npt.NDArray[np.int64],
    first: int,
    last: int,
    rng: np.random.Generator,
) -> _Events:
    sessions = _draw_sessions(people.investor[first:last], first, settings.products, rng)
    items = np.zeros(len(sessions.users), dtype=np.int64)
    liking = np.zeros(len(sessions.users), dtype=np.float32)
    for quarter in range(QUARTER_COUNT):
        for financial in (False, True):
            mine = np.flatnonzero((sessions.quarters == quarter) & (sessions.financial == financial))
            if not len(mine):
                continue
            logits = log_odds(
                latents=latents,
                people=people,
                steps=steps,
                quarter=quarter,
                financial=financial,
                first=first,
                last=last,
            )
            rows = sessions.users[mine] - first
            picks = _sample(logits, rows, rng)
            items[mine] = picks + (settings.courses if financial else 0)
            centred = logits - logits.mean(axis=1, keepdims=True)
            liking[mine] = centred[rows, picks] / np.float32(2 * TASTE_STRENGTH)
    return _first_enrolments(_join(list(_funnel(sessions, items, liking, rng))))


def _draw_sessions(
    investor: npt.NDArray[np.bool_], first: int, product_count: int, rng: np.random.Generator
) -> _Sessions:
    """Draws how often and when: a long tail, with 3 % of users silent and 6 % with one session."""
    count = len(investor)
    sessions = np.exp(rng.normal(np.log(SESSIONS_MEDIAN), SESSIONS_SIGMA, count))
    sessions = np.clip(np.rint(sessions), 1, SESSIONS_MAX).astype(np.int64)
    lazy = rng.random(count)
    sessions[lazy < 0.09] = 1
    sessions[lazy < 0.03] = 0
    if first == 0:
        sessions[:PERSONA_COUNT] = 40
    # A user joined between two years and one week ago; the activity shown is of the last year at most.
    tenure = np.minimum(rng.uniform(7 * 86_400, 2 * YEAR_S, count), YEAR_S)
    users = np.repeat(np.arange(count), sessions)
    ages = rng.random(len(users)) ** 1.15 * tenure[users]
    quarters = np.minimum((YEAR_S - ages) / YEAR_S * QUARTER_COUNT, QUARTER_COUNT - 1).astype(np.int64)
    financial = investor[users] & (rng.random(len(users)) < FINANCIAL_SHARE) & (product_count > 0)
    return _Sessions(users + first, ages, quarters, financial)


def log_odds(
    *,
    latents: Latents,
    people: People,
    steps: npt.NDArray[np.int64],
    quarter: int,
    financial: bool,
    first: int,
    last: int,
) -> npt.NDArray[np.float32]:
    """Returns the log-odds of opening each product, float32 [user_count, product_count]."""
    if not financial:
        liking = latents.learning[quarter, first:last] @ latents.course_positions.T
        return np.asarray(TASTE_STRENGTH * liking + latents.course_popularity, dtype=np.float32)
    liking = latents.financial[quarter, first:last] @ latents.product_positions.T
    distance = np.abs(steps[None, :] - (people.risk_levels[first:last, None] - 1))
    logits = TASTE_STRENGTH * liking + latents.product_popularity - RISK_AVERSION * distance
    return np.asarray(logits, dtype=np.float32)


def _sample(
    logits: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws one product per entry of `rows` from that row's softmax, by inverting the cumulative sum."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    cumulative = np.cumsum(np.exp(shifted), axis=1, dtype=np.float64)
    cumulative /= cumulative[:, -1:]
    cumulative += np.arange(len(cumulative))[:, None]  # Rows follow each other, so one search serves all.
    flat = np.searchsorted(cumulative.ravel(), rows + rng.random(len(rows)), side="right")
    picks = np.clip(flat - rows * logits.shape[1], 0, logits.shape[1] - 1)
    return np.asarray(picks, dtype=np.int64)


def _funnel(
    sessions: _Sessions,
    items: npt.NDArray[np.int64],
    liking: npt.NDArray[np.float32],
    rng: np.random.Generator,
) -> Iterator[_Events]:
    """Yields the events of all sessions; a step happens only to those who took the one before."""
    count = len(items)
    everybody = np.arange(count)
    ones = np.ones(count, dtype=np.float32)

    def event(rows: npt.NDArray[np.int64], types: Any, delay_s: float, weights: Any = None) -> _Events:
        ages = sessions.ages[rows] - rng.exponential(delay_s, len(rows)) if delay_s else sessions.ages[rows]
        kinds = np.broadcast_to(np.asarray(types, dtype=np.int64), len(rows))
        return _Events(
            sessions.users[rows], items[rows], kinds, ages, ones[: len(rows)] if weights is None else weights
        )

    def some(rows: npt.NDArray[np.int64], chance: Any) -> npt.NDArray[np.int64]:
        taken: npt.NDArray[np.int64] = rows[rng.random(len(rows)) < np.clip(chance, 0.0, 0.95)]
        return taken

    yield event(everybody, np.where(rng.random(count) < 0.15, SEARCH, VIEW), 0.0)
    clicked = some(everybody, 0.5 + 0.2 * liking)
    yield event(clicked, CLICK, 60.0)
    yield event(some(clicked, 0.08 + 0.1 * liking[clicked]), FAVOURITE, 300.0)
    taken = some(clicked, 0.2 + 0.2 * liking[clicked] - 0.08 * sessions.financial[clicked])
    yield event(taken, np.where(sessions.financial[taken], PURCHASE, ENROL), 900.0)
    learning = taken[~sessions.financial[taken]]
    dwelt = some(learning, 0.8)
    seconds = np.rint(np.exp(rng.normal(6.5, 1.0, len(dwelt)))).astype(np.float32)
    yield event(dwelt, DWELL, 7_200.0, seconds)
    rated = some(learning, 0.3)
    stars = np.clip(np.rint(3.4 + 1.2 * liking[rated] + rng.normal(0, 0.8, len(rated))), 1, 5)
    yield event(rated, RATING, 2 * 86_400.0, stars.astype(np.float32))
    yield event(some(learning, 0.06), COMMENT, 3 * 86_400.0)


def _first_enrolments(events: _Events) -> _Events:
    """Drops what lies after the clock, and all but a user's first enrolment in each course."""
    order = np.argsort(-events.ages, kind="stable")
    order = order[events.ages[order] > 0]
    enrolled = np.flatnonzero(events.types[order] == ENROL)
    pairs = np.stack([events.users[order][enrolled], events.items[order][enrolled]])
    _, first = np.unique(pairs, axis=1, return_index=True)
    keep = np.ones(len(order), dtype=bool)
    keep[enrolled] = False
    keep[enrolled[first]] = True
    return _select(events, order[keep])


def _select(events: _Events, rows: npt.NDArray[np.int64]) -> _Events:
    return _Events(
        events.users[rows], events.items[rows], events.types[rows], events.ages[rows], events.weights[rows]
    )


def _join(parts: list[_Events]) -> _Events:
    return _Events(
        np.concatenate([part.users for part in parts]),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.types for part in parts]),
        np.concatenate([part.ages for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def _arrow(rows: npt.NDArray[np.int64]) -> Any:
    return pa.array(rows)
