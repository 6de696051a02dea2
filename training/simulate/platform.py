"""Simulates the whole platform: catalogue, people, behaviour, and the truth behind them."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from index.fields import EMBEDDING
from training.dataset import DataSource, format_clock
from training.quality import CheckedData
from training.schema import INTERACTIONS, PRODUCTS, PROFILES, TableSpec
from training.simulate.behaviour import draw_interactions
from training.simulate.courses import draw_courses
from training.simulate.embeddings import draw_embeddings
from training.simulate.people import draw_people
from training.simulate.products import draw_products
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import QUARTER_COUNT, Latents, draw_latents
from training.tables import RawTable, from_columns

STREAMS: Final = ("latents", "courses", "products", "people", "behaviour", "embeddings")


@dataclass(frozen=True)
class Simulation:
    """Simulated tables before the checks, and the truth as the bytes of truth.npz."""

    interactions: RawTable
    products: RawTable
    profiles: RawTable
    truth: bytes


def simulate(settings: SimulationSettings, advance: Callable[[int], None]) -> Simulation:
    """Simulates the platform; equal settings give equal bytes.

    Args:
        settings: sizes, seed, clock and strengths.
        advance: called with the number of users whose behaviour was drawn since the last call.
    """
    rngs = make_streams(settings.seed)
    latents = draw_latents(settings, rngs["latents"])
    courses = draw_courses(settings, latents, rngs["courses"])
    products, steps = draw_products(settings, latents, rngs["products"])
    people = draw_people(settings, rngs["people"])
    ids = [*courses["id"], *products["id"]]
    if settings.embedding_width:
        positions = np.concatenate([latents.course_positions, latents.product_positions])
        column = draw_embeddings(settings, positions, rngs["embeddings"])
        courses[EMBEDDING], products[EMBEDDING] = column[: len(courses["id"])], column[len(courses["id"]) :]
    events = draw_interactions(
        settings=settings,
        latents=latents,
        people=people,
        steps=steps,
        product_ids=ids,
        rng=rngs["behaviour"],
        advance=advance,
    )
    return Simulation(
        interactions=from_columns(INTERACTIONS, events),
        products=_stack(PRODUCTS, courses, products),
        profiles=from_columns(PROFILES, people.columns),
        truth=_truth(settings, latents, people.risk_levels),
    )


def make_streams(seed: int) -> dict[str, np.random.Generator]:
    """Makes one stream per part, so that a change in one part does not change the others."""
    seeds = np.random.SeedSequence(seed).spawn(len(STREAMS))
    return {name: np.random.default_rng(child) for name, child in zip(STREAMS, seeds, strict=True)}


def describe_simulation(settings: SimulationSettings, checked: CheckedData) -> DataSource:
    """Describes a simulated data set; it says that it is simulated, and names two users worth showing."""
    personas = {"cautious": "U000000"} | ({"bold": "U000001"} if settings.users > 1 else {})
    return DataSource(
        name="simulated",
        simulated=True,
        licence="no licence needed: every person, product and event is invented",
        attribution="",
        clock=format_clock(settings.now),
        notes=(
            f"seed {settings.seed}; taste correlation over the two domains {settings.taste_correlation}; "
            f"taste drift per quarter {settings.taste_drift}",
            *_describe_embeddings(settings),
            "truth.npz holds the latent tastes and positions, so that transfer can be measured",
        ),
        counts={
            "users": settings.users,
            "courses": settings.courses,
            "financial_products": settings.products,
            "profiles": checked.profiles.table.num_rows,
            "interactions": checked.interactions.table.num_rows,
        },
        personas=personas,
    )


def _describe_embeddings(settings: SimulationSettings) -> tuple[str, ...]:
    if not settings.embedding_width:
        return ()
    return (
        f"embeddings of {settings.embedding_width} numbers are a random projection of the true positions, "
        f"with {settings.embedding_noise} of noise",
    )


def _stack(spec: TableSpec, *parts: dict[str, Any]) -> RawTable:
    table = pa.concat_tables([from_columns(spec, columns).table for columns in parts]).combine_chunks()
    return RawTable(spec, table, table, np.arange(1, table.num_rows + 1, dtype=np.int64))


def _truth(settings: SimulationSettings, latents: Latents, risk_levels: Any) -> bytes:
    """Packs the truth; tastes are those of the last quarter. Entries carry no time, so bytes repeat."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        taste_correlation=np.float64(settings.taste_correlation),
        taste_drift=np.float64(settings.taste_drift),
        learning_taste=latents.learning[QUARTER_COUNT - 1],
        financial_taste=latents.financial[QUARTER_COUNT - 1],
        course_positions=latents.course_positions,
        product_positions=latents.product_positions,
        course_topics=latents.course_topics,
        product_topics=latents.product_topics,
        risk_levels=risk_levels,
    )
    return buffer.getvalue()
