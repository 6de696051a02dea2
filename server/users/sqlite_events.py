"""Events in the embedded store: what they do to histories and hidden products, inside one transaction."""

import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Final

from index.features import EVENT_TYPES, Event
from server.errors import StoreRowError
from server.users.packed_history import add_events
from server.users.pseudonyms import Names
from server.users.records import decode_ids, digest_event_id
from server.users.store import (
    EVENT_ID_DAYS,
    HIDDEN_COUNT_MAX,
    NOT_INTERESTED,
    EventOutcome,
    ScreenedEvent,
    UserEvent,
)

_DAY_US: Final = 86_400_000_000

# Numbers rise with time, so the ids that are too old are the first ones. Each batch drops at most twice as
# many as it brings: the table shrinks to its days and no batch pays for all of them.
_DROP_IDS: Final = """
DELETE FROM event_ids WHERE number IN (SELECT number FROM event_ids ORDER BY number LIMIT ?) AND time_us < ?
"""
_KEEP_ID: Final = "INSERT OR IGNORE INTO event_ids (digest, time_us) VALUES (?, ?)"
_READ_ADDED: Final = "SELECT hidden, history FROM users WHERE pseudonym = ?"
_WRITE_ADDED: Final = "UPDATE users SET hidden = ?, history = ? WHERE pseudonym = ?"
_READ_ID: Final = "SELECT 1 FROM event_ids WHERE digest = ?"
_WRITE_POSITION: Final = """
INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)
"""


def append(
    connection: sqlite3.Connection, batch: Sequence[UserEvent], log_id: str, log_position: int
) -> list[EventOutcome]:
    """Applies a batch inside the caller's transaction, as `UserStore.append_events` has it."""
    now_us = time.time_ns() // 1000
    admitted = [_admit(connection, event, now_us) for event in batch]
    outcomes = [each.outcome for each in admitted]
    places: dict[bytes, list[int]] = {}
    for place, each in enumerate(admitted):
        if each.outcome is EventOutcome.APPLIED and each.name is not None:
            places.setdefault(each.name, []).append(place)
    for name, of_user in places.items():
        try:
            _add(connection, name, [batch[place] for place in of_user])
        except StoreRowError:
            # Nothing is made of what cannot be read, and one user's row holds nobody else's events up.
            for place in of_user:
                outcomes[place] = EventOutcome.USER_UNREADABLE
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


def _admit(connection: sqlite3.Connection, event: UserEvent, now_us: int) -> ScreenedEvent:
    """Finds the user of an event, and remembers its id if that is new."""
    name, outcome = _find_name(connection, event.names)
    if name is not None:
        digest = digest_event_id(event.event_id)
        if not connection.execute(_KEEP_ID, (digest, now_us)).rowcount:
            outcome = EventOutcome.DUPLICATE
    return ScreenedEvent(outcome, name)


def _find_name(connection: sqlite3.Connection, names: Names) -> tuple[bytes | None, EventOutcome]:
    """Returns the name that the user is stored under, or why there is none."""
    for name in names:
        if connection.execute("SELECT 1 FROM users WHERE pseudonym = ?", (name,)).fetchone():
            return name, EventOutcome.APPLIED
    for name in names:
        if connection.execute("SELECT 1 FROM tombstones WHERE pseudonym = ?", (name,)).fetchone():
            return None, EventOutcome.USER_ERASED
    return None, EventOutcome.USER_UNKNOWN


def _add(connection: sqlite3.Connection, name: bytes, events: Sequence[UserEvent]) -> None:
    """Adds events of one user to history and hidden products.

    Raises:
        StoreRowError: these cannot be read; nothing was written.
    """
    entering = [
        Event(event.product_id, event.event_type, event.event_time_s)
        for event in events
        if event.event_type in EVENT_TYPES
    ]
    hiding = [event.product_id for event in events if event.event_type == NOT_INTERESTED]
    if not entering and not hiding:
        return
    hidden, packed = connection.execute(_READ_ADDED, (name,)).fetchone()
    connection.execute(_WRITE_ADDED, (_hide(hidden, hiding), add_events(packed, entering), name))


def _hide(hidden: str, product_ids: Sequence[str]) -> str:
    """Adds products to those that a user said no to; what is said first goes first."""
    if not product_ids:
        return hidden
    kept = decode_ids(hidden)
    for product_id in product_ids:
        if product_id not in kept:
            kept = [*kept, product_id][-HIDDEN_COUNT_MAX:]
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
