"""The simulated users' profiles: questionnaires with dates, finances, needs, and what is missing of them.

Six users in a hundred have no profile at all; of the rest about one in five has no valid assessment: the
questionnaire is missing or expired, a changed level is not confirmed. A few are blocked, did not consent, or
have a profile that was not synchronised for days; every other field is missing for one or two in a hundred.
Users 0 and 1 are personas: complete profiles, the same tastes, one cautious and one bold.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from suitability.records import INSURANCE_FAMILIES, INVESTMENT_FAMILIES
from training.simulate.gaps import choose, dates_from, days_from, keep_where, to_arrow
from training.simulate.settings import SimulationSettings
from training.simulate.words import ISSUERS

LEVEL_WEIGHTS: Final = (4, 14, 26, 30, 18, 8)
CAUTIOUS_LEVEL: Final = 2
BOLD_LEVEL: Final = 5
PERSONA_COUNT: Final = 2
AGE_YEARS: Final = (16, 84)
NEEDS: Final = (
    ("life",),
    ("life", "illness"),
    ("illness", "accident"),
    ("retirement", "savings"),
    ("growth", "retirement"),
    (),
)
OBJECTIVES: Final = (
    ("preserve",),
    ("preserve", "income"),
    ("income",),
    ("income", "growth"),
    ("income", "growth"),
    ("growth", "speculate"),
)
TEXT_LIST: Final = pa.list_(pa.string())


@dataclass(frozen=True)
class People:
    """The profile columns of the users who have one, and what behaviour depends on for every user.

    Attributes:
        columns: the profile table by column.
        risk_levels: true tolerance of every user, 0 to 5, int64 [user_count].
        investor: whether the user looks at financial products at all, bool [user_count].
    """

    columns: dict[str, Any]
    risk_levels: npt.NDArray[np.int64]
    investor: npt.NDArray[np.bool_]


def user_ids(count: int) -> npt.NDArray[Any]:
    """Returns the public ids of all users."""
    return np.array([f"U{row:06d}" for row in range(count)], dtype=object)


def draw_people(settings: SimulationSettings, rng: np.random.Generator) -> People:
    """Draws every user's profile, then drops the profiles of those who have none."""
    count = settings.users
    levels = rng.choice(6, size=count, p=np.array(LEVEL_WEIGHTS) / sum(LEVEL_WEIGHTS)).astype(np.int64)
    levels[:PERSONA_COUNT] = (CAUTIOUS_LEVEL, BOLD_LEVEL)[: min(count, PERSONA_COUNT)]
    investor = rng.random(count) < 0.6
    investor[:PERSONA_COUNT] = True
    has_profile = rng.random(count) >= 0.06
    has_profile[:PERSONA_COUNT] = True
    columns: dict[str, Any] = {"user_id": pa.array(user_ids(count), pa.string())}
    columns |= _identity(settings, count, rng)
    columns |= _questionnaire(settings, levels, rng)
    columns |= _tolerance(levels, rng)
    columns |= _finances(settings, levels, rng)
    rows = pa.array(np.flatnonzero(has_profile))
    arrays = {name: to_arrow(values) for name, values in columns.items()}
    return People({name: array.take(rows) for name, array in arrays.items()}, levels, investor)


def _identity(settings: SimulationSettings, count: int, rng: np.random.Generator) -> dict[str, Any]:
    # Half of the users are under 41, nine in a hundred are 65 or older, and very few are minors.
    youngest, oldest = AGE_YEARS
    ages = youngest + (oldest - youngest) * rng.beta(1.6, 2.6, count)
    age_days = _with_persona((ages * 365.25).astype(np.int64), 38 * 365)
    stale = _with_persona(rng.random(count) < 0.02, False)
    minor = age_days < 18 * 365.25
    capacity = np.where(minor, "LIMITED", choose(["FULL", "LIMITED", "NONE"], [985, 10, 5], count, rng))
    return {
        # Profiles are synchronised at midnight; those that were not have been waiting for days.
        "profile_as_of": _gaps(
            days_from(settings.now, -np.where(stale, rng.integers(2, 40, count), 0)), 0.005, rng
        ),
        "client_type": _gaps(
            _with_persona(choose(["RETAIL", "PROFESSIONAL"], [97, 3], count, rng), "RETAIL"), 0.05, rng
        ),
        "capacity": _gaps(_with_persona(capacity, "FULL"), 0.01, rng),
        "birth_date": _gaps(dates_from(settings.now, -age_days), 0.01, rng),
        "jurisdiction": _gaps(
            _with_persona(choose(["CN", "HK", "SG"], [94, 5, 1], count, rng), "CN"), 0.01, rng
        ),
        "us_person": _gaps(_with_persona(rng.random(count) < 0.007, False), 0.01, rng),
        "vulnerable": _gaps(_with_persona(rng.random(count) < 0.03, False), 0.01, rng),
        "blocked": _gaps(_with_persona(rng.random(count) < 0.01, False), 0.005, rng),
        "consent_sensitive": _gaps(_with_persona(rng.random(count) >= 0.05, True), 0.02, rng),
    }


