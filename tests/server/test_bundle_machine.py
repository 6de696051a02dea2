"""The bundle manager's decisions, event by event: without a disk, a clock or a thread."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from server.bundles.keeper import play
from server.bundles.machine import RETRY_S_MIN, WAITING_COUNT_MAX, Machine
from server.bundles.messages import (
    Change,
    Examine,
    Examined,
    Facts,
    Finding,
    Goal,
    Order,
    Ordered,
    Outcome,
    Pointer,
    PointerRead,
    Reason,
    Refusal,
    Reply,
    Tell,
)
from server.bundles.state import State, follow

DAYS = {"a": 1, "b": 2, "c": 3, "d": 4}
WORSE = Finding("recall_at_k", 0.5, 0.95, passed=False, comparative=True)
WRONG = Finding("wrong_verdicts", 1.0, 0.0, passed=False, comparative=False)


def facts_of(version: str) -> Facts:
    return Facts(version, datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=DAYS[version]), f"hash {version}")


@dataclass
class Stage:
    """A folder, a memory and a log that do as they are told, and remember it."""

    findings: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    record_fails: bool = False
    opened: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    kept: list[Change] = field(default_factory=list)
    told: list[Tell] = field(default_factory=list)

    def read_pointer(self) -> Pointer | Refusal:
        raise AssertionError("tests say what CURRENT names")

    def examine(self, version: str) -> Facts | Refusal:
        if version in DAYS:
            return facts_of(version)
        return Refusal(Reason.MISSING, f"{version} is not there")

    def open(self, facts: Facts) -> tuple[Finding, ...] | Refusal:
        self.opened.append(facts.version)
        if facts.version in self.refusals:
            return self.refusals[facts.version]
        self.held.add(facts.version)
        return self.findings.get(facts.version, ())

    def keep(self, change: Change) -> Refusal | None:
        if self.record_fails:
            return Refusal(Reason.STATE, "the disk is full")
        self.kept.append(change)
        self.held.discard(change.facts.version)
        return None

    def drop(self, version: str) -> None:
        self.held.discard(version)

    def tell(self, told: Tell) -> None:
        self.told.append(told)


class Play:
    """A machine that serves "a", and what is done with it."""

    def __init__(self, **stage: object) -> None:
        self.stage = Stage(**stage)  # type: ignore[arg-type]
        self.first = Change(Goal.ACTIVATE, facts_of("a"), "a")
        self.machine = Machine(follow(None, self.first))
        self.replies: list[Reply] = []
        self.now_s = 0.0

    def current(self, version: str, stamp: int = 0, after_s: float = 0.1) -> None:
        self.now_s += after_s
        read = PointerRead(self.now_s, Pointer(version, (stamp,)))
        play(self.machine, self.stage, read, self.replies.append)

    def order(self, goal: Goal, version: str = "", **fields: object) -> Outcome | Refusal:
        order = Order(goal, version, **fields)  # type: ignore[arg-type]
        number = len(self.replies)
        play(self.machine, self.stage, Ordered(number, order), self.replies.append)
        assert self.replies[-1].number == number
        return self.replies[-1].result

    @property
    def serving(self) -> str:
        return self.machine.state.serving.version

    @property
    def refused(self) -> list[Reason]:
        return [told.refusal.reason for told in self.stage.told if told.refusal is not None]


def reason_of(result: Outcome | Refusal) -> Reason:
    assert isinstance(result, Refusal), result
    return result.reason


def test_what_current_names_serves_and_nothing_else_stays_open() -> None:
    stage = Play()
    stage.current("b")
    assert (stage.serving, stage.stage.held) == ("b", set())
    assert [(change.facts.version, change.settled) for change in stage.stage.kept] == [("b", "b")]
    stage.current("b")
    assert stage.stage.opened == ["b"]


def test_an_older_bundle_is_refused_before_it_is_opened_and_only_once() -> None:
    stage = Play()
    stage.current("c")
    stage.current("b")
    stage.current("b", after_s=1000.0)
    assert (stage.serving, stage.stage.opened, stage.refused) == ("c", ["c"], [Reason.OLDER])
    # Written again, it is looked at again.
    stage.current("b", stamp=1)
    assert stage.refused == [Reason.OLDER, Reason.OLDER]


def test_a_corrupt_bundle_is_tried_again_after_longer_and_longer_waits_and_told_of_once() -> None:
    stage = Play(refusals={"b": Refusal(Reason.CORRUPT, "a flipped bit")})
    stage.current("b")
    stage.current("b", after_s=RETRY_S_MIN / 2)
    assert stage.stage.opened == ["b"]
    stage.current("b", after_s=RETRY_S_MIN)
    stage.current("b", after_s=RETRY_S_MIN * 1.5)
    assert stage.stage.opened == ["b", "b"]
    del stage.stage.refusals["b"]
    stage.current("b", after_s=RETRY_S_MIN)
    assert (stage.serving, stage.refused) == ("b", [Reason.CORRUPT])


def test_a_pointer_that_cannot_be_read_changes_nothing() -> None:
    stage = Play()
    for _ in range(3):
        torn = PointerRead(1.0, Refusal(Reason.POINTER, "torn"))
        play(stage.machine, stage.stage, torn, stage.replies.append)
    assert stage.refused == [Reason.POINTER]
    assert stage.machine.trouble is not None
    stage.current("a")
    assert (stage.serving, stage.machine.trouble) == ("a", None)


def test_a_rollback_stays_until_something_else_is_published() -> None:
    stage = Play()
    stage.current("b")
    assert stage.order(Goal.ROLLBACK) == Outcome("a", "b", 3, pinned=False)
    stage.current("b")
    stage.current("b", stamp=1)
    assert stage.serving == "a"
    stage.current("a")
    stage.current("b")
    assert (stage.serving, stage.refused) == ("a", [Reason.ROLLED_BACK])
    stage.current("c")
    assert stage.serving == "c"
    # The line leads back to what served, and not to what was rolled back from.
    assert stage.order(Goal.ROLLBACK) == Outcome("a", "c", 5, pinned=False)


def test_an_order_brings_back_what_was_rolled_back_from() -> None:
    stage = Play()
    stage.current("b")
    stage.order(Goal.ROLLBACK)
    stage.order(Goal.ACTIVATE, "b")
    assert (stage.serving, stage.machine.state.rolled_back) == ("b", frozenset())


def test_a_pinned_bundle_stays_and_an_order_may_still_move_it() -> None:
    stage = Play()
    stage.order(Goal.PIN)
    stage.current("b")
    assert stage.serving == "a"
    stage.order(Goal.ACTIVATE, "c")
    stage.current("d")
    assert (stage.serving, stage.machine.state.pinned) == ("c", True)
    stage.order(Goal.UNPIN)
    stage.current("d")
    assert stage.serving == "d"


def test_orders_are_refused_with_their_reasons_and_change_nothing() -> None:
    stage = Play(findings={"c": (WORSE,), "d": (WRONG,)})
    stage.current("b")
    assert reason_of(stage.order(Goal.ACTIVATE, "a")) is Reason.OLDER
    assert reason_of(stage.order(Goal.ACTIVATE, "e")) is Reason.MISSING
    assert reason_of(stage.order(Goal.ACTIVATE, "c", expected="a")) is Reason.MISMATCH
    assert reason_of(stage.order(Goal.ACTIVATE, "c")) is Reason.WORSE
    assert reason_of(stage.order(Goal.ACTIVATE, "d", allow_worse=True)) is Reason.UNFIT
    assert reason_of(Play().order(Goal.ROLLBACK)) is Reason.NO_OTHER
    assert (stage.serving, stage.stage.held) == ("b", set())
    assert isinstance(stage.order(Goal.ACTIVATE, "c", allow_worse=True), Outcome)
    assert stage.serving == "c"


def test_a_loaded_bundle_is_activated_without_opening_it_again() -> None:
    stage = Play()
    stage.order(Goal.LOAD, "b")
    assert stage.stage.held == {"b"}
    stage.order(Goal.ACTIVATE, "b")
    assert (stage.serving, stage.stage.opened, stage.machine.loaded) == ("b", ["b"], None)


def test_what_was_loaded_beside_another_bundle_is_let_go() -> None:
    stage = Play()
    stage.order(Goal.LOAD, "c")
    stage.current("b")
    assert (stage.serving, stage.stage.held, stage.machine.loaded) == ("b", set(), None)


def test_what_cannot_be_written_down_does_not_take_effect() -> None:
    stage = Play(record_fails=True)
    stage.current("b")
    assert reason_of(stage.order(Goal.ACTIVATE, "b")) is Reason.STATE
    assert reason_of(stage.order(Goal.PIN)) is Reason.STATE
    assert (stage.serving, stage.stage.held, stage.machine.state.pinned) == ("a", set(), False)
    stage.stage.record_fails = False
    stage.current("b", after_s=RETRY_S_MIN)
    assert stage.serving == "b"


def test_an_order_comes_before_what_the_watcher_is_at() -> None:
    machine = Machine(State(facts_of("a"), "a"))
    assert machine.handle(PointerRead(0.0, Pointer("c"))) == [Examine("c")]
    assert machine.handle(Ordered(7, Order(Goal.ACTIVATE, "b"))) == []
    stage, replies = Stage(), list[Reply]()
    # The watcher's bundle is examined, and nobody wants it any more.
    play(machine, stage, Examined(facts_of("c")), replies.append)
    assert (machine.state.serving.version, stage.opened) == ("b", ["b"])
    assert [reply.number for reply in replies] == [7]


def test_orders_beyond_what_may_wait_are_told_to_come_again() -> None:
    machine = Machine(State(facts_of("a"), "a"))
    machine.handle(Ordered(0, Order(Goal.LOAD, "b")))
    for number in range(1, WAITING_COUNT_MAX + 1):
        assert machine.handle(Ordered(number, Order(Goal.LOAD, "c"))) == []
    (reply,) = machine.handle(Ordered(99, Order(Goal.LOAD, "c")))
    assert isinstance(reply, Reply)
    assert reason_of(reply.result) is Reason.BUSY


def test_a_restart_stands_where_the_changes_lead() -> None:
    stage = Play()
    stage.current("b")
    stage.order(Goal.ACTIVATE, "c", key="once", by="mei")
    stage.order(Goal.ROLLBACK)
    stage.order(Goal.PIN)
    state = None
    for change in (stage.first, *stage.stage.kept):
        state = follow(state, change)
    assert state == stage.machine.state
    assert state is not None
    assert (state.serving.version, state.pinned, state.rolled_back) == ("b", True, {"c"})
    again = Machine(state)
    (reply,) = again.handle(Ordered(0, Order(Goal.ACTIVATE, "c", key="once", by="mei")))
    assert isinstance(reply, Reply)
    assert reply.result == replace(Outcome("c", "b", 3, pinned=False), repeated=True)
