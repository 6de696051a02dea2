"""Events in the embedded store: what they do to histories and hidden products, inside one transaction."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Final

from index.features import EVENT_TYPES
from server.users.pseudonyms import Names
from server.users.records import decode_ids, digest_event_id
from server.users.store import (
    EVENT_COUNT_MAX,
    EVENT_ID_DAYS,
    HIDDEN_COUNT_MAX,
    NOT_INTERESTED,
    EventOutcome,
    ScreenedEvent,
    UserEvent,
)

_DAY_US: Final = 86_400_000_000

_DROP_OLDEST: Final = """
DELETE FROM history WHERE pseudonym = :name AND event_time <= (
  SELECT event_time FROM history WHERE pseudonym = :name ORDER BY event_time DESC LIMIT 1 OFFSET :kept
)
"""
# Numbers rise with time, so the ids that are too old are the first ones. Each batch drops at most twice as
# many as it brings: the table shrinks to its days and no batch pays for all of them.
_DROP_IDS: Final = """
DELETE FROM event_ids WHERE number IN (SELECT number FROM event_ids ORDER BY number LIMIT ?) AND time_us < ?
"""
_READ_ID: Final = "SELECT 1 FROM event_ids WHERE digest = ?"
_WRITE_POSITION: Final = """
INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)
"""


def append(
    connection: sqlite3.Connection, batch: Sequence[UserEvent], log_id: str, log_position: int
) -> list[EventOutcome]:
    """Applies a batch inside the caller's transaction, as `UserStore.append_events` has it."""
    now_us = time.time_ns() // 1000
    outcomes = [_apply(connection, event, now_us) for event in batch]
    connection.execute(_DROP_IDS, (2 * len(batch), now_us - EVENT_ID_DAYS * _DAY_US))
    connection.execute(_WRITE_POSITION, (f"log {log_id}", log_position))
    return outcomes


def screen(connection: sqlite3.Connection, batch: Sequence[UserEvent]) -> list[ScreenedEvent]:
    """Tells what would become of each event, as `UserStore.screen_events` has it."""
    screened = []
    for event in batch:
        name, outcome = _find_name(connection, event.names)
        if name is not None and connection.execute(_READ_ID, (digest_event_id(event.event_id),)).fetchone():
            outcome = EventOutcome.DUPLICATE
        screened.append(ScreenedEvent(outcome, name))
    return screened


def _apply(connection: sqlite3.Connection, event: UserEvent, now_us: int) -> EventOutcome:
    name, outcome = _find_name(connection, event.names)
    if name is None:
        return outcome
    kept = connection.execute(
        "INSERT OR IGNORE INTO event_ids (digest, time_us) VALUES (?, ?)",
        (digest_event_id(event.event_id), now_us),
    ).rowcount
    if not kept:
        return EventOutcome.DUPLICATE
    if event.event_type in EVENT_TYPES:
        connection.execute(
            "INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?)",
            (name, event.event_time_s, event.product_id, event.event_type),
        )
        connection.execute(_DROP_OLDEST, {"name": name, "kept": EVENT_COUNT_MAX})
    elif event.event_type == NOT_INTERESTED:
        _hide(connection, name, event.product_id)
    return EventOutcome.APPLIED


def _find_name(connection: sqlite3.Connection, names: Names) -> tuple[bytes | None, EventOutcome]:
    """Returns the name that the user is stored under, or why there is none."""
    for name in names:
        if connection.execute("SELECT 1 FROM users WHERE pseudonym = ?", (name,)).fetchone():
            return name, EventOutcome.APPLIED
    for name in names:
        if connection.execute("SELECT 1 FROM tombstones WHERE pseudonym = ?", (name,)).fetchone():
            return None, EventOutcome.USER_ERASED
    return None, EventOutcome.USER_UNKNOWN


def _hide(connection: sqlite3.Connection, name: bytes, product_id: str) -> None:
    found = connection.execute("SELECT hidden FROM users WHERE pseudonym = ?", (name,)).fetchone()[0]
    if product_id in decode_ids(found):
        return
    hidden = [*json.loads(found), product_id][-HIDDEN_COUNT_MAX:]
    connection.execute(
        "UPDATE users SET hidden = ? WHERE pseudonym = ?",
        (json.dumps(hidden, ensure_ascii=False, separators=(",", ":")), name),
    )
