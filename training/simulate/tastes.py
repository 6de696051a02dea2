"""Latent tastes of users and latent positions of products, with a known strength of transfer between domains.

A taste is a vector over topics. The taste for financial products is correlated with the taste for courses by
`taste_correlation`; both drift from quarter to quarter. They are the truth that transfer is measured against.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.simulate.settings import SimulationSettings
from training.simulate.words import TOPICS

TASTE_DIM: Final = len(TOPICS)
QUARTER_COUNT: Final = 4
TASTE_STRENGTH: Final = 2.4  # With it a user's favourite topic takes about a third of the user's attention.
POPULARITY_EXPONENT: Final = 0.7  # Zipf-like skew: a tenth of the products draw about half of the attention.

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Latents:
    """The truth behind behaviour.

    Attributes:
        learning: taste for courses, float32 [quarter_count, user_count, taste_dim].
        financial: taste for financial products, float32 [quarter_count, user_count, taste_dim].
        course_topics: int64 [course_count].
        product_topics: int64 [product_count].
        course_positions: float32 [course_count, taste_dim].
        product_positions: float32 [product_count, taste_dim].
        course_popularity: log popularity, float32 [course_count].
        product_popularity: log popularity, float32 [product_count].
    """

    learning: Floats
    financial: Floats
    course_topics: npt.NDArray[np.int64]
    product_topics: npt.NDArray[np.int64]
    course_positions: Floats
    product_positions: Floats
    course_popularity: Floats
    product_popularity: Floats


def draw_latents(settings: SimulationSettings, rng: np.random.Generator) -> Latents:
    """Draws tastes, positions and popularity; users 0 and 1 are given the same tastes (the personas)."""
    learning = _drifting_tastes(settings, rng)
    own = _drifting_tastes(settings, rng)
    correlation = settings.taste_correlation
    financial = correlation * learning + np.sqrt(1.0 - correlation**2) * own
    for taste in (learning, financial):
        taste[:, 1:2] = taste[:, :1]
    course_topics = rng.integers(TASTE_DIM, size=settings.courses)
    product_topics = rng.integers(TASTE_DIM, size=settings.products)
    return Latents(
        learning=learning,
        financial=financial.astype(np.float32),
        course_topics=course_topics,
        product_topics=product_topics,
        course_positions=_positions(course_topics, rng),
        product_positions=_positions(product_topics, rng),
        course_popularity=_popularity(settings.courses, rng),
        product_popularity=_popularity(settings.products, rng),
    )


def _drifting_tastes(settings: SimulationSettings, rng: np.random.Generator) -> Floats:
    shape = (settings.users, TASTE_DIM)
    tastes = [rng.standard_normal(shape, dtype=np.float32)]  # [user_count, taste_dim]
    drift = settings.taste_drift
    for _ in range(QUARTER_COUNT - 1):
        fresh = rng.standard_normal(shape, dtype=np.float32)
        tastes.append(np.float32(np.sqrt(1.0 - drift**2)) * tastes[-1] + np.float32(drift) * fresh)
    return np.stack(tastes)


def _positions(topics: npt.NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Places each product near its topic, partly in a second one, with a character of its own."""
    positions = rng.normal(0.0, 0.15, (len(topics), TASTE_DIM)).astype(np.float32)
    rows = np.arange(len(topics))
    positions[rows, topics] += 0.8
    positions[rows, rng.integers(TASTE_DIM, size=len(topics))] += 0.35
    return positions


def _popularity(count: int, rng: np.random.Generator) -> Floats:
    ranks = rng.permutation(count) + 1
    return (-POPULARITY_EXPONENT * np.log(ranks)).astype(np.float32)
