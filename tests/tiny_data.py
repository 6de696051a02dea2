"""A tiny data directory for tests of training and export: two groups of users with opposite tastes."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from training.schema import INTERACTIONS, PRODUCTS, PROFILES, make_arrow

START = datetime(2026, 1, 1, tzinfo=UTC)
TINY_SETTINGS = {
    "embedding_dim": 8,
    "epochs": 4,
    "batch_size": 64,
    "learning_rate": 0.03,
    "validation_fraction": 0.2,
}


def make_events(user_count: int = 61, item_count: int = 61, event_count: int = 12) -> list[dict[str, Any]]:
    """Even users like the first half of the products, odd ones the second; some events repeat or tie."""
    rng = np.random.default_rng(7)
    events = []
    for user in range(user_count):
        half = max(item_count // 2, 1)
        low = (user % 2) * half
        days = np.sort(rng.integers(0, 60, event_count))
        for day, offset in zip(days, rng.integers(0, half, event_count), strict=True):
            events.append(
                {
                    "user_id": f"u{user:03}",
                    "product_id": f"p{min(low + offset, item_count - 1):03}",
                    "event_type": ("view", "click", "purchase")[int(day) % 3],
                    "event_time": START + timedelta(days=int(day)),
                    "weight": 1.0,
                }
            )
    return events


def write_data(
    path: Path,
    events: Sequence[dict[str, Any]],
    *,
    products: Sequence[dict[str, Any]] | None = None,
    profiles: Sequence[dict[str, Any]] | None = None,
) -> Path:
    """Writes a data directory; products and profiles default to the events' own, with a little content."""
    if products is None:
        ids = sorted({event["product_id"] for event in events})
        products = [{"id": name, "family": "FUND", "category": name[:3], "risk_score": 100} for name in ids]
    if profiles is None:
        users = sorted({event["user_id"] for event in events})
        profiles = [{"user_id": name, "risk_level": row % 5, "liquid": row} for row, name in enumerate(users)]
    path.mkdir()
    tables = ((INTERACTIONS, events), (PRODUCTS, products), (PROFILES, profiles))
    for spec, rows in tables:
        fields = spec.choose_fields({name for row in rows for name in row})
        table = pa.Table.from_pylist(list(rows), schema=make_arrow(fields))
        pyarrow.parquet.write_table(table, path / f"{spec.name}.parquet")
    source = {"name": "tiny", "simulated": True, "clock": "2026-03-02T00:00:00Z"}
    (path / "source.json").write_text(json.dumps(source))
    return path
