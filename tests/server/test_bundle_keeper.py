"""The bundle manager's thread outlives what nobody foresaw: orders are answered, and the next one works."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from server.bundles.keeper import Keeper
from server.bundles.machine import FAILED, Machine
from server.bundles.messages import Change, Facts, Finding, Goal, Order, Outcome, Pointer, Refusal, Tell
from server.bundles.state import State

WAIT_S = 60.0


def facts_of(version: str) -> Facts:
    return Facts(version, datetime(2026, 1, 1, tzinfo=UTC), f"hash {version}")


class Faulty:
    """Ports of which one, by its name, fails at its first call."""

    def __init__(self, failing: str) -> None:
        self.failing = failing
        self.held: set[str] = set()

    def fail_once(self, name: str) -> None:
        if name == self.failing:
            self.failing = ""
            raise MemoryError

    def read_pointer(self) -> Pointer | Refusal:
        self.fail_once("read_pointer")
        return Pointer("a")

    def examine(self, version: str) -> Facts | Refusal:
        self.fail_once("examine")
        return facts_of(version)

    def open(self, facts: Facts) -> tuple[Finding, ...] | Refusal:
        self.held.add(facts.version)
        self.fail_once("open")
        return ()

    def keep(self, change: Change) -> Refusal | None:
        self.fail_once("keep")
        self.held.discard(change.facts.version)
        return None

    def drop(self, version: str) -> None:
        self.held.discard(version)

    def tell(self, told: Tell) -> None:
        del told
        self.fail_once("tell")


@pytest.fixture
def keepers() -> Iterator[list[Keeper]]:
    made: list[Keeper] = []
    yield made
    for keeper in made:
        keeper.close()


def start(keepers: list[Keeper], ports: Faulty, poll_s: float = 0.0) -> Keeper:
    keeper = Keeper(Machine(State(facts_of("a"), "a")), ports, poll_s)
    keepers.append(keeper)
    keeper.start()
    return keeper


@pytest.mark.parametrize("failing", ["examine", "open", "keep", "tell"])
def test_an_order_that_fails_unforeseen_is_answered_and_the_next_one_works(
    keepers: list[Keeper], failing: str
) -> None:
    ports = Faulty(failing)
    keeper = start(keepers, ports)
    assert keeper.carry_out(Order(Goal.ACTIVATE, "b"), WAIT_S) == FAILED
    assert ports.held == set()
    answered = keeper.carry_out(Order(Goal.ACTIVATE, "c"), WAIT_S)
    assert isinstance(answered, Outcome)
    assert keeper.machine.state.serving.version == "c"


def test_the_thread_outlives_a_look_that_fails(keepers: list[Keeper]) -> None:
    ports = Faulty("read_pointer")
    keeper = start(keepers, ports, poll_s=0.001)
    while keeper.machine.current != "a":
        pass
    assert isinstance(keeper.carry_out(Order(Goal.ACTIVATE, "b"), WAIT_S), Outcome)
