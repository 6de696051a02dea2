"""Reads the compacted part of a server's feedback log: what users did, and what they were shown.

Users are pseudonyms in it. A user whose erasure a crash interrupted is left out, whatever the files hold.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet
from numpy.typing import NDArray

from training.errors import EmptyDataError, MissingFileError, SchemaError

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

_TIME: Final = pa.timestamp("us", tz="UTC")
_NAMES: Final = pa.list_(pa.string())
_VARIANTS: Final = pa.list_(pa.struct([("experiment", pa.string()), ("variant", pa.string())]))
_HISTORY: Final = pa.list_(
    pa.struct([("product_id", pa.string()), ("event_type", pa.string()), ("event_time", _TIME)])
)
EVENT_COLUMNS: Final[Mapping[str, Any]] = {
    "event_id": pa.string(),
    "user": pa.string(),
    "product_id": pa.string(),
    "event_type": pa.string(),
    "event_time": _TIME,
    "received_time": _TIME,
    "answer_id": pa.string(),
    "position": pa.int32(),
    "rating": pa.float64(),
    "dwell_s": pa.float64(),
}
ANSWER_COLUMNS: Final[Mapping[str, Any]] = {
    "answer_id": pa.string(),
    "user": pa.string(),
    "method": pa.string(),
    "decision_time": _TIME,
    "bundle_version": pa.string(),
    "policy_hash": pa.string(),
    "overlay_sequence": pa.int64(),
    "placement": pa.string(),
    "campaign": pa.string(),
    "experiments": _VARIANTS,
    "segment_id": pa.string(),
    "product_ids": _NAMES,
    "scores": pa.list_(pa.int64()),
    "sources": _NAMES,
    "history": _HISTORY,
    "features": pa.string(),
    "personalised": pa.bool_(),
}
_EVENT_STATED: Final = ("event_id", "user", "product_id", "event_type", "event_time", "received_time")
_ANSWER_STATED: Final = ("answer_id", "user", "decision_time", "product_ids")
COMPACT: Final = "python -m server compact"
_SEGMENT_HEADER_BYTES: Final = 36  # A segment of no more holds nothing.


@dataclass(frozen=True)
class FeedbackLog:
    """Holds a log's events and answers, each once.

    Attributes:
        events, answers: of EVENT_COLUMNS and ANSWER_COLUMNS, in the log's order.
        erased: users who were left out.
        segment_count: how many segments are not compacted, so that nothing of them is here.
        erased_count: how many rows were left out because their users are erased.
        repeated_count: how many events were there again, by their id.
    """

    events: pa.Table
    answers: pa.Table
    erased: frozenset[str]
    segment_count: int
    erased_count: int
    repeated_count: int


def read_log(folder: Path, erased: frozenset[str] = frozenset()) -> FeedbackLog:
    """Reads a log's Parquet files.

    Args:
        folder: of the log.
        erased: users to leave out, beside those whom an interrupted erasure names.

    Raises:
        MissingFileError: there is no such folder, or a file cannot be read.
        SchemaError: a file is not of the log's schema, or an interrupted erasure cannot be read.
        EmptyDataError: nothing is compacted.
    """
    if not folder.is_dir():
        raise MissingFileError(f"feedback log: expected a folder at {folder}, found none")
    segment_count = sum(path.stat().st_size > _SEGMENT_HEADER_BYTES for path in folder.glob("segment-*.log"))
    events = _read_parts(folder / "events", EVENT_COLUMNS, _EVENT_STATED)
    answers = _read_parts(folder / "answers", ANSWER_COLUMNS, _ANSWER_STATED)
    if not len(events):
        raise EmptyDataError(
            f"{folder}: expected compacted events, found none beside {segment_count} segments; "
            f"`{COMPACT} {folder}` compacts them"
        )
    erased |= frozenset(_read_erased(folder))
    kept_events, kept_answers = (without_users(table, "user", erased) for table in (events, answers))
    once: Any = _first_rows(kept_events["event_id"])
    first: Any = _first_rows(kept_answers["answer_id"])
    return FeedbackLog(
        events=kept_events.take(once),
        answers=kept_answers.take(first),
        erased=erased,
        segment_count=segment_count,
        erased_count=len(events) - len(kept_events) + len(answers) - len(kept_answers),
        repeated_count=len(kept_events) - len(once),
    )


def without_users(table: pa.Table, column: str, users: frozenset[str]) -> pa.Table:
    """Returns the rows of all other users than these."""
    return table.filter(pc.invert(pc.is_in(table[column], value_set=pa.array(sorted(users), pa.string()))))


def _read_parts(folder: Path, columns: Mapping[str, Any], stated: tuple[str, ...]) -> pa.Table:
    """Reads all parts; a cell of a column that the log always states may not be empty."""
    schema = pa.schema(list(columns.items()))
    tables = [schema.empty_table()]
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            table = pyarrow.parquet.read_table(path, use_threads=False)
        except (OSError, pa.ArrowInvalid) as error:
            raise MissingFileError(f"{path}: cannot be read: {error}") from error
        missing = [name for name in columns if name not in table.column_names]
        if missing:
            raise SchemaError(f"{path}: column {missing[0]!r} is missing; found {table.column_names}")
        try:
            tables.append(table.select(list(columns)).cast(schema))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise SchemaError(f"{path}: expected the columns of a feedback log: {error}") from error
        empty = [name for name in stated if tables[-1][name].null_count]
        if empty:
            raise SchemaError(f"{path}: column {empty[0]!r} has empty cells; expected none")
    return pa.concat_tables(tables).combine_chunks()


def _read_erased(folder: Path) -> list[str]:
    """Reads whom interrupted erasures name."""
    users: list[str] = []
    for path in sorted(folder.glob("erasing-*.json")):
        try:
            named = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SchemaError(f"{path}: expected the users of an interrupted erasure: {error}") from error
        if not isinstance(named, list) or not all(isinstance(user, str) for user in named):
            raise SchemaError(f"{path}: expected a list of users")
        users += named
    return users


def _first_rows(column: Any) -> NDArray[np.int64]:
    """Finds the first row of each value, ascending."""
    codes = column.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    return np.sort(np.unique(codes, return_index=True)[1])
