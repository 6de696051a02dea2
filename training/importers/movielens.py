"""Imports MovieLens, in the layouts of 1m (ratings.dat, movies.dat) and of 20m (ratings.csv, movies.csv).

A film becomes product M<id> of family COURSE, its genres its tags and the first of them its category; a
rating becomes an event of that time, weighing what was given. Ratings of half a star are kept. What is known
of the users (users.dat: gender, band of age, occupation) and their free tags have no place in the schema and
are not read.
"""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from training.dataset import DataSource, format_clock
from training.errors import EmptyDataError, MissingFileError, SchemaError
from training.importers.imported import ImportedData, no_profiles
from training.schema import INTERACTIONS, PRODUCTS
from training.tables import RawTable, from_columns

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

ATTRIBUTION: Final = (
    "MovieLens: F. Maxwell Harper and Joseph A. Konstan. The MovieLens Datasets: History and Context. ACM "
    "Transactions on Interactive Intelligent Systems 5, 4 (2015), doi 10.1145/2827872"
)
_NO_GENRE: Final = "(no genres listed)"
# Field name and what it must look like; a time is in Unix seconds, before the year 9999.
_FIELDS: Final = (
    ("user", r"^\d{1,12}$"),
    ("movie", r"^\d{1,12}$"),
    ("rating", r"^\d(\.\d+)?$"),
    ("time", r"^\d{1,11}$"),
)
_CELL_COUNT: Final = len(_FIELDS)


@dataclass(frozen=True)
class _Layout:
    ratings: str
    movies: str
    delimiter: str
    header_lines: int
    encoding: str


_LAYOUTS: Final = (
    _Layout("ratings.dat", "movies.dat", "::", 0, "latin-1"),
    _Layout("ratings.csv", "movies.csv", ",", 1, "utf-8"),
)


def import_movielens(directory: Path) -> ImportedData:
    """Reads ratings and films.

    Raises:
        MissingFileError: neither layout is there as a whole.
        SchemaError: a line is not of its layout; the message names file, line and field.
        EmptyDataError: there is no rating.
    """
    layout = _find_layout(directory)
    interactions = _read_ratings(directory / layout.ratings, layout)
    products = _read_movies(directory / layout.movies, layout)
    latest: Any = pc.max(interactions.table.column("event_time")).as_py()
    clock = datetime(latest.year, latest.month, latest.day, tzinfo=UTC) + timedelta(days=1)
    source = DataSource(
        name="movielens",
        simulated=False,
        licence="GroupLens's own: research use, no redistribution without permission",
        attribution=ATTRIBUTION,
        clock=format_clock(clock),
        notes=("films are courses, genres are tags; what is known of users and their free tags is not read",),
        counts={"interactions": interactions.table.num_rows, "products": products.table.num_rows},
    )
    return ImportedData(interactions, products, no_profiles(), source, {})


def _find_layout(directory: Path) -> _Layout:
    for layout in _LAYOUTS:
        if (directory / layout.ratings).is_file() and (directory / layout.movies).is_file():
            return layout
    wanted = " or ".join(f"{layout.ratings} and {layout.movies}" for layout in _LAYOUTS)
    raise MissingFileError(f"movielens: expected {wanted} in {directory}, found neither")


def _read_ratings(path: Path, layout: _Layout) -> RawTable:
    columns = _read_cells(path, layout)
    for (name, pattern), column in zip(_FIELDS, columns, strict=True):
        sound = pc.fill_null(pc.match_substring_regex(column, pattern), False)
        if not pc.all(sound).as_py():
            place = pc.index(sound, False).as_py()
            number = place + 1 + layout.header_lines
            text = str(column[place].as_py())[:80]
            raise SchemaError(f"{path.name}: line {number}: {name}: expected a number, got {text!r}")
    users, movies, ratings, times = columns
    seconds = times.cast(pa.int64())
    return from_columns(
        INTERACTIONS,
        {
            "user_id": users.combine_chunks(),
            "product_id": pc.binary_join_element_wise("M", movies, "").combine_chunks(),
            "event_type": ["rating"] * len(users),
            "event_time": pc.multiply(seconds, 1_000_000).cast(pa.timestamp("us", tz="UTC")).combine_chunks(),
            "weight": ratings.cast(pa.float32()).combine_chunks(),
        },
    )


def _read_cells(path: Path, layout: _Layout) -> list[Any]:
    """Reads the four columns as text; of "::", which Arrow cannot split by, every second cell is empty."""
    step = len(layout.delimiter)
    names = [f"cell{place}" for place in range((_CELL_COUNT - 1) * step + 1)]
    try:
        table = pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, skip_rows=layout.header_lines, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=layout.delimiter[0], ignore_empty_lines=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowInvalid as error:
        if path.stat().st_size == 0:
            raise EmptyDataError(f"{path.name}: expected ratings, found none") from error
        form = layout.delimiter.join(name for name, _ in _FIELDS)
        raise SchemaError(f"{path.name}: expected lines {form}: {error}") from error
    if not table.num_rows:
        raise EmptyDataError(f"{path.name}: expected ratings, found none")
    return [table.column(name) for name in names[::step]]


def _read_movies(path: Path, layout: _Layout) -> RawTable:
    ids, titles, categories, tags = [], [], [], []
    with path.open(encoding=layout.encoding, errors="replace", newline="") as file:
        rows = (
            csv.reader(file)
            if layout.delimiter == ","
            else (line.rstrip("\r\n").split("::") for line in file)
        )
        for number, cells in enumerate(rows, start=1):
            if number <= layout.header_lines or cells in ([], [""]):
                continue
            if len(cells) != 3 or not (cells[0].isascii() and cells[0].isdigit()):
                text = layout.delimiter.join(cells)[:80]
                raise SchemaError(f"{path.name}: line {number}: expected movie, title, genres, got {text!r}")
            genres = [genre for genre in cells[2].split("|") if genre and genre != _NO_GENRE]
            ids.append(f"M{cells[0]}")
            titles.append(cells[1] or None)
            categories.append(genres[0] if genres else None)
            tags.append(genres or None)
    columns = {"id": ids, "title": titles, "category": categories, "tags": tags}
    return from_columns(PRODUCTS, {**columns, "family": ["COURSE"] * len(ids)})
