"""Tells operators how a store of users fares: counts calls that fail, and logs what made them fail."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, Literal, TypeVar

import structlog
from prometheus_client import CollectorRegistry, Counter

from server.errors import StoreReadError, StoreRowError, StoreWriteError
from server.users.pseudonyms import Names
from server.users.store import (
    Changed,
    EventOutcome,
    ProfileChange,
    ScreenedEvent,
    StoredUser,
    UserEvent,
    UserStore,
)

ROWS_TOLD_MAX: Final = 1000
"""Rows that cannot be read are told once each, as far back as this."""

Kind = Literal["read", "write"]
Result = TypeVar("Result")

_log = structlog.get_logger("server")


class WatchedStore:
    """A `UserStore` before another one; adds nothing and keeps no user. Safe between threads."""

    def __init__(self, store: UserStore, registry: CollectorRegistry) -> None:
        """Registers the metric.

        Args:
            store: the store that is asked.
            registry: where.
        """
        self._store = store
        self._failing: set[Kind] = set()
        self._tell_row = lru_cache(ROWS_TOLD_MAX)(_tell_row)
        self._failures = Counter(
            "prudence_store_failures",
            "Calls of the store of users that failed: reads, writes, or one user's row cannot be read.",
            ["kind"],
            registry=registry,
        )
        for kind in ("read", "write", "row"):
            self._failures.labels(kind)

    def find(self, names: Names, *, with_history: bool = True) -> StoredUser | None:
        """Finds a user, as `UserStore.find` has it."""
        return self._watch("read", lambda: self._store.find(names, with_history=with_history), names)

    def is_erased(self, names: Names) -> bool:
        """Tells whether the user was erased, as `UserStore.is_erased` has it."""
        return self._watch("read", lambda: self._store.is_erased(names), names)

    def change(self, change: ProfileChange) -> Changed:
        """Changes one user's state, as `UserStore.change` has it."""
        return self._watch("write", lambda: self._store.change(change), change.names)

    def erase(self, names: Names, time_us: int) -> int:
        """Erases a user, as `UserStore.erase` has it."""
        return self._watch("write", lambda: self._store.erase(names, time_us), names)

    def screen_events(self, batch: Sequence[UserEvent]) -> list[ScreenedEvent]:
        """Screens events, as `UserStore.screen_events` has it."""
        return self._watch("read", lambda: self._store.screen_events(batch))

    def append_events(
        self, batch: Sequence[UserEvent], *, log_id: str, log_position: int
    ) -> list[EventOutcome]:
        """Applies events, as `UserStore.append_events` has it."""
        outcomes = self._watch(
            "write", lambda: self._store.append_events(batch, log_id=log_id, log_position=log_position)
        )
        for event, outcome in zip(batch, outcomes, strict=True):
            if outcome is EventOutcome.USER_UNREADABLE:
                self._note_row("history or hidden", event.names)
        return outcomes

    def applied_position(self, log_id: str) -> int:
        """Returns a log's position, as `UserStore.applied_position` has it."""
        return self._watch("read", lambda: self._store.applied_position(log_id))

    def erased_names(self) -> Iterator[bytes]:
        """Yields the erased, as `UserStore.erased_names` has it."""
        return self._watch("read", self._store.erased_names)

    def holds_assumed(self) -> bool:
        """Tells whether any user has a field that was assumed."""
        return self._watch("read", self._store.holds_assumed)

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def _watch(self, kind: Kind, ask: Callable[[], Result], names: Names = ()) -> Result:
        """Asks the store; `names` are the user's whom it is asked about."""
        try:
            answer = ask()
        except StoreRowError as error:
            self._note_row(error.field, names)
            raise
        except (StoreReadError, StoreWriteError) as error:
            self._failures.labels(kind).inc()
            if kind not in self._failing:
                # Said once, until it works again. SQLite's texts may hold a row's values; its names do not.
                cause = error.__cause__
                name = getattr(cause, "sqlite_errorname", type(cause).__name__)
                _log.error("store_fails", kind=kind, cause=name)
            self._failing.add(kind)
            raise
        if kind in self._failing:
            self._failing.discard(kind)
            _log.info("store_works_again", kind=kind)
        return answer

    def _note_row(self, field: str, names: Names) -> None:
        self._failures.labels("row").inc()
        self._tell_row(field, names)


def _tell_row(field: str, names: Names) -> None:
    _log.error("store_row_corrupt", field=field, pseudonyms=[name.hex() for name in names])
