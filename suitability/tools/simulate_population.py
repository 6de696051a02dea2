"""Reads a population to simulate on: products whole, profiles in chunks, as training writes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from suitability.errors import SimulationError
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind

CHUNK_COUNT = 256
"""Profiles in memory at a time."""

Record = Mapping[str, Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """Holds who and what is judged.

    Attributes:
        profiles_path: the table of profiles.
        profile_count: how many it holds.
        products: every product, in the order of its table.
        clock: the instant at which the data is current; None where the directory states none.
    """

    profiles_path: Path
    profile_count: int
    products: tuple[Record, ...]
    clock: datetime | None


def open_population(directory: Path) -> Population:
    """Opens profiles.parquet, products.parquet and, where it is there, source.json.

    Raises:
        SimulationError: a file is missing, or is not what training writes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    profiles_path, products_path = directory / "profiles.parquet", directory / "products.parquet"
    for path in (profiles_path, products_path):
        if not path.is_file():
            raise SimulationError(f"expected a table at {path}, found none")
    try:
        profiles = pq.ParquetFile(profiles_path)
        products = tuple(_records(pq.read_table(products_path), PRODUCT_FIELDS))
    except (pa.ArrowException, OSError) as error:
        raise SimulationError(f"{directory}: expected Parquet tables, got: {error}") from error
    if "user_id" not in profiles.schema_arrow.names:
        raise SimulationError(f"{profiles_path}: expected a column user_id, found none")
    if not products or profiles.metadata.num_rows == 0:
        raise SimulationError(f"{directory}: expected at least one profile and one product")
    return Population(profiles_path, profiles.metadata.num_rows, products, _read_clock(directory))


def draw_rows(population: Population, count: int | None, random: np.random.Generator) -> Rows:
    """Draws profile rows without replacement, ascending; all of them where no count is given."""
    if count is None or count >= population.profile_count:
        return np.arange(population.profile_count, dtype=np.int64)
    return np.sort(random.choice(population.profile_count, size=count, replace=False)).astype(np.int64)


def read_profiles(population: Population, rows: Rows) -> Iterator[list[Record]]:
    """Yields the profiles of the rows, CHUNK_COUNT at a time, in order.

    A pseudonym is no column: the server derives one for every user it knows, so the user_id stands for it.
    """
    import pyarrow.parquet as pq

    pending: list[Record] = []
    start = 0
    for batch in pq.ParquetFile(population.profiles_path).iter_batches(batch_size=CHUNK_COUNT):
        wanted = rows[(rows >= start) & (rows < start + batch.num_rows)] - start
        start += batch.num_rows
        pending.extend(_records(batch.take(wanted), USER_FIELDS))
        if len(pending) >= CHUNK_COUNT:
            yield pending[:CHUNK_COUNT]
            pending = pending[CHUNK_COUNT:]
    if pending:
        yield pending


def _records(table: Any, fields: Mapping[str, Field]) -> Iterator[Record]:
    """Turns a table or a batch into plain mappings without their missing fields; maps come as pairs."""
    maps = {name for name, field in fields.items() if field.kind is Kind.COUNTS}
    names = [name for name in table.schema.names if name in fields]
    columns: Sequence[list[Any]] = [table.column(name).to_pylist() for name in names]
    user_ids = table.column("user_id").to_pylist() if "user_id" in table.schema.names else None
    for row, values in enumerate(zip(*columns, strict=True)):
        record = {
            name: dict(value) if name in maps else value
            for name, value in zip(names, values, strict=True)
            if value is not None
        }
        if user_ids is not None:
            record["pseudonym"] = str(user_ids[row]).encode()
        yield record


def _read_clock(directory: Path) -> datetime | None:
    path = directory / "source.json"
    if not path.is_file():
        return None
    try:
        text = json.loads(path.read_text(encoding="utf-8"))["clock"]
        clock = None if text is None else datetime.fromisoformat(text)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise SimulationError(f"{path}: expected a key clock with an RFC 3339 instant, {error!r}") from error
    if clock is not None and clock.utcoffset() is None:
        raise SimulationError(f"{path}: expected a clock with a time zone, got {text!r}")
    return clock
