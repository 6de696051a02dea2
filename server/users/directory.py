"""Finds the user of a request: an inline profile under what is stored, or the stored profile and history."""

import time
from collections.abc import Mapping
from typing import Any

from index.features import Event
from server.errors import StoreMissingError, StoreReadError
from server.messages import Subject, UserInput
from server.users.profiles import apply_holds
from server.users.pseudonyms import Names, Pseudonyms, make_process_pseudonyms
from server.users.store import StoredUser, UserStore


class Directory:
    """Knows users by their pseudonyms. Called by many threads; keeps nothing of its own about anybody.

    Because nothing is cached, a change that the store acknowledged is seen by the next request on any thread.
    """

    def __init__(self, store: UserStore | None, pseudonyms: Pseudonyms | None = None) -> None:
        """Keeps the store.

        Args:
            store: the stored users, if any.
            pseudonyms: what names users; None for those of this process, which only a server without a store
                may have.
        """
        self.store = store
        self.pseudonyms = pseudonyms or make_process_pseudonyms()

    def require_store(self) -> UserStore:
        """Returns the store.

        Raises:
            StoreMissingError: this server has none.
        """
        if self.store is None:
            raise StoreMissingError("this server has no store of users; --store gives it one")
        return self.store

    def erase(self, user_id: str) -> int:
        """Erases a user; returns when that was, the first time, microseconds since 1970.

        Raises:
            StoreMissingError: this server has no store.
            StoreWriteError: the store cannot be written.
        """
        names = self.pseudonyms.derive_all(user_id)
        return self.require_store().erase(names, time.time_ns() // 1000)

    def resolve(self, user: UserInput) -> Subject:
        """Returns whom a decision is made for.

        Raises:
            StoreReadError: a stored user was asked for, and the store cannot be asked.
        """
        names = self.pseudonyms.derive_all(user.user_id)
        if user.profile is not None:
            return self._resolve_inline(user, user.profile, names)
        found = None if self.store is None else self.store.find(names)
        if found is None:
            return _make_stranger(user, names[0])
        profile = _profile_under_holds(found)
        if found.state.assumed_fields:
            profile["assumed"] = found.state.assumed_fields
        return _make_subject(user, profile, found.history, found)

    def _resolve_inline(self, user: UserInput, inline: Mapping[str, Any], names: Names) -> Subject:
        """Puts what is stored over an inline profile; what cannot be known holds.

        Where the store cannot be asked, the user may be on hold or erased: they are treated as both, which
        leaves learning content, ranked for nobody in particular.
        """
        try:
            found = None if self.store is None else self.store.find(names, with_history=False)
            erased = found is None and self.store is not None and self.store.is_erased(names)
        except StoreReadError:
            unknown = {"pseudonym": names[0], "blocked": True}
            return Subject(
                unknown, (), (), known=True, pseudonym=names[0], recordable=False, personalised=False
            )
        if erased:
            return _make_stranger(user, names[0])
        if found is None:
            personalised = user.personalised
            return Subject(
                {**inline, "pseudonym": names[0]},
                user.history if personalised else (),
                (),
                known=True,
                pseudonym=names[0],
                personalised=personalised,
            )
        profile = apply_holds(inline, _profile_under_holds(found))
        profile["pseudonym"] = found.pseudonym
        return _make_subject(user, profile, user.history, found)


def _make_stranger(user: UserInput, name: bytes) -> Subject:
    return Subject({}, (), (), known=False, pseudonym=name, personalised=user.personalised)


def _make_subject(
    user: UserInput, profile: Mapping[str, Any], history: tuple[Event, ...], found: StoredUser
) -> Subject:
    """Makes a subject of somebody stored; without personalisation nobody is told what they did."""
    personalised = found.state.personalised and user.personalised
    return Subject(
        profile,
        history if personalised else (),
        profile.get("assumed", ()),
        known=True,
        pseudonym=found.pseudonym,
        hidden_product_ids=found.hidden_product_ids,
        personalised=personalised,
    )


def _profile_under_holds(found: StoredUser) -> dict[str, Any]:
    """Returns the stored profile with the holds over it that stand beside it."""
    profile = {**(found.state.profile or {}), "pseudonym": found.pseudonym}
    if found.state.blocked:
        profile["blocked"] = True
    if found.state.consent_withdrawn:
        profile["consent_sensitive"] = False
    return profile
