"""Brings a feedback log back into training: `python -m training import feedback LOG OUT --with DATA`.

Events become interactions with a confidence, answers become exposures, and both join the data that the model
has learned from so far. Importing again, also a longer log, adds nothing twice: events are known by their
ids, answers by theirs. Users are pseudonyms throughout, so DATA's must be too.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from index.features import EVENT_TYPES
from training.dataset import DataSource, format_clock, parse_clock, read_source
from training.errors import DataError, MissingFileError
from training.importers.feedback_join import Joined, join_feedback
from training.importers.feedback_log import FeedbackLog, read_log, without_users
from training.importers.feedback_weights import REJECTIONS, Signs, weigh_signs
from training.importers.imported import ImportedData, no_profiles
from training.schema import INTERACTIONS, PRODUCTS, PROFILES
from training.tables import RawTable, from_columns, read_table

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

EXPOSURES: Final = "exposures.parquet"
ANSWERS: Final = "answers.parquet"


@dataclass(frozen=True)
class ImportedFeedback:
    """What the import hands over.

    Attributes:
        imported: the tables before any check.
        files: exposures and answers, by file name.
        report: what became of the log's events, by name; goes into quality.json.
        segment_count: how many segments of the log are not compacted, so that nothing of them is here.
    """

    imported: ImportedData
    files: Mapping[str, bytes]
    report: Mapping[str, int]
    segment_count: int


def import_feedback(folder: Path, data: Path | None = None, erased: Path | None = None) -> ImportedFeedback:
    """Reads a log, and the data set that it goes on from.

    Args:
        folder: of the log; only what is compacted is read.
        data: a data set whose user ids are the log's pseudonyms; without one, products are the log's ids.
        erased: a file of pseudonyms, one a line, of users who are left out of log and data.

    Raises:
        MissingFileError: the log or the data set is not there.
        SchemaError: a file is not what it should be.
        EmptyDataError: nothing is compacted.
        DataError: no user of the log is one of the data set.
    """
    log = read_log(folder, _read_erased(erased))
    joined = join_feedback(log)
    tables = _start_empty(log) if data is None else _read_data(data, log.erased)
    before = tables[0].table
    new = _find_new(log, before)
    interactions = _merge(before, log.events.filter(pa.array(new)), log)
    report = {
        "events": len(log.events),
        "events_new": int(new.sum()),
        "answers": len(log.answers),
        "exposures": len(joined.exposures),
        "erased": log.erased_count,
        "repeated": log.repeated_count,
        **joined.count(),
        **_count_types(log),
        "users_known": 0 if data is None else _require_known(log, before, data),
    }
    source = _describe(log, data)
    imported = ImportedData(interactions, tables[1], tables[2], source, {})
    return ImportedFeedback(imported, _write_files(joined, log, data), report, log.segment_count)


def _start_empty(log: FeedbackLog) -> tuple[RawTable, RawTable, RawTable]:
    shown: Any = pc.list_flatten(log.answers["product_ids"].combine_chunks())
    named: Any = log.events["product_id"]
    ids = sorted({*shown.to_pylist(), *named.to_pylist()})
    return from_columns(INTERACTIONS, {}), from_columns(PRODUCTS, {"id": ids}), no_profiles()


def _read_data(data: Path, erased: frozenset[str]) -> tuple[RawTable, RawTable, RawTable]:
    interactions, products, profiles = (
        read_table(data / f"{spec.name}.parquet", spec) for spec in (INTERACTIONS, PRODUCTS, PROFILES)
    )
    return _drop_users(interactions, erased), products, _drop_users(profiles, erased)


def _drop_users(raw: RawTable, erased: frozenset[str]) -> RawTable:
    table = without_users(raw.table, "user_id", erased)
    return RawTable(raw.spec, table, table, np.arange(1, len(table) + 1, dtype=np.int64))


def _read_erased(path: Path | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    try:
        return frozenset(path.read_text(encoding="ascii").split())
    except (OSError, ValueError) as error:
        raise MissingFileError(f"{path}: expected a file of pseudonyms, one a line: {error}") from error


def _require_known(log: FeedbackLog, before: pa.Table, data: Path) -> int:
    """Counts the log's users that the data set has; one that has none of them names its users otherwise."""
    users = pc.unique(log.events["user"])
    known = int(pc.sum(pc.is_in(users, value_set=pc.unique(before["user_id"]))).as_py() or 0)
    if not known:
        raise DataError(
            f"{data}: has none of the log's {len(users)} users; expected their pseudonyms as user_id, which "
            "`python -m server pseudonymise` writes"
        )
    return known


def _find_new(log: FeedbackLog, before: pa.Table) -> Any:
    """Marks the events that enter the interactions and are not there yet, bool [events]."""
    new = _is_in(log.events["event_type"], pa.array(EVENT_TYPES))
    if "event_id" in before.column_names:
        new &= ~_is_in(log.events["event_id"], before["event_id"].combine_chunks())
    return new


