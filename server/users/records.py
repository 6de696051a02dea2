"""What stores keep of a user's state, and how they decide on a change: both kinds of store share it."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Final

from index.features import EVENT_TYPES
from server.errors import IdempotencyKeyError, StoreRowError, VersionMismatchError
from server.users.profiles import dump_profile, load_profile
from server.users.store import Changed, ProfileChange, UserState

_BLOCKED: Final = 1
_CONSENT_WITHDRAWN: Final = 2
_NOT_PERSONALISED: Final = 4

EVENT_NUMBERS: Final = {name: number for number, name in enumerate(EVENT_TYPES, start=1)}
"""How stores write the type of an event that enters a history."""

StateRow = tuple[int, str | None, str, int, int]
"""Version, profile as JSON or None, assumed fields as JSON, flags, time of the change in microseconds."""


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What an idempotency key was answered with."""

    request_digest: bytes
    changed: Changed


def encode_state(state: UserState) -> StateRow:
    """Writes a state as a row."""
    return (
        state.version,
        None if state.profile is None else dump_profile(state.profile),
        json.dumps(sorted(state.assumed_fields), separators=(",", ":")),
        _BLOCKED * state.blocked
        | _CONSENT_WITHDRAWN * state.consent_withdrawn
        | _NOT_PERSONALISED * (not state.personalised),
        state.update_time_us,
    )


def decode_state(row: StateRow) -> UserState:
    """Reads a row.

    Raises:
        StoreRowError: the profile or the assumed fields cannot be read.
    """
    version, profile, assumed, flags, update_time_us = row
    return UserState(
        version=version,
        profile=None if profile is None else load_profile(profile),
        assumed_fields=tuple(_decode_texts(assumed, "assumed")),
        blocked=bool(flags & _BLOCKED),
        consent_withdrawn=bool(flags & _CONSENT_WITHDRAWN),
        personalised=not flags & _NOT_PERSONALISED,
        update_time_us=update_time_us,
    )


def digest_event_id(event_id: str) -> bytes:
    """Returns what is kept of an event's id, 16 bytes: the id itself may say whose event it is."""
    return hashlib.blake2b(event_id.encode(), digest_size=16).digest()


def decode_ids(text: str) -> list[str]:
    """Reads the hidden products of a user, written as a list in JSON.

    Raises:
        StoreRowError: the text is none.
    """
    return _decode_texts(text, "hidden")


def decide(
    change: ProfileChange, old: UserState | None, first: FirstAnswer | None, *, version: int, time_us: int
) -> tuple[UserState | None, Changed]:
    """Decides on a change inside a store's transaction.

    Args:
        change: what is asked for.
        old: the state as it is; None where the user is not stored.
        first: what the change's idempotency key was answered with, if it came before.
        version: the next version of the store.
        time_us: now, microseconds since 1970.

    Returns:
        the state to write, None where nothing is to be written, and the answer.

    Raises:
        IdempotencyKeyError: the key came with another request before.
        VersionMismatchError: the state has another version than expected.
        RequestError: whatever the change's own edit refuses with.
    """
    if first is not None:
        if first.request_digest != change.request_digest:
            raise IdempotencyKeyError(
                "idempotency_key: it came with another request before; a new request needs a new key"
            )
        return None, first.changed
    found = 0 if old is None or old.profile is None else old.version
    if change.expected_version not in (None, found):
        raise VersionMismatchError(
            f"expected_version: expected {change.expected_version}, the profile has version {found}"
            if found
            else f"expected_version: expected {change.expected_version}, there is no profile"
        )
    return (
        replace(change.edit(old), version=version, update_time_us=time_us),
        Changed(version, time_us),
    )


def _decode_texts(text: str, field: str) -> list[str]:
    """Reads a list of texts; raises StoreRowError where it is none."""
    if text == "[]":
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreRowError(field) from error
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise StoreRowError(field)
    return found
