"""Reads the shards of a data set, one at a time, so that events need not fit into memory together."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from index.fields import Record
from training.errors import MissingFileError, SourceError
from training.histories import Interactions
from training.schema import PROFILES
from training.tables import read_table

DIRECTORY_NAME: Final = "shards"
FORMAT_VERSION: Final = 1
_FOOTER_BYTES: Final = 65_536  # A Parquet file ends with the counts and ranges of its columns.


@dataclass(frozen=True)
class Manifest:
    """Describes the shards of a data set.

    Attributes:
        format_version: of the files.
        shard_count, event_count, user_count: how many there are in all.
        latest: the latest event, seconds since 1970-01-01 UTC.
        digest: SHA-256 over the files of all shards.
        stamps: by table, what identifies the Parquet file that the shards were made from.
    """

    format_version: int
    shard_count: int
    event_count: int
    user_count: int
    latest: float
    digest: str
    stamps: Mapping[str, str]


@dataclass(frozen=True)
class Shard:
    """Holds one shard; user rows are positions in its own users."""

    user_ids: tuple[str, ...]
    profiles: tuple[Record | None, ...]  # [users]
    interactions: Interactions


@dataclass(frozen=True)
class Shards:
    """Says where the shards of a data set are, and reads them."""

    directory: Path
    manifest: Manifest
    item_count: int

    def read(self, index: int) -> Shard:
        """Reads one shard.

        Raises:
            MissingFileError: a file is missing.
            SchemaError: a file is not the table it should be.
        """
        assert 0 <= index < self.manifest.shard_count, f"there is no shard {index}"
        users: list[Any] = _read(self.directory / f"users-{index}.parquet")["user_id"].to_pylist()
        profiles = read_table(self.directory / f"profiles-{index}.parquet", PROFILES).table.to_pylist()
        by_id = {profile["user_id"]: profile for profile in profiles}
        found = tuple(by_id.get(user_id) for user_id in users)
        return Shard(tuple(users), found, self.read_events(index))

    def read_others(self) -> Iterator[Interactions]:
        """Reads the events of every shard but the first, one after the other."""
        return (self.read_events(index) for index in range(1, self.manifest.shard_count))

    def read_events(self, index: int) -> Interactions:
        """Reads one shard's events alone; it raises what `read` raises."""
        events = _read(self.directory / f"interactions-{index}.parquet")
        user_row = events["user_row"].to_numpy().astype(np.int64)
        offset = np.append(0, np.cumsum(np.bincount(user_row)))
        return Interactions(
            user_row,
            events["item_row"].to_numpy().astype(np.int64),
            events["event_code"].to_numpy().astype(np.int64),
            events["event_time"].to_numpy(),
            events["liking"].to_numpy(),
            offset,
            self.item_count,
        )


def open_shards(data: Path, item_count: int) -> Shards | None:
    """Opens the shards of a data directory; None where `training shard` has made none.

    Raises:
        SourceError: they are of another version, or were made from other tables.
    """
    path = data / DIRECTORY_NAME / "manifest.json"
    if not path.parent.is_dir():
        return None
    try:
        manifest = Manifest(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"{path}: expected a description of shards: {error}") from error
    if manifest.format_version != FORMAT_VERSION:
        raise SourceError(f"{path}: expected format_version {FORMAT_VERSION}, got {manifest.format_version}")
    for name, stamp in manifest.stamps.items():
        if stamp_table(data / f"{name}.parquet") != stamp:
            raise SourceError(f"{path.parent}: {name}.parquet has changed since; run `training shard` again")
    return Shards(path.parent, manifest, item_count)


def stamp_table(path: Path) -> str:
    """Identifies a Parquet file by its size and its end, which describes every column; SHA-256.

    Raises:
        MissingFileError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _FOOTER_BYTES))
            return hashlib.sha256(str(size).encode() + file.read()).hexdigest()
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read: {error.strerror}") from error


def to_table(interactions: Interactions) -> pa.Table:
    """Makes the stored form of a shard's events: 21 bytes each before compression."""
    columns: dict[str, Any] = {
        "user_row": interactions.user_row.astype(np.int32),
        "item_row": interactions.item_row.astype(np.int32),
        "event_code": interactions.event_code.astype(np.int8),
        "event_time": interactions.event_time,
        "liking": interactions.liking,
    }
    return pa.table(columns)


def _read(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise MissingFileError(f"{path}: cannot be read: {error}") from error
