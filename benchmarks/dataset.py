"""Reads a data set written by training: profiles and histories by user, products by id."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from benchmarks.errors import BenchmarkInputError
from index.features import Event
from training.product_records import list_products

LEARNING_FAMILY = "COURSE"

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.


@dataclass(frozen=True)
class DataSet:
    """One data set.

    Attributes:
        profiles: suitability's user fields by user id, for the users who have a profile.
        products: catalogue fields by product id.
        interactions: the events, sorted by user and time.
        source: the content of source.json.
    """

    profiles: Mapping[str, Mapping[str, Any]]
    products: Mapping[str, Mapping[str, Any]]
    interactions: pa.Table
    source: Mapping[str, Any]

    def history(self, user_id: str) -> list[Event]:
        """Returns the user's events, oldest first; empty for a user without any."""
        first, last = self._user_rows.get(user_id, (0, 0))
        rows = self.interactions.slice(first, last - first).to_pylist()
        return [Event(row["product_id"], row["event_type"], row["event_time"].timestamp()) for row in rows]

    @property
    def active_user_ids(self) -> list[str]:
        """Returns the users with at least one event, ascending."""
        return sorted(self._user_rows)

    def event_count(self, user_id: str) -> int:
        """Returns the number of the user's events."""
        first, last = self._user_rows.get(user_id, (0, 0))
        return last - first

    @cached_property
    def _user_rows(self) -> dict[str, tuple[int, int]]:
        """Maps a user id to the [first, last) rows of its events."""
        runs = pc.run_end_encode(self.interactions.column("user_id").combine_chunks())
        ends = runs.run_ends.to_pylist()
        starts = [0, *ends[:-1]]
        return {
            user: (start, end) for user, start, end in zip(runs.values.to_pylist(), starts, ends, strict=True)
        }


def read_dataset(directory: Path) -> DataSet:
    """Reads interactions, products, profiles and source.json.

    Raises:
        BenchmarkInputError: a file is missing or cannot be read.
    """
    interactions = _read_table(directory / "interactions.parquet")
    order: list[tuple[str, Literal["ascending", "descending"]]]
    order = [("user_id", "ascending"), ("event_time", "ascending"), ("product_id", "ascending")]
    return DataSet(
        profiles=_read_records(directory / "profiles.parquet", "user_id"),
        products=_read_records(directory / "products.parquet", "id"),
        interactions=interactions.sort_by(order).combine_chunks(),
        source=read_json(directory / "source.json"),
    )


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        BenchmarkInputError: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkInputError(f"{path}: expected a JSON file: {error}") from error


def _read_table(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise BenchmarkInputError(f"{path}: expected a Parquet file: {error}") from error


def _read_records(path: Path, key: str) -> dict[str, Mapping[str, Any]]:
    table = _read_table(path)
    maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
    records = list_products(table)
    for record in records:
        for name in maps:
            if record[name] is not None:
                record[name] = dict(record[name])
    return {record[key]: record for record in records}
