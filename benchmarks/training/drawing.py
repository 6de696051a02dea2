"""Draws a data set of any size without holding it: events of users with tastes for popular products."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from index.features import EVENT_TYPES
from training.schema import INTERACTIONS, PRODUCTS, PROFILES

PRODUCT_COUNT: Final = 10_000
EVENTS_PER_USER: Final = 50
_CHUNK_COUNT: Final = 500_000
_FIRST_MICROSECOND: Final = 1_700_000_000_000_000
_YEAR_MICROSECONDS: Final = 365 * 86_400_000_000
_KIND_COUNT: Final = 20  # Kinds of products; every user likes one of them.


def draw_data(path: Path, event_count: int, seed: int = 1) -> None:
    """Writes a data directory in order of time, as a log is; it says that it is simulated."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    user_count = max(event_count // EVENTS_PER_USER, 1)
    with pyarrow.parquet.ParquetWriter(path / "interactions.parquet", INTERACTIONS.arrow) as writer:
        for start in range(0, event_count, _CHUNK_COUNT):
            count = min(_CHUNK_COUNT, event_count - start)
            writer.write_table(_draw_events(rng, user_count, start / event_count, count))
    with pyarrow.parquet.ParquetWriter(path / "profiles.parquet", PROFILES.arrow) as writer:
        for start in range(0, user_count, _CHUNK_COUNT):
            rows = np.arange(start, min(start + _CHUNK_COUNT, user_count))
            writer.write_table(_fill(PROFILES.arrow, {"user_id": _name("u", rows), "risk_level": rows % 5}))
    rows = np.arange(PRODUCT_COUNT)
    products = _fill(PRODUCTS.arrow, {"id": _name("p", rows), "category": _name("kind", rows % _KIND_COUNT)})
    pyarrow.parquet.write_table(products, path / "products.parquet")
    source = {"name": "drawn", "simulated": True, "clock": None}
    (path / "source.json").write_text(json.dumps(source), encoding="utf-8")


def _draw_events(rng: np.random.Generator, user_count: int, past: float, count: int) -> pa.Table:
    user = rng.integers(user_count, size=count)
    # Popularity falls with the rank; half of the products are of the kind that the user likes.
    rank = np.minimum(np.exp(rng.random(count) * np.log(PRODUCT_COUNT)).astype(np.int64), PRODUCT_COUNT - 1)
    liked = rank // _KIND_COUNT * _KIND_COUNT + user % _KIND_COUNT
    product = np.where(rng.random(count) < 0.5, liked, rank)
    span = _YEAR_MICROSECONDS * count // max(user_count * EVENTS_PER_USER, 1)
    time = (
        _FIRST_MICROSECOND + int(past * _YEAR_MICROSECONDS) + np.sort(rng.integers(max(span, 1), size=count))
    )
    columns = {
        "user_id": _name("u", user),
        "product_id": _name("p", product),
        "event_type": pa.array(EVENT_TYPES).take(rng.integers(3, size=count)),
        "event_time": pa.array(time).cast(pa.timestamp("us", tz="UTC")),
    }
    return _fill(INTERACTIONS.arrow, columns)


def _name(letter: str, rows: Any) -> Any:
    return pa.array(np.char.add(letter, rows.astype(str)))


def _fill(schema: pa.Schema, columns: dict[str, Any]) -> pa.Table:
    """Makes a table whose other columns are missing."""
    count = len(next(iter(columns.values())))
    arrays = [
        pa.array(columns[entry.name]).cast(entry.type)
        if entry.name in columns
        else pa.nulls(count, entry.type)
        for entry in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
