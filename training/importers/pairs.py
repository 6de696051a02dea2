"""Imports plain user-item benchmarks: one directory, or two for two domains over shared user ids.

Layouts, recognised by the files of a directory:

* LightGCN: train.txt with lines `user item item ...`; test.txt is held out and not read. No times: the n-th
  item of a user's line is dated 2000-01-01T00:00:00Z plus n seconds, so that the order of the line is kept.
* NCF: one file named *.train.rating with lines `user<TAB>item<TAB>rating<TAB>time`, time in Unix seconds.

The first directory's items are family COURSE with ids C<item>, the second's family FUND with ids F<item>.
Event types are enrol and purchase, or rating where a rating is given. Nothing else is stated or filled.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from training.dataset import DataSource, format_clock
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.imported import ImportedData, no_profiles
from training.schema import INTERACTIONS, PRODUCTS
from training.tables import RawTable, from_columns

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

UNDATED_ORIGIN_S: Final = 946_684_800  # 2000-01-01T00:00:00Z.
TIME_MAX_S: Final = 253_402_127_999  # 9999-12-29T23:59:59Z: the day after it is still one.


@dataclass(frozen=True)
class Pairs:
    """What a directory holds, one entry per line's pair."""

    users: npt.NDArray[Any]  # text [pair_count]
    items: npt.NDArray[Any]  # text [pair_count]
    times: npt.NDArray[np.int64]  # Unix seconds [pair_count]
    weights: npt.NDArray[np.float32]  # [pair_count]
    event_type: str


def import_pairs(first: Path, second: Path | None = None) -> ImportedData:
    """Reads one or two directories of pairs.

    Raises:
        MissingFileError: a directory holds neither layout.
        SchemaError: a line is not of its layout.
        EmptyDataError: a file holds no pair.
    """
    domains = [_read_domain(first, "COURSE", "enrol", "C")]
    if second is not None:
        domains.append(_read_domain(second, "FUND", "purchase", "F"))
    interactions = _stack([interactions for interactions, _ in domains])
    products = _stack([products for _, products in domains])
    latest: Any = pc.max(interactions.table.column("event_time")).as_py()
    clock = datetime(latest.year, latest.month, latest.day, tzinfo=UTC) + timedelta(days=1)
    source = DataSource(
        name="pairs",
        simulated=False,
        licence="the publisher's; not stated by the files",
        attribution="",
        clock=format_clock(clock),
        notes=("items of the first directory are courses, of the second funds",
               "undated pairs are dated one second apart from 2000-01-01, in the order of their line"),
        counts={"interactions": interactions.table.num_rows, "products": products.table.num_rows},
        dated=not any((directory / "train.txt").is_file() for directory in (first, second) if directory),
    )  # fmt: skip
    return ImportedData(interactions, products, no_profiles(), source, {})


def _read_domain(directory: Path, family: str, undated_event: str, prefix: str) -> tuple[RawTable, RawTable]:
    interactions = make_interactions(_read_directory(directory, undated_event), prefix)
    ids: Any = interactions.table.column("product_id").to_pylist()
    distinct = sorted(set(ids), key=lambda id_: (len(id_), id_))
    products = from_columns(PRODUCTS, {"id": distinct, "title": distinct, "family": [family] * len(distinct)})
    return interactions, products


def make_interactions(pairs: Pairs, prefix: str) -> RawTable:
    """Makes the table of events; a product's id is the prefix and its item."""
    ids = np.char.add(prefix, pairs.items.astype(str)).astype(object)
    return from_columns(
        INTERACTIONS,
        {
            "user_id": pa.array(pairs.users, pa.string()),
            "product_id": pa.array(ids, pa.string()),
            "event_type": [pairs.event_type] * len(ids),
            "event_time": pa.array(pairs.times * 1_000_000, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            "weight": pairs.weights,
        },
    )


def _read_directory(directory: Path, undated_event: str) -> Pairs:
    if (directory / "train.txt").is_file():
        return read_lists(directory / "train.txt", undated_event)
    files = sorted(directory.glob("*.train.rating"))
    if len(files) != 1:
        raise MissingFileError(
            f"pairs: expected train.txt or one *.train.rating in {directory}, found {[f.name for f in files]}"
        )
    return _read_ratings(files[0])


def read_lists(path: Path, event_type: str) -> Pairs:
    """Reads lines `user item item ...`.

    Raises:
        SchemaError: a line holds something else than numbers; the message names file and line.
        EmptyDataError: there is no pair.
    """
    users: list[str] = []
    items: list[str] = []
    places: list[int] = []
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            user, *mine = line.split() or [""]
            if not all(value.isascii() and value.isdigit() for value in (user, *mine)) and line.strip():
                raise SchemaError(f"{path.name}: line {number}: expected numbers, got {line.strip()[:80]!r}")
            users += [user] * len(mine)
            items += mine
            places += range(len(mine))
    if not users:
        raise EmptyDataError(f"{path.name}: expected lines of a user and items, found no pair")
    times = np.array(places, dtype=np.int64) + UNDATED_ORIGIN_S
    return Pairs(_texts(users), _texts(items), times, np.ones(len(users), dtype=np.float32), event_type)


def _read_ratings(path: Path) -> Pairs:
    names = ["user", "item", "rating", "time"]
    types = dict(zip(names, (pa.string(), pa.string(), pa.float32(), pa.int64()), strict=True))
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t"),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types),
        )
    except pa.ArrowInvalid as error:
        if path.stat().st_size == 0:
            raise EmptyDataError(
                f"{path.name}: expected lines of user, item, rating, time; found none"
            ) from error
        raise SchemaError(f"{path.name}: expected user, item, rating, time by tabs: {error}") from error
    times = table.column("time")
    sound = pc.and_(pc.greater_equal(times, 0), pc.less_equal(times, TIME_MAX_S))
    sound = pc.and_(pc.fill_null(sound, False), pc.not_equal(table.column("item"), ""))
    if not pc.all(sound).as_py():
        number = pc.index(sound, False).as_py() + 1
        raise SchemaError(f"{path.name}: row {number}: expected an item, and a time from 0 to {TIME_MAX_S}")
    columns: list[Any] = [table.column(name).to_numpy() for name in names]
    return Pairs(columns[0], columns[1], columns[3], columns[2], "rating")


def _stack(parts: list[RawTable]) -> RawTable:
    table = pa.concat_tables([part.table for part in parts]).combine_chunks()
    return RawTable(parts[0].spec, table, table, np.arange(1, table.num_rows + 1, dtype=np.int64))


def _texts(values: list[str]) -> npt.NDArray[Any]:
    return np.array(values, dtype=object)
