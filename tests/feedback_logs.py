"""Writes a feedback log by hand, as a server's compaction leaves it, for tests of what reads one."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from training.importers.feedback_log import ANSWER_COLUMNS, EVENT_COLUMNS

DECIDED = datetime(2026, 3, 2, tzinfo=UTC)


def make_answer(answer_id: str, user: str, products: Sequence[str], **changed: Any) -> dict[str, Any]:
    """Makes an answer that showed products."""
    return {
        "answer_id": answer_id,
        "user": user,
        "method": "Recommend",
        "decision_time": DECIDED,
        "bundle_version": "b1",
        "policy_hash": "0f",
        "overlay_sequence": 0,
        "placement": "home",
        "campaign": "",
        "experiments": [{"experiment": "colour", "variant": "red"}],
        "segment_id": None,
        "product_ids": list(products),
        "scores": list(range(len(products), 0, -1)),
        "sources": [""] * len(products),
        "history": [],
        "features": '{"risk_level":"2"}',
        "personalised": True,
        **changed,
    }


def make_event(
    event_id: str, user: str, product: str, event_type: str = "click", **changed: Any
) -> dict[str, Any]:
    """Makes an event a minute after the answers."""
    return {
        "event_id": event_id,
        "user": user,
        "product_id": product,
        "event_type": event_type,
        "event_time": DECIDED + timedelta(minutes=1),
        "received_time": DECIDED + timedelta(minutes=2),
        **changed,
    }


def write_log(
    folder: Path, events: Sequence[dict[str, Any]], answers: Sequence[dict[str, Any]], *, part: int = 1
) -> Path:
    """Writes one part of events and one of answers, with columns beside those that training reads."""
    for name, rows, columns in (("events", events, EVENT_COLUMNS), ("answers", answers, ANSWER_COLUMNS)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        schema = pa.schema([("log_position", pa.int64()), *columns.items()])
        numbered = [{"log_position": row, **values} for row, values in enumerate(rows)]
        table = pa.Table.from_pylist(numbered, schema=schema)
        pyarrow.parquet.write_table(table, folder / name / f"part-{part:08d}.parquet")
    return folder
