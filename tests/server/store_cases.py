"""Tables that stores of users are filled from in tests, and look-ups in what came of them."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from server.users.import_tables import ImportCounts
from server.users.pseudonyms import Pseudonyms
from server.users.sqlite_store import SqliteStore
from server.users.store import StoredUser
from tests.server.cases import NOW

Import = Callable[..., ImportCounts]
PSEUDONYMS = Pseudonyms({1: b"k" * 32})
PROFILES: list[dict[str, Any]] = [
    {
        "user_id": "ana",
        "profile_as_of": NOW,
        "risk_level": 3,
        "birth_date": date(1990, 2, 28),
        "blocked": False,
        "objectives": ["GROWTH", "INCOME"],
        "knowledge": [("FUND", 2)],
        "held_issuer": [],
        "assumed": ["risk_level"],
    },
    {"user_id": "bo", "assumed": None},
]
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("profile_as_of", pa.timestamp("us", "UTC")),
        ("risk_level", pa.int64()),
        ("birth_date", pa.date32()),
        ("blocked", pa.bool_()),
        ("objectives", pa.list_(pa.string())),
        ("knowledge", pa.map_(pa.string(), pa.int64())),
        ("held_issuer", pa.map_(pa.string(), pa.int64())),
        ("assumed", pa.list_(pa.string())),
    ]
)


def event(user_id: str, product_id: str, day: int, kind: str = "click") -> dict[str, Any]:
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return {"user_id": user_id, "product_id": product_id, "event_type": kind, "event_time": moment}


EVENTS = [event("ana", "p1", 1), event("ana", "p2", 2, "enrol"), event("cy", "p3", 1), event("ana", "p1", 1)]


def open_store(path: Path, **settings: bool) -> SqliteStore:
    return SqliteStore(path, PSEUDONYMS, **settings)


def find(store: SqliteStore, user_id: str) -> StoredUser | None:
    return store.find(PSEUDONYMS.derive_all(user_id))


def find_profile(store: SqliteStore, user_id: str) -> Any:
    found = find(store, user_id)
    return None if found is None else found.state.profile
