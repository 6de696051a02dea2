"""Writes a checked data set and its description to a directory, whole or not at all, and reads them back."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from training.errors import DataError, MissingFileError, OutputError, SourceError
from training.needed import find_gaps
from training.quality import CheckedData


@dataclass(frozen=True)
class DataSource:
    """Where a data set comes from and what in it was assumed; travels with everything built from it.

    Attributes:
        name: short name of the origin.
        simulated: whether the data is invented; shown wherever the data is shown.
        licence: licence of the data.
        attribution: the citation that the licence asks for, or "".
        clock: RFC 3339 instant at which the data is current; None means the system's clock.
        notes: how the origin's values were mapped, in words.
        assumed: by table and field, in how many rows an assumption filled or replaced the value.
        counts: by what, how many.
        personas: ids of users worth showing, by what they show.
        dated: whether the times of the events are known. Where not, they only keep the order of the source's
            lines, and models take a user's events for simultaneous.
    """

    name: str
    simulated: bool
    licence: str
    attribution: str
    clock: str | None
    notes: tuple[str, ...] = ()
    assumed: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: {"products": {}, "profiles": {}})
    counts: Mapping[str, int] = field(default_factory=dict)
    personas: Mapping[str, str] = field(default_factory=dict)
    dated: bool = True


def write_dataset(
    checked: CheckedData,
    source: DataSource,
    out: Path,
    *,
    force: bool = False,
    extra_files: Mapping[str, bytes] | None = None,
    extra_report: Mapping[str, Any] | None = None,
) -> None:
    """Writes interactions, products, profiles, quarantine, quality.json and source.json.

    Everything is written to a temporary sibling directory and renamed, so that `out` is complete or absent.

    Raises:
        OutputError: `out` exists and `force` is not set, or the directory cannot be written.
    """
    check_target(out, force=force)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        _write_files(checked, source, temporary, extra_files or {}, extra_report or {})
        put_in_place(temporary, out)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"cannot write {out}: {error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)


def check_target(out: Path, *, force: bool) -> None:
    """Refuses a target that exists, before any work is spent on it.

    Raises:
        OutputError: the target exists and `force` is not set, or holds what is no data set or run.
    """
    if not out.exists():
        return
    if not force:
        raise OutputError(f"{out} exists; expected a new directory (--force replaces it)")
    if not out.is_dir():
        raise OutputError(f"{out} is not a directory")
    if any(out.iterdir()) and not (out / "source.json").is_file():
        raise OutputError(f"{out} holds no source.json; expected a data set or run, nothing else is replaced")


def put_in_place(temporary: Path, out: Path) -> None:
    """Renames the finished directory to its name; a previous one is moved aside first and then removed."""
    if not out.exists():
        temporary.rename(out)
        return
    previous = out.with_name(f".{out.name}.{os.getpid()}.old")
    out.rename(previous)
    try:
        temporary.rename(out)
    except OSError:
        previous.rename(out)
        raise
    shutil.rmtree(previous)


def source_to_json(source: DataSource) -> str:
    """Returns the text of source.json."""
    return json.dumps(asdict(source), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def read_source(data: Path) -> DataSource:
    """Reads the description of a data set.

    Raises:
        MissingFileError: source.json is not there.
        SourceError: it is not the JSON object that `write_dataset` writes.
    """
    path = data / "source.json"
    if not path.is_file():
        raise MissingFileError(f"expected a description of the data at {path}, found none")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        source = DataSource(**{**values, "notes": tuple(values["notes"])})
        if source.clock is not None:
            parse_clock(source.clock)
    except (ValueError, TypeError, KeyError) as error:
        raise SourceError(f"{path} is not a description of a data set: {error!r}") from error
    return source


def parse_clock(text: str) -> datetime:
    """Parses an RFC 3339 instant with a zone.

    Raises:
        DataError: the text is no instant, or names no zone.
    """
    try:
        clock = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"clock: expected an RFC 3339 instant such as 2022-11-29T00:00:00Z, got {text!r}"
        ) from error
    if clock.tzinfo is None:
        raise DataError(f"clock: expected an instant with a zone such as 2022-11-29T00:00:00Z, got {text!r}")
    return clock


def format_clock(clock: datetime) -> str:
    """Writes an instant as RFC 3339 in UTC, for source.json."""
    assert clock.utcoffset() is not None, "a clock has a zone"
    return (clock.replace(tzinfo=None) - clock.utcoffset()).isoformat() + "Z"  # type: ignore[operator]


def quality_report(checked: CheckedData) -> dict[str, Any]:
    """Returns the content of quality.json."""
    return {
        "tables": {
            "interactions": asdict(checked.interactions.quality),
            "products": asdict(checked.products.quality),
            "profiles": asdict(checked.profiles.quality),
        },
        "users_without_profile": checked.users_without_profile,
        "needed_but_missing": [
            asdict(gap) for gap in find_gaps(checked.products.table, checked.profiles.table)
        ],
    }


def _write_files(
    checked: CheckedData,
    source: DataSource,
    directory: Path,
    extra_files: Mapping[str, bytes],
    extra_report: Mapping[str, Any],
) -> None:
    tables = {
        "interactions": checked.interactions.table,
        "products": checked.products.table,
        "profiles": checked.profiles.table,
        "quarantine": checked.quarantine(),
    }
    for name, table in tables.items():
        pyarrow.parquet.write_table(table, directory / f"{name}.parquet")
    report = json.dumps({**quality_report(checked), **extra_report}, indent=2, sort_keys=True) + "\n"
    (directory / "quality.json").write_text(report, encoding="utf-8")
    (directory / "source.json").write_text(source_to_json(source), encoding="utf-8")
    for name, content in extra_files.items():
        (directory / name).write_bytes(content)
