"""What a store of users is: look-ups, changes of profiles, events, and what these hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from index.features import Event
from server.users.pseudonyms import Names

HISTORY_COUNT_MAX: Final = 200
"""Latest events of a user that an import keeps."""
PRODUCT_COUNT_MAX: Final = 1000
"""Further products of which an import keeps one event, so that a user is not offered again what they have."""
EVENT_COUNT_MAX: Final = HISTORY_COUNT_MAX + PRODUCT_COUNT_MAX
"""Events of a user that a store keeps; beyond it the oldest go."""
HIDDEN_COUNT_MAX: Final = 1000
"""Products that a user may have said no to; beyond it the first go."""
EVENT_ID_DAYS: Final = 30
"""Days for which the id of an event is remembered, so that the event counts once."""
ANSWER_DAYS: Final = 7
"""Days for which the answer to an idempotency key is remembered."""

NOT_INTERESTED: Final = "not_interested"
"""Type of an event that hides its product from its user and enters no history."""


@dataclass(frozen=True, slots=True)
class UserState:
    """What is stored about a user beside events.

    Attributes:
        version: above that of every change before it, of this user or any other; 0 where nothing was stored.
        profile: suitability's fields; None where no profile was given, or it was deleted.
        assumed_fields: fields that were filled by assumption.
        blocked: whether the user is on hold, whatever the profile says.
        consent_withdrawn: whether consent was withdrawn, whatever the profile says.
        personalised: whether behaviour and tastes may rank products for the user.
        update_time_us: when the last change was made, microseconds since 1970, by the system clock.
    """

    version: int = 0
    profile: Mapping[str, Any] | None = None
    assumed_fields: tuple[str, ...] = ()
    blocked: bool = False
    consent_withdrawn: bool = False
    personalised: bool = True
    update_time_us: int = 0


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user as the store knows them, under the pseudonym that they are stored under."""

    pseudonym: bytes
    state: UserState
    history: tuple[Event, ...]  # In any order.
    hidden_product_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ProfileChange:
    """A change of one user's state.

    Attributes:
        names: the user's pseudonyms, newest epoch first.
        edit: makes the new state from the old one, None where the user is not stored. It may be called again
            for the same change, and raises what the change is refused with. It does not set version or time.
        request_digest: keyed hash of what was asked for.
        expected_version: version that the state must have, 0 that there is no profile; None for any.
        idempotency_digest: keyed hash of the caller's key; None for none.
    """

    names: Names
    edit: Callable[[UserState | None], UserState]
    request_digest: bytes
    expected_version: int | None = None
    idempotency_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A change that is durable: the version it made, and when, microseconds since 1970."""

    version: int
    update_time_us: int


@dataclass(frozen=True, slots=True)
class UserEvent:
    """An event on its way into the store.

    Attributes:
        event_id: the caller's id; an event whose id was seen in the last EVENT_ID_DAYS changes nothing.
        names: the user's pseudonyms, newest epoch first; the log's own where it is replayed.
        product_id: the product.
        event_type: one of `index.features.EVENT_TYPES` enters the user's history; NOT_INTERESTED hides the
            product; of any other only the id is kept.
        event_time_s: seconds since 1970.
    """

    event_id: str
    names: Names
    product_id: str
    event_type: str
    event_time_s: float


class EventOutcome(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"  # Its id was there before.
    USER_UNKNOWN = "user_unknown"  # Nothing is stored about the user; nothing was kept.
    USER_ERASED = "user_erased"  # The user was erased; nothing was kept.
    USER_UNREADABLE = (
        "user_unreadable"  # What is stored about the user cannot be read; the id alone was kept.
    )


@dataclass(frozen=True, slots=True)
class ScreenedEvent:
    """What would become of an event, and the name that its user is stored under, None where they are not."""

    outcome: EventOutcome
    name: bytes | None


class UserStore(Protocol):
    """Keeps users. Safe between threads; what a call acknowledged is durable and seen by every later call."""

    def find(self, names: Names, *, with_history: bool = True) -> StoredUser | None:
        """Returns the user, None where the store does not know them or they were erased.

        Raises:
            StoreReadError: the store cannot be asked.
            StoreRowError: what is stored about this user cannot be read.
        """

    def is_erased(self, names: Names) -> bool:
        """Tells whether the user was erased; raises as `find` does."""

    def change(self, change: ProfileChange) -> Changed:
        """Changes one user's state, or repeats the answer to the same idempotency key.

        Raises:
            UserErasedError: the user was erased.
            IdempotencyKeyError: the key came with another request before.
            VersionMismatchError: the state has another version than expected.
            StoreRowError: what is stored about this user cannot be read; nothing was changed.
            StoreWriteError: the store cannot be written; whether the change was made is not known.
        """

    def erase(self, names: Names, time_us: int) -> int:
        """Removes all that is stored about a user, and remembers that nothing may be stored again.

        Returns:
            when the user was erased, microseconds since 1970: `time_us`, or earlier if they had been before.

        Raises:
            StoreWriteError: as in `change`.
        """

    def screen_events(self, batch: Sequence[UserEvent]) -> list[ScreenedEvent]:
        """Tells what `append_events` would answer to each event alone; raises as `find` does."""

    def append_events(
        self, batch: Sequence[UserEvent], *, log_id: str, log_position: int
    ) -> list[EventOutcome]:
        """Applies events of a log to histories and hidden products, all or none, durable on return.

        The position is kept in the same transaction, so that a start replays from `applied_position` what the
        log has and the store lacks. An event that comes again is a DUPLICATE and changes nothing, so that a
        replay may begin earlier.

        Args:
            batch: events in the order of the log.
            log_id: names the log; several servers on one store each have their own.
            log_position: where the log stands after these events; the store keeps the greatest.

        Returns:
            what became of each event, in order.

        Raises:
            StoreWriteError: the store cannot be written; the batch may be given again.
        """

    def applied_position(self, log_id: str) -> int:
        """Returns the greatest position that was applied of a log, 0 for none; raises as `find` does."""

    def erased_names(self) -> Iterator[bytes]:
        """Yields every pseudonym of every erased user, for what forgets them elsewhere; raises as `find`."""

    def holds_assumed(self) -> bool:
        """Tells whether any user has a field that was assumed; raises as `find` does."""

    def close(self) -> None:
        """Gives back what the store holds; no call may be running."""
