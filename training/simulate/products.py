"""The simulated financial and insurance products, with every catalogue field and realistic gaps.

About two products in five have a flaw that alone keeps them from everybody: a missing field, an expired
licence or window, not on sale, not in the app, private, sold out. All names are invented.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.simulate.gaps import choose, days_from, with_gaps
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import Latents
from training.simulate.words import FUND_KINDS, ISSUERS, PRODUCT_KINDS, TOPICS

FAMILY_SHARES: Final = {
    "FUND": 0.40,
    "WEALTH": 0.20,
    "TRUST": 0.06,
    "STRUCTURED": 0.06,
    "INS_PROTECTION": 0.13,
    "INS_PAR_UL": 0.09,
    "INS_LINKED": 0.06,
}
LEVEL_WEIGHTS: Final = {
    "FUND": (15, 22, 25, 24, 14),
    "WEALTH": (25, 50, 20, 5, 0),
    "TRUST": (0, 5, 40, 40, 15),
    "STRUCTURED": (0, 15, 30, 35, 20),
    "INS_PROTECTION": (80, 20, 0, 0, 0),
    "INS_PAR_UL": (10, 60, 30, 0, 0),
    "INS_LINKED": (0, 0, 40, 40, 20),
}
LEVEL_MAX: Final = {"CN5": 5, "SRI7": 7}
# Upper ends of the score bands per level; the CN5 bands end at the default policy's limits by level.
SCORE_BANDS: Final = {
    "CN5": (0, 2000, 4000, 6000, 8000, 10000),
    "SRI7": (0, 1500, 3000, 4500, 6000, 7500, 9000, 10000),
}
HORIZON_BY_LEVEL: Final = (0, 3, 12, 24, 36)
PROTECTION_NEEDS: Final = {
    "Term Life": "life",
    "Critical Illness Cover": "illness",
    "Accident Cover": "accident",
}


@dataclass(frozen=True)
class _Core:
    """What the other columns depend on, one entry per product."""

    families: npt.NDArray[Any]
    scales: npt.NDArray[Any]
    levels: npt.NDArray[np.int64]  # On the product's own scale.
    steps: npt.NDArray[np.int64]  # 0 lowest to 4 highest, whatever the scale.
    insurance: npt.NDArray[np.bool_]


def draw_products(
    settings: SimulationSettings, latents: Latents, rng: np.random.Generator
) -> tuple[dict[str, Any], npt.NDArray[np.int64]]:
    """Returns the columns of the products, and a risk step 0 to 4 per product for behaviour to depend on."""
    core = _draw_core(settings.products, rng)
    columns = _identity(core, latents, rng)
    titles = columns["title"]
    columns |= _sale(settings, core, rng)
    columns |= _risk(core, rng)
    columns |= _audience(core, titles, rng)
    columns |= _money(core, rng)
    return columns, core.steps


def _draw_core(count: int, rng: np.random.Generator) -> _Core:
    families = choose(list(FAMILY_SHARES), list(FAMILY_SHARES.values()), count, rng)
    steps = np.array(
        [rng.choice(5, p=np.array(LEVEL_WEIGHTS[family]) / 100.0) for family in families], dtype=np.int64
    )
    european = np.isin(families, ["FUND", "STRUCTURED"]) & (rng.random(count) < 0.2)
    levels = np.where(european, np.rint(1 + steps * 1.5).astype(np.int64), steps + 1)
    insurance = np.array([str(family).startswith("INS_") for family in families], dtype=bool)
    return _Core(families, np.where(european, "SRI7", "CN5"), levels, steps, insurance)


def _identity(core: _Core, latents: Latents, rng: np.random.Generator) -> dict[str, Any]:
    titles, titles_zh, issuers, texts = [], [], [], []
    seen: dict[str, int] = {}
    for family, step, topic_row in zip(core.families, core.steps, latents.product_topics, strict=True):
        topic = TOPICS[topic_row]
        group = 2 if str(family).startswith("INS_") else int(family == "TRUST")
        issuer, _, name, name_zh = ISSUERS[group * 12 + int(rng.integers(12))]
        kinds = PRODUCT_KINDS.get(str(family), ())
        kind, kind_zh = FUND_KINDS[step] if family == "FUND" else kinds[int(rng.integers(len(kinds)))]
        title, title_zh = f"{name} {topic.theme} {kind}", f"{name_zh}{topic.theme_zh}{kind_zh}"
        series = seen[title] = seen.get(title, 0) + 1
        titles.append(title if series == 1 else f"{title} {series}")
        titles_zh.append(title_zh if series == 1 else f"{title_zh}{series}号")
        issuers.append(issuer)
        texts.append(
            f"Simulated {kind.lower()} on {topic.name.lower()}. 模拟产品：{topic.name_zh}{kind_zh}。"
        )
    prefixes = np.where(core.insurance, "I", "F")
    return {
        "id": [f"{prefix}{row:05d}" for row, prefix in enumerate(prefixes)],
        "title": titles,
        "title_alternate": titles_zh,
        "description": texts,
        "category": [TOPICS[topic].name for topic in latents.product_topics],
        "tags": [list(TOPICS[topic].tags) for topic in latents.product_topics],
        "issuer": with_gaps(pa.array(issuers, pa.string()), 0.01, rng),
        "family": core.families,
        "scale": with_gaps(pa.array(core.scales, pa.string()), 0.01, rng),
    }


def _sale(settings: SimulationSettings, core: _Core, rng: np.random.Generator) -> dict[str, Any]:
    count, now = len(core.families), settings.now
    state = rng.random(count)  # Decides between open, over and not yet open.
    start = np.where(state > 0.98, rng.integers(5, 60, count), -rng.integers(400, 1500, count))
    end = np.where(state < 0.04, -rng.integers(1, 200, count), rng.integers(90, 1500, count))
    licence = np.where(
        rng.random(count) < 0.025, -rng.integers(1, 200, count), rng.integers(180, 1500, count)
    )
    private = np.where(core.families == "TRUST", 0.5, np.where(core.families == "STRUCTURED", 0.1, 0.0))
    channels = choose([["app", "branch", "web"], ["app", "web"], ["branch"]], [60, 36, 4], count, rng)
    codes = [f"SIM{code:08d}" for code in rng.integers(10**8, size=count)]
    capacity = rng.integers(10**7, 10**12, count)
    capacity[rng.random(count) < 0.02] = 0
    return {
        "status": with_gaps(choose(["ON_SALE", "SUSPENDED", "CLOSED"], [95, 3, 2], count, rng), 0.01, rng),
        "registration_code": with_gaps(pa.array(codes, pa.string()), 0.015, rng),
        "sale_start": with_gaps(days_from(now, start), 0.01, rng),
        "sale_end": with_gaps(days_from(now, end), 0.01, rng),
        "channels": with_gaps(pa.array(channels.tolist(), pa.list_(pa.string())), 0.02, rng),
        "licence_until": with_gaps(days_from(now, licence), 0.015, rng),
        "offering": np.where(rng.random(count) < private, "PRIVATE", "PUBLIC"),
        "capacity_left": with_gaps(capacity, 0.01, rng),
    }


def _risk(core: _Core, rng: np.random.Generator) -> dict[str, Any]:
    """Draws levels and scores: 1 in 8 products is rated differently by its issuer, half state a score."""
    count = len(core.families)
    level_max = np.array([LEVEL_MAX[str(scale)] for scale in core.scales], dtype=np.int64)
    shift = np.where(rng.random(count) < 0.12, rng.choice(np.array([-1, 1]), count), 0)
    issuer = np.clip(core.levels + shift, 1, level_max)
    effective = np.maximum(issuer, core.levels)
    bands = [SCORE_BANDS[str(scale)] for scale in core.scales]
    low = np.array([band[level - 1] for band, level in zip(bands, effective, strict=True)], dtype=np.int64)
    high = np.array([band[level] for band, level in zip(bands, effective, strict=True)], dtype=np.int64)
    score = rng.integers(low + 50, high + 1) if count else low
    # Some issuers' own models disagree with the level: their score lies over the band, and the score decides.
    score = np.where(rng.random(count) < 0.08, np.minimum(high + rng.integers(50, 800, count), 10_000), score)
    loss_class = np.where(core.families == "INS_PROTECTION", 0, np.minimum(core.steps, 2))
    loss_class = np.where((core.families == "STRUCTURED") & (core.steps == 4), 3, loss_class)
    max_loss = np.where(
        loss_class == 1, rng.integers(2, 40, count) * 100, np.where(loss_class == 0, 0, 10_000)
    )
    return {
        "level_issuer": with_gaps(issuer, 0.02, rng),
        "level_distributor": with_gaps(core.levels, 0.02, rng),
        "risk_score": with_gaps(score, 0.5, rng),
        "loss_class": with_gaps(loss_class, 0.01, rng),
        "max_loss_bps": with_gaps(max_loss, 0.01, rng),
    }


def _audience(core: _Core, titles: list[str], rng: np.random.Generator) -> dict[str, Any]:
    count = len(core.families)
    horizon = np.array([HORIZON_BY_LEVEL[step] for step in core.steps], dtype=np.int64)
    objectives = [
        ["preserve", "income"]
        if step <= 1
        else ["income", "growth"]
        if step <= 3
        else ["growth", "speculate"]
        for step in core.steps
    ]
    negative = [["speculate"] if step <= 1 else ["preserve"] if step >= 3 else [] for step in core.steps]
    needs = [_needs(str(family), title) for family, title in zip(core.families, titles, strict=True)]
    text_list = pa.list_(pa.string())
    return {
        "retail": with_gaps(choose(["Y", "NEUTRAL", "N"], [90, 6, 4], count, rng), 0.01, rng),
        "min_knowledge": with_gaps(np.maximum(core.steps - 1, 0), 0.01, rng),
        "min_horizon_months": with_gaps(np.where(core.insurance, 60, horizon), 0.01, rng),
        "min_age": with_gaps(np.full(count, 18), 0.005, rng),
        "max_age": with_gaps(np.where(core.insurance, 65, rng.choice([80, 100], count)), 0.005, rng),
        "jurisdictions": with_gaps(
            pa.array(choose([["CN"], ["CN", "HK"], ["HK"]], [80, 17, 3], count, rng).tolist(), text_list),
            0.01,
            rng,
        ),
        "us_persons_ok": rng.random(count) < 0.15,
        "objectives_y": with_gaps(pa.array(objectives, text_list), 0.01, rng),
        "objectives_n": with_gaps(pa.array(negative, text_list), 0.01, rng),
        "needs_served": with_gaps(pa.array(needs, text_list), 0.01, rng),
        "dup_group": pa.array(
            [
                need[0] if family == "INS_PROTECTION" and need else None
                for family, need in zip(core.families, needs, strict=True)
            ],
            pa.string(),
        ),
    }


def _needs(family: str, title: str) -> list[str] | None:
    """Returns the insurance needs that a product serves; protection serves what its title says."""
    if family == "INS_PROTECTION":
        return [need for kind, need in PROTECTION_NEEDS.items() if kind in title]
    return {"INS_PAR_UL": ["retirement", "savings"], "INS_LINKED": ["retirement", "growth"]}.get(family)


def _money(core: _Core, rng: np.random.Generator) -> dict[str, Any]:
    """Draws amounts in minor units: smallest investments by family, premiums for insurance."""
    count = len(core.families)
    smallest = {"FUND": 1_000, "WEALTH": 100_000, "STRUCTURED": 5_000_000, "TRUST": 100_000_000}
    base = np.array([smallest.get(str(family), 100_000) for family in core.families], dtype=np.int64)
    pay_years = rng.choice(np.array([0, 1, 5, 10, 20]), count)
    premium = rng.integers(10, 300, count) * 10_000  # 1,000 to 30,000 yuan a year.
    annual, single = core.insurance & (pay_years > 0), core.insurance & (pay_years == 0)
    return {
        "currency": with_gaps(choose(["CNY", "USD", "HKD"], [94, 4, 2], count, rng), 0.01, rng),
        "min_amount": with_gaps(base * rng.choice(np.array([1, 1, 5, 10]), count), 0.01, rng),
        "pay_years": pa.array(pay_years, mask=~core.insurance),
        "annual_premium": pa.array(premium, mask=~annual),
        "single_premium": pa.array(premium * 5, mask=~single),
    }