def _questionnaire(
    settings: SimulationSettings, levels: npt.NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Any]:
    """Draws assessments: 6 % missing, 10 % expired, 6 % with a changed level of which 60 % are confirmed."""
    count = len(levels)
    age = np.where(rng.random(count) < 0.10, rng.integers(370, 900, count), rng.integers(1, 300, count))
    taken = rng.random(count) >= 0.06
    taken[:PERSONA_COUNT] = True
    changed = _with_persona(rng.random(count) < 0.06, False)
    often = rng.random(count) < 0.01
    yearly = np.where(often, rng.integers(9, 14, count), rng.integers(1, 4, count))
    return {
        "risk_level": pa.array(levels, mask=~taken),
        "assessed_on": keep_where(dates_from(settings.now, -_with_persona(age, 30)), taken),
        "level_changed": keep_where(pa.array(changed), taken),
        "level_confirmed": keep_where(pa.array(~changed | (rng.random(count) < 0.6)), taken),
        "assessments_today": pa.array(np.zeros(count, dtype=np.int64), mask=~taken),
        "assessments_12m": pa.array(_with_persona(yearly, 1), mask=~taken),
        "change_reported": _gaps(_with_persona(rng.random(count) < 0.02, False), 0.01, rng),
    }


def _tolerance(levels: npt.NDArray[np.int64], rng: np.random.Generator) -> dict[str, Any]:
    count = len(levels)
    families = sorted(INVESTMENT_FAMILIES | INSURANCE_FAMILIES)
    knowledge = np.clip(levels[:, None] - 1 + rng.integers(-2, 3, (count, len(families))), 0, 3)
    knowledge[:PERSONA_COUNT] = np.clip(levels[:PERSONA_COUNT, None], 1, 3)
    maps = [list(zip(families, row, strict=True)) for row in knowledge.tolist()]
    # A third of the boldest could bear to lose more than they invested.
    loss = np.where((levels == BOLD_LEVEL) & (rng.random(count) < 0.3), 3, np.clip(levels - 1, 0, 2))
    return {
        "knowledge": _gaps(pa.array(maps, pa.map_(pa.string(), pa.int64())), 0.02, rng),
        "loss_capacity": _gaps(loss, 0.015, rng),
        "max_loss_bps": _gaps(_with_persona(rng.integers(5, 50, count) * 100, 3_000), 0.02, rng),
        "horizon_months": _gaps(_with_persona(12 * levels + rng.integers(0, 60, count), 72), 0.015, rng),
        "objectives": _gaps(pa.array([list(OBJECTIVES[level]) for level in levels], TEXT_LIST), 0.015, rng),
    }


def _finances(
    settings: SimulationSettings, levels: npt.NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Any]:
    """Draws money in minor units and currencies."""
    count = len(levels)
    liquid = np.minimum(np.exp(rng.normal(16.5, 1.4, count)), 1e12).astype(np.int64)
    income = np.minimum(np.exp(rng.normal(16.4, 0.7, count)), 1e12).astype(np.int64)
    liquid[:PERSONA_COUNT], income[:PERSONA_COUNT] = 50_000_000, 30_000_000
    budget = (income * _with_persona(rng.choice([0.05, 0.1, 0.2, 0.3], count), 0.2)).astype(np.int64)
    currencies = choose([["CNY"], ["CNY", "HKD", "USD"]], [80, 20], count, rng)
    return {
        "liquid": _gaps(liquid, 0.015, rng),
        "income": _gaps(income, 0.015, rng),
        "premium_budget": _gaps(budget, 0.03, rng),
        "currencies": _gaps(pa.array(currencies.tolist(), TEXT_LIST), 0.01, rng),
        **_holdings(liquid, levels, rng),
        **_needs(settings, count, rng),
    }


def _holdings(
    liquid: npt.NDArray[np.int64], levels: npt.NDArray[np.int64], rng: np.random.Generator
) -> dict[str, Any]:
    """Draws what is held already: one user in eight has a third of the money at one issuer."""
    count = len(levels)
    issuers = [ISSUERS[row][0] for row in rng.integers(len(ISSUERS), size=count)]
    shares = _with_persona(rng.choice([0, 0.1, 0.5], count, p=[0.675, 0.2, 0.125]), 0.1)
    held = [
        [(issuer, amount)] if amount else []
        for issuer, amount in zip(issuers, (liquid * shares).astype(np.int64).tolist(), strict=True)
    ]
    risky = _with_persona(rng.choice([0.02, 0.05, 0.3], count, p=[0.5, 0.4, 0.1]), 0.05) * (levels >= 4)
    groups = _with_persona(choose([[], ["life"], ["illness"], ["accident"]], [70, 12, 10, 8], count, rng), [])
    return {
        "held_issuer": _gaps(pa.array(held, pa.map_(pa.string(), pa.int64())), 0.015, rng),
        "held_high_risk": _gaps((liquid * risky).astype(np.int64), 0.015, rng),
        "held_dup_groups": _gaps(pa.array(groups.tolist(), TEXT_LIST), 0.02, rng),
    }


def _needs(settings: SimulationSettings, count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draws insurance needs; one statement in ten is older than a year."""
    needs = [list(NEEDS[row]) for row in rng.choice(len(NEEDS), count, p=[0.2, 0.2, 0.15, 0.2, 0.1, 0.15])]
    needs[:PERSONA_COUNT] = [["life", "retirement"]] * len(needs[:PERSONA_COUNT])
    age = np.where(rng.random(count) < 0.10, rng.integers(370, 900, count), rng.integers(1, 300, count))
    return {
        "needs": _gaps(pa.array(needs, TEXT_LIST), 0.03, rng),
        "needs_on": _gaps(dates_from(settings.now, -_with_persona(age, 30)), 0.02, rng),
    }


def _with_persona(values: npt.NDArray[Any], value: Any) -> npt.NDArray[Any]:
    for row in range(min(PERSONA_COUNT, len(values))):  # One by one, because a value may itself be a list.
        values[row] = value
    return values


def _gaps(values: Any, share: float, rng: np.random.Generator) -> Any:
    """Makes gaps, but none in a persona."""
    array = to_arrow(values)
    present = rng.random(len(array)) >= share
    present[:PERSONA_COUNT] = True
    return keep_where(array, present)
