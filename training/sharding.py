"""Parts a data set into shards of users, so that it need not fit into memory: `python -m training shard`.

A user's events lie in one shard, which a hash of the user id chooses: every shard is a random sample of
users. Events go through memory in batches, first into a file for each shard; then each shard is sorted by
itself and written as whole numbers, about 20 bytes an event before compression.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from training.config import read_settings
from training.errors import EmptyDataError, MissingFileError, OutputError, SchemaError, SettingError
from training.event_rows import EventRanges, locate_events
from training.histories import IntArray
from training.schema import INTERACTIONS, PRODUCTS, PROFILES, TableSpec, make_arrow
from training.shards import DIRECTORY_NAME, FORMAT_VERSION, Manifest, stamp_table, to_table
from training.tables import conform, read_table

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

SHARD_EVENT_COUNT: Final = 2_000_000  # Learning from one takes about 1 GB.
_BATCH_ROW_COUNT: Final = 500_000
_SHARD_COUNT_MAX: Final = 1000  # One file each is open while events are dealt out.


def write_shards(data: Path, *, event_count: int = SHARD_EVENT_COUNT, force: bool) -> Manifest:
    """Writes the shards of a data directory into it, all or none.

    Args:
        data: the directory that `training simulate`, `import` or `check` wrote, or one of its form.
        event_count: how many events a shard shall have, on average.
        force: whether to replace the shards that are there.

    Raises:
        OutputError: there are shards and `force` is not set, or they cannot be written.
        SchemaError: a table is not of the documented schema, or there would be too many shards.
        SettingError: `event_count` is below 1.
        EmptyDataError: there is no event, or none in the first shard, which features are fitted on.
        MissingFileError: a table is missing.
    """
    out, work = data / DIRECTORY_NAME, data / f".{DIRECTORY_NAME}.partial"
    if event_count < 1:
        raise SettingError(f"events: expected at least 1 in a shard, got {event_count}")
    if out.exists() and not force:
        raise OutputError(f"{out} exists; expected no shards (--force replaces them)")
    product_ids: list[Any] = read_table(data / "products.parquet", PRODUCTS).table["id"].to_pylist()
    row_count = _open_table(data / "interactions.parquet").metadata.num_rows
    if not row_count:
        raise EmptyDataError(f"{data / 'interactions.parquet'}: expected at least one event, got none")
    count = -(-row_count // event_count)
    if count > _SHARD_COUNT_MAX:
        raise SchemaError(f"{count} shards of {event_count} events: expected at most {_SHARD_COUNT_MAX}")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        manifest = _write_into(work, data, count, product_ids)
        shutil.rmtree(out, ignore_errors=True)
        work.rename(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(work)
    return manifest


def _write_into(work: Path, data: Path, count: int, product_ids: Sequence[str]) -> Manifest:
    ranges = _deal(data / "interactions.parquet", INTERACTIONS, work, count)
    _deal(data / "profiles.parquet", PROFILES, work, count)
    if not read_settings(data / "source.json").get("dated", True):
        ranges = replace(ranges, dated=False)
    digest, events, users = hashlib.sha256(), 0, 0
    for index in range(count):
        events_path, users_path = work / f"interactions-{index}.parquet", work / f"users-{index}.parquet"
        dealt = pyarrow.parquet.read_table(events_path, use_threads=False)
        user_ids = sorted(pc.unique(dealt["user_id"]).to_pylist())
        if index == 0 and not user_ids:
            raise EmptyDataError(
                f"the first of {count} shards: expected a user, got none; --events for more in each"
            )
        interactions = locate_events(dealt, user_ids, product_ids, ranges)
        pyarrow.parquet.write_table(to_table(interactions), events_path)
        pyarrow.parquet.write_table(pa.table({"user_id": pa.array(user_ids, pa.string())}), users_path)
        for path in (events_path, users_path, work / f"profiles-{index}.parquet"):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        events, users = events + len(interactions.item_row), users + len(user_ids)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        shard_count=count,
        event_count=events,
        user_count=users,
        latest=ranges.latest / 1e6,
        digest=digest.hexdigest(),
        stamps={
            name: stamp_table(data / f"{name}.parquet") for name in ("interactions", "products", "profiles")
        },
    )
    (work / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    return manifest


def _deal(path: Path, spec: TableSpec, work: Path, count: int) -> EventRanges:
    """Deals a table's rows to one file for each shard; returns the ranges of events, where it has any."""
    ranges = EventRanges()
    schema = make_arrow(spec.choose_fields(_open_table(path).schema_arrow.names))
    with ExitStack() as stack:
        writers = [
            stack.enter_context(pyarrow.parquet.ParquetWriter(work / f"{spec.name}-{index}.parquet", schema))
            for index in range(count)
        ]
        for batch in _read_batches(path, spec):
            if spec is INTERACTIONS:
                ranges = ranges.widen(batch)
            shard = choose_shards(batch["user_id"], count)
            order = np.argsort(shard, kind="stable")
            place = np.searchsorted(shard[order], np.arange(count + 1))
            dealt = batch.take(order)
            for index, writer in enumerate(writers):
                if place[index + 1] > place[index]:
                    writer.write_table(dealt.slice(place[index], place[index + 1] - place[index]))
    return ranges


def choose_shards(user_ids: Any, count: int) -> IntArray:
    """Chooses the shard of each row of a column, int64 [rows]: by a hash of its text alone."""
    encoded = user_ids.combine_chunks().dictionary_encode()
    if encoded.null_count:
        raise SchemaError("user_id: expected one in every row, got none")
    shard: NDArray[np.int64] = np.array(
        [zlib.crc32(user_id.encode()) % count for user_id in encoded.dictionary.to_pylist()], np.int64
    )
    chosen: IntArray = shard[encoded.indices.to_numpy()]
    return chosen


def _read_batches(path: Path, spec: TableSpec) -> Iterator[pa.Table]:
    """Reads a Parquet file in batches of the table's schema."""
    try:
        for batch in _open_table(path).iter_batches(_BATCH_ROW_COUNT, use_threads=False):
            yield conform(pa.Table.from_batches([batch]), spec, path.name)
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path.name}: expected a Parquet file: {error}") from error


def _open_table(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(path)
    except FileNotFoundError as error:
        raise MissingFileError(f"expected a file at {path}, found none") from error
    except (pa.ArrowInvalid, OSError) as error:
        raise SchemaError(f"{path.name}: expected a Parquet file: {error}") from error
