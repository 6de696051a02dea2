"""What changes of a stored user do to their state: each function makes the edit of a `ProfileChange`."""

from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import Any

from server.errors import ProfileMissingError
from server.users.store import UserState

Edit = Callable[[UserState | None], UserState]


def put_profile(profile: Mapping[str, Any]) -> Edit:
    """Stores a whole profile; holds and choices that were set by themselves stay."""

    def edit(old: UserState | None) -> UserState:
        return replace(old or UserState(), profile=profile, assumed_fields=())

    return edit


def patch_profile(changes: Mapping[str, Any], removed: Set[str]) -> Edit:
    """Changes and removes fields of a profile that is there; what was stated is no longer assumed."""

    def edit(old: UserState | None) -> UserState:
        if old is None or old.profile is None:
            raise ProfileMissingError("user_id: no profile is stored that could be changed")
        kept = {name: value for name, value in old.profile.items() if name not in removed}
        assumed = [name for name in old.assumed_fields if name not in removed and name not in changes]
        return replace(old, profile={**kept, **changes}, assumed_fields=tuple(assumed))

    return edit


def delete_profile(old: UserState | None) -> UserState:
    """Removes a profile that is there; holds and choices stay."""
    if old is None or old.profile is None:
        raise ProfileMissingError("user_id: no profile is stored that could be deleted")
    return replace(old, profile=None, assumed_fields=())


def set_block(blocked: bool) -> Edit:
    """Puts a user on hold or lifts the hold, from a stored profile, too."""

    def edit(old: UserState | None) -> UserState:
        state = replace(old or UserState(), blocked=blocked)
        return state if blocked else _state_field(state, "blocked", False)

    return edit


def set_consent(consented: bool) -> Edit:
    """Withdraws consent, or gives it, in a stored profile, too."""

    def edit(old: UserState | None) -> UserState:
        state = replace(old or UserState(), consent_withdrawn=not consented)
        return _state_field(state, "consent_sensitive", True) if consented else state

    return edit


def set_personalisation(personalised: bool) -> Edit:
    """Chooses whether behaviour and tastes may rank products."""
    return lambda old: replace(old or UserState(), personalised=personalised)


def _state_field(state: UserState, name: str, value: bool) -> UserState:
    if state.profile is None:
        return state
    assumed = tuple(field for field in state.assumed_fields if field != name)
    return replace(state, profile={**state.profile, name: value}, assumed_fields=assumed)