def _merge(before: pa.Table, events: pa.Table, log: FeedbackLog) -> RawTable:
    """Appends events to interactions, and states the confidence of every one."""
    weight = pc.coalesce(events["rating"], events["dwell_s"], pa.scalar(1.0))
    unknown = pa.chunked_array([pa.nulls(len(before), pa.string())])
    old = {"event_id": unknown, "answer_id": unknown}
    old |= {name: before[name] for name in before.column_names if name != "confidence"}
    named = pc.greater(pc.utf8_length(events["answer_id"]), 0)
    new = {
        "user_id": events["user"],
        "product_id": events["product_id"],
        "event_type": events["event_type"],
        "event_time": events["event_time"],
        "weight": weight.cast(pa.float32()),
        "event_id": events["event_id"],
        "answer_id": pc.if_else(named, events["answer_id"], pa.scalar(None, pa.string())),
    }
    columns = {name: pa.chunked_array([*old[name].chunks, *new[name].chunks]) for name in new}
    columns["confidence"] = _weigh(columns, before, log)
    return from_columns(INTERACTIONS, columns)


def _weigh(columns: Mapping[str, Any], before: pa.Table, log: FeedbackLog) -> Any:
    """Weighs every interaction. What an earlier import rejected stays so until the user takes it again."""
    count = len(columns["user_id"])
    rejections = log.events.filter(pa.array(_is_in(log.events["event_type"], pa.array(REJECTIONS))))
    parts: list[list[Any]] = [
        [columns[name] for name in ("user_id", "product_id", "event_type", "event_time")],
        [rejections[name] for name in ("user", "product_id", "event_type", "event_time")],
    ]
    if "confidence" in before.column_names:
        gone = before.filter(pc.equal(before["confidence"], 0.0))
        again = pa.chunked_array([pa.array([REJECTIONS[0]] * len(gone), pa.string())])
        parts.append([gone["user_id"], gone["product_id"], again, gone["event_time"]])
    user, product, event_type, time = (
        pa.chunked_array([chunk for column in columns for chunk in column.chunks])
        for columns in zip(*parts, strict=True)
    )
    dwell = np.zeros(len(user))
    dwell[:count] = pc.fill_null(columns["weight"], 1.0).to_numpy()
    shown = np.zeros(len(user), np.bool_)
    shown[:count] = columns["answer_id"].is_valid().to_numpy()
    signs = Signs(user, product, event_type, time.cast(pa.int64()).to_numpy(), dwell, shown)
    return pa.array(weigh_signs(signs)[:count])


def _count_types(log: FeedbackLog) -> dict[str, int]:
    """Counts what is no interaction, by type."""
    names = pc.value_counts(log.events["event_type"]).to_pylist()
    found = {each["values"]: each["counts"] for each in names}
    return {name: found.get(name, 0) for name in ("impression", *REJECTIONS)}


def _describe(log: FeedbackLog, data: Path | None) -> DataSource:
    """Describes the new data set: current as of the log's last event or the data, whichever is later."""
    # A caller's clock may be ahead of the server's.
    latest: Any = max(pc.max(log.events[name]).as_py() for name in ("received_time", "event_time"))
    clock = latest.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=1)
    note = f"feedback of {len(log.events)} events and {len(log.answers)} answers joined"
    if data is None:
        return DataSource("feedback", False, "the operator's own", "", format_clock(clock), notes=(note,))
    source = read_source(data)
    before = datetime.min.replace(tzinfo=UTC) if source.clock is None else parse_clock(source.clock)
    counts = {**source.counts, "interactions_before": int(_count_rows(data))}
    return replace(source, clock=format_clock(max(clock, before)), notes=(*source.notes, note), counts=counts)


def _count_rows(data: Path) -> int:
    return int(pyarrow.parquet.read_metadata(data / "interactions.parquet").num_rows)


def _write_files(joined: Joined, log: FeedbackLog, data: Path | None) -> dict[str, bytes]:
    """Writes exposures and answers; those of an earlier import come first, and no answer comes twice."""
    tables = {EXPOSURES: joined.exposures, ANSWERS: log.answers}
    written = {}
    for name, table in tables.items():
        path = None if data is None else data / name
        sink = io.BytesIO()
        pyarrow.parquet.write_table(_append(path, table, log.erased), sink, compression="zstd")
        written[name] = sink.getvalue()
    return written


def _append(path: Path | None, table: pa.Table, erased: frozenset[str]) -> pa.Table:
    """Returns what an earlier import wrote to a path, and then the table."""
    if path is None or not path.is_file():
        return table
    earlier = pyarrow.parquet.read_table(path, use_threads=False)
    user = "user" if "user" in table.column_names else "user_id"
    # The log knows more of an answer than an earlier import of it did.
    known = pc.is_in(earlier["answer_id"], value_set=pc.unique(table["answer_id"]))
    kept = without_users(earlier.filter(pc.invert(known)), user, erased)
    return pa.concat_tables([kept.cast(table.schema), table])


def _is_in(column: Any, values: Any) -> Any:
    return np.asarray(pc.is_in(column, value_set=values))
