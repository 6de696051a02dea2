"""What a crash test writes: changes and events that tell whether one was lost, torn or made twice."""

from pathlib import Path
from typing import Final

from server.users.edits import put_profile
from server.users.opening import StoreAddress, open_directory
from server.users.pseudonyms import Pseudonyms
from server.users.store import ProfileChange, UserEvent, UserStore

USER_COUNT: Final = 8
"""Users, each written by a thread of its own."""


def open_users(store: str, key_file: Path) -> tuple[UserStore, Pseudonyms]:
    """Opens the store under test."""
    users = open_directory(StoreAddress(store, key_file), allow_assumed=False)
    return users.require_store(), users.pseudonyms


def make_change(
    pseudonyms: Pseudonyms, user: int, number: int, expected_version: int | None
) -> ProfileChange:
    """Makes a user's change of a number: two fields that say it, and a key of its own."""
    key = f"{user} {number}".encode()
    return ProfileChange(
        names=pseudonyms.derive_all(f"user {user}"),
        edit=put_profile({"income": number, "liquid": number}),
        request_digest=pseudonyms.digest(b"request " + key),
        expected_version=expected_version,
        idempotency_digest=pseudonyms.digest(key),
    )


def make_event(pseudonyms: Pseudonyms, user: int, number: int) -> UserEvent:
    """Makes the event that goes with a change."""
    names = pseudonyms.derive_all(f"user {user}")
    return UserEvent(f"{user} {number}", names, f"p{number}", "click", float(number))
