"""Where the bundles stand: what the changes that were written down add up to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from server.bundles.messages import Change, Facts, Goal, Order, Outcome

LINE_COUNT_MAX: Final = 100
"""So many bundles that served are known to roll back to."""
KEY_COUNT_MAX: Final = 1000
"""How many of the latest idempotency keys are remembered."""


@dataclass(frozen=True, slots=True)
class State:
    """What is in force.

    Attributes:
        serving: the bundle that serves.
        settled: version that CURRENT named when it came into force; while CURRENT names it, all is as wanted.
        pinned: whether the watcher leaves it alone.
        line: versions that served before, latest last.
        rolled_back: versions that were rolled back from.
        sequence: how many changes were written down.
        answered: orders that were carried out, with their outcomes, by idempotency key.
    """

    serving: Facts
    settled: str
    pinned: bool = False
    line: tuple[str, ...] = ()
    rolled_back: frozenset[str] = frozenset()
    sequence: int = 0
    answered: Mapping[str, tuple[Order, Outcome]] = field(default_factory=dict)


def follow(state: State | None, change: Change) -> State:
    """Returns where the bundles stand after a change; None is before the first."""
    if state is None:
        return State(change.facts, change.settled, sequence=1)
    before = state.serving.version
    if change.moves:
        after = _move(state, change)
    else:
        after = replace(state, pinned=change.kind is Goal.PIN, sequence=state.sequence + 1)
    order = change.order
    if order is None or not order.key:
        return after
    outcome = Outcome(after.serving.version, before, after.sequence, after.pinned, change.findings)
    answered = {**after.answered, order.key: (order, outcome)}
    if len(answered) > KEY_COUNT_MAX:
        del answered[next(iter(answered))]
    return replace(after, answered=answered)


def _move(state: State, change: Change) -> State:
    before, now = state.serving.version, change.facts.version
    rolled_back = state.rolled_back - {now}
    if change.kind is Goal.ROLLBACK:
        # Whatever served since is undone with it.
        line = state.line[: state.line.index(now)] if now in state.line else state.line
        rolled_back |= {before}
    else:
        line = (*state.line, before)[-LINE_COUNT_MAX:]
    return replace(
        state,
        serving=change.facts,
        settled=change.settled,
        line=line,
        rolled_back=rolled_back,
        sequence=state.sequence + 1,
    )
