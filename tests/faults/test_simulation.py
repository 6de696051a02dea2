"""Schedules of admission, queue and bundle manager: none fails, and a planted bug of each kind is found."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.simulation.__main__ import NAME, main
from benchmarks.faults.simulation.process import Answer, Job, Parts, Process, Queue
from benchmarks.faults.simulation.schedule import play
from benchmarks.faults.simulation.world import Fault
from server.batch_queue import Ticket
from server.bundles import machine
from server.bundles.machine import Machine
from server.bundles.messages import Action, Facts, Finding, Refusal
from server.bundles.state import State
from server.overload.limit import AdaptiveLimit

SEED = 20261122
SCHEDULE_COUNT = 300
TRIAL_COUNT_MAX = 150
"""In so many schedules a planted bug must show."""

Tickets = Sequence[Ticket[Job, Answer]]


class Forgetful(Queue):
    """Loses the first of a batch."""

    def take(self) -> list[Ticket[Job, Answer]]:
        return super().take()[1:]


class Repeating(Queue):
    """Tells of outcomes twice."""

    def run(self, tickets: Tickets, compute: Any) -> None:
        super().run(tickets, compute)
        for ticket in tickets:
            if ticket.future.done():
                ticket.future._invoke_callbacks()


class Swapping(Queue):
    """Gives the outcomes of a batch to the wrong jobs."""

    def run(self, tickets: Tickets, compute: Any) -> None:
        super().run(tickets, lambda jobs: list(reversed(compute(jobs))))


class Endless(Queue):
    """Takes any number of jobs."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**(options | {"limit": 1000}))


class Generous(AdaptiveLimit):
    """Lets everybody in."""

    def has_room(self, priority: Any, count: int | None = None) -> bool:
        return True


class Stubborn(Queue):
    """Computes whatever waits, however late."""

    def _is_wanted(self, ticket: Ticket[Job, Answer], now_s: float, needed_s: float = 0.0) -> bool:
        return True


class Careless(Machine):
    """Brings any bundle into force that can be opened."""

    def _on_opened(self, task: Any, result: tuple[Finding, ...] | Refusal) -> list[Action]:
        passed = (
            result if isinstance(result, Refusal) else tuple(replace(each, passed=True) for each in result)
        )
        return super()._on_opened(task, passed)


class Backward(Machine):
    """Takes older bundles for newer ones."""

    def _on_examined(self, task: Any, result: Facts | Refusal) -> list[Action]:
        if isinstance(result, Facts):
            result = replace(result, created=max(result.created, self.state.serving.created))
        return super()._on_examined(task, result)


def answer_of_two_bundles(process: Process, job: Job) -> Answer:
    return Answer(job.number, job.value * job.value, (job.bundle, process.manager.serving))


PLANTED: dict[str, tuple[Fault, Parts, Callable[[State], Machine]]] = {
    "a job that is forgotten": (Fault.LOST, Parts(queue=Forgetful), Machine),
    "an outcome given twice": (Fault.DUPLICATED, Parts(queue=Repeating), Machine),
    "outcomes in another order": (Fault.CROSSED, Parts(queue=Swapping), Machine),
    "a search in whatever bundle serves now": (Fault.MIXED, Parts(find=answer_of_two_bundles), Machine),
    "a queue without a limit": (Fault.UNBOUNDED, Parts(queue=Endless), Machine),
    "a limit that nobody keeps": (Fault.UNBOUNDED, Parts(limit=Generous), Machine),
    "a search for nobody": (Fault.EXPIRED_COMPUTED, Parts(queue=Stubborn), Machine),
    "gates that nobody looks at": (Fault.REFUSED_SERVED, Parts(), Careless),
    "an older bundle that is let in": (Fault.REFUSED_SERVED, Parts(), Backward),
}


@pytest.fixture(scope="module")
def counts() -> Counter[str]:
    found: Counter[str] = Counter()
    for number in range(SCHEDULE_COUNT):
        played = play(SEED, number)
        assert played.faults == (), f"--seed {SEED} --first {number} --schedules 1"
        found.update(played.counts)
    return found


def test_schedules_meet_everything_that_is_to_be_survived(counts: Counter[str]) -> None:
    expected = {"OK", "OVERLOADED", "OverloadError", "DeadlineError", "DEADLINE_EXCEEDED", "CANCELLED"}
    expected |= {"CONNECTION_LOST", "MemoryError", "RuntimeError", "ValueError"}
    expected |= {"crashes", "standstills", "publications", "swaps", "orders", "batches"}
    assert {name for name, count in counts.items() if count >= 10} >= expected


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_and_named(bug: str) -> None:
    fault, parts, make_machine = PLANTED[bug]
    for number in range(TRIAL_COUNT_MAX):
        faults = {kind for kind, _ in play(SEED, number, parts, make_machine).faults}
        if fault in faults:
            return
    raise AssertionError(f"{TRIAL_COUNT_MAX} schedules did not show it")


def test_a_schedule_is_the_same_again() -> None:
    fault, parts, make_machine = PLANTED["outcomes in another order"]
    first, again = (play(SEED, 5, parts, make_machine) for _ in range(2))
    assert first == again
    assert play(SEED, 5).counts != play(SEED, 6).counts
    assert fault is Fault.CROSSED


def test_the_command_prints_the_seed_and_writes_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--schedules", "5", "--seed", "7", "--out", str(tmp_path)]) == 0
    assert "5 schedules, seed 7: 0 failed" in capsys.readouterr().out
    written = json.loads((tmp_path / f"{NAME}.json").read_text())
    assert (written["seed"], written["schedules"], written["failed_schedules"]) == (7, 5, [])


def test_the_command_names_a_schedule_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_judge", lambda task, findings: None)
    assert main(["--schedules", "60", "--seed", "7", "--out", str(tmp_path)]) == 1
    failed = json.loads((tmp_path / f"{NAME}.json").read_text())["failed_schedules"]
    assert f"schedule {failed[0]}: refused bundle served" in capsys.readouterr().out
