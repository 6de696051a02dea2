"""A version that several processes activate: all have it once it is acknowledged, or none does."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from server import active_policy as active_module
from server import errors
from server.active_policy import ActivePolicy
from server.family import Family, Version
from server.followed_log import Refused
from server.messages import ChangeQuery
from server.policy_log import PolicyLog
from server.policy_start import open_control
from server.snapshot import Snapshot, all_under_policy, under_policy
from suitability.policy import Policy
from tests.server.desk import SIGNED_AT, MovingClock, open_tiny
from tests.server.officers import make_overlay, make_policy, sign_overlay, sign_policy, write_office


class Supervisor:
    """Two processes in one, and what writes their log; the first one takes the orders."""

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self.writer = PolicyLog(folder / "state")
        self.processes: list[ActivePolicy] = []
        self.controls = [open_control(folder / "keys.json", folder / "state", 30, None, self) for _ in "ab"]
        for control in self.controls:
            versions = [under_policy(snapshot, control.history.policies[-1])]
            self.processes.append(ActivePolicy(versions, MovingClock(), control, MovingClock()))
        self.before_append: Callable[[], Any] = lambda: None
        self.prepares = [process.prepare_policy for process in self.processes]

    def append(
        self, log: str, after: int, texts: Mapping[str, str], *, follows: bool = False
    ) -> Refused | None:
        if after != self.writer.chain.count:
            return Refused(True, "")
        self.writer.chain.append(texts)
        for process in self.processes[0 if follows else 1 :]:
            process.follow_policy(self.writer.chain.count)
        return None

    def prepare(self, log: str, texts: Mapping[str, str]) -> Refused | None:
        for number, prepare in enumerate(self.prepares):
            try:
                prepare(texts)
            except MemoryError as error:
                self.release(log)
                return Refused(False, f"process {number}: {error}")
        self.before_append()
        return None

    def release(self, log: str) -> None:
        for process in self.processes:
            process.prepare_policy(None)

    def activate(self, **changes: Any) -> Any:
        document = make_policy(**changes)
        return self.processes[0].activate(
            ChangeQuery(document, sign_policy(document, at=SIGNED_AT), "activates")
        )

    def halt(self, sequence: int, name: str) -> None:
        document = make_overlay(sequence, halted_products=[name])
        signatures = sign_overlay(document, at=SIGNED_AT)
        self.processes[0].set_overlay(ChangeQuery(document, signatures, "halts"))

    def versions(self) -> list[str]:
        return [process.pin().policy.version for process in self.processes]

    def close(self) -> None:
        for control in self.controls:
            control.log.close()
        self.writer.close()


@pytest.fixture
def supervisor(tiny_bundles: Path, tmp_path: Path) -> Iterator[Supervisor]:
    write_office(tmp_path)
    # The first start writes the policy file into the log.
    open_control(tmp_path / "keys.json", tmp_path / "state", 30, tmp_path / "policy.json").log.close()
    made = Supervisor(tmp_path, open_tiny(tiny_bundles))
    yield made
    made.close()


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions that were compiled, in their order."""
    found: list[str] = []

    def compile_all(snapshots: Version, policy: Policy) -> Version:
        found.append(policy.version)
        return all_under_policy(snapshots, policy)

    monkeypatch.setattr(active_module, "all_under_policy", compile_all)
    return found


def test_every_process_compiles_a_version_before_any_takes_it_over(
    supervisor: Supervisor, compiled: list[str]
) -> None:
    before = supervisor.versions()
    seen: list[tuple[list[str], list[str]]] = []
    supervisor.before_append = lambda: seen.append((supervisor.versions(), [*compiled]))
    answer = supervisor.activate(version="2027.1")
    assert answer.policy.version == "2027.1"
    assert seen == [(before, ["2027.1"] * 2)]
    assert supervisor.versions() == compiled == ["2027.1"] * 2


def test_a_process_that_cannot_compile_it_leaves_all_under_the_old_version(supervisor: Supervisor) -> None:
    def fail(texts: Mapping[str, str] | None) -> None:
        raise MemoryError("no memory")

    before, log_size = supervisor.versions(), supervisor.writer.chain.size
    prepares = [*supervisor.prepares]
    supervisor.prepares[1] = fail
    with pytest.raises(errors.SeveralProcessesError, match="process 1: no memory"):
        supervisor.activate(version="2027.1")
    assert (supervisor.versions(), supervisor.writer.chain.size) == (before, log_size)
    supervisor.prepares = prepares
    supervisor.activate(version="2027.1")
    assert supervisor.versions() == ["2027.1"] * 2


def test_a_process_that_came_too_late_to_prepare_compiles_it_when_it_follows(
    supervisor: Supervisor, compiled: list[str]
) -> None:
    supervisor.before_append = lambda: supervisor.processes[1].prepare_policy(None)
    supervisor.activate(version="2027.1")
    assert supervisor.versions() == ["2027.1"] * 2
    assert len(compiled) == 3


def test_bundles_that_are_replaced_meanwhile_are_compiled_for_before_the_version_is_followed(
    supervisor: Supervisor, compiled: list[str], tiny_bundles: Path
) -> None:
    other, seen = open_tiny(tiny_bundles), list[int]()

    def replace() -> None:
        for process in supervisor.processes:
            made = [under_policy(other, policy) for policy in process.family.policies]
            process.replace_bundles(Family([(version,) for version in made]), lambda: None)
        seen.append(len(compiled))

    supervisor.before_append = replace
    supervisor.activate(version="2027.1")
    assert supervisor.versions() == ["2027.1"] * 2
    assert all(process.pin().bundle is other.bundle for process in supervisor.processes)
    # Nobody compiles while all wait for it.
    assert seen == [len(compiled)] == [4]


def test_bundles_that_are_replaced_while_a_version_is_compiled_have_it_compiled_again(
    supervisor: Supervisor, tiny_bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, other, found = supervisor.processes[1], open_tiny(tiny_bundles), list[Version]()

    def compile_all(snapshots: Version, policy: Policy) -> Version:
        if not found:
            found.append(snapshots)
            made = [(under_policy(other, each),) for each in process.family.policies]
            process.replace_bundles(Family(made), lambda: None)
        found.append(snapshots)
        return all_under_policy(snapshots, policy)

    supervisor.prepares[0] = lambda texts: None
    monkeypatch.setattr(active_module, "all_under_policy", compile_all)
    supervisor.before_append = lambda: monkeypatch.setattr(
        active_module, "all_under_policy", all_under_policy
    )
    supervisor.activate(version="2027.1")
    assert [snapshots[0].bundle is other.bundle for snapshots in found[1:]] == [False, True]
    assert process.pin().bundle is other.bundle


def test_a_halt_that_comes_while_all_compile_is_taken_and_holds_under_the_version(
    supervisor: Supervisor,
) -> None:
    supervisor.before_append = lambda: supervisor.halt(1, "f000")
    supervisor.activate(version="2027.1")
    assert supervisor.versions() == ["2027.1"] * 2
    for process in supervisor.processes:
        overlay = process.pin().gate.overlay
        assert overlay is not None
        assert overlay.halted_products == {"f000"}


def test_a_version_that_another_process_overtook_meanwhile_is_refused(supervisor: Supervisor) -> None:
    def overtake() -> None:
        supervisor.before_append = lambda: None
        supervisor.activate(version="2027.2")

    supervisor.before_append = overtake
    with pytest.raises(errors.PolicyVersionOldError, match=r"above 2027\.2"):
        supervisor.activate(version="2027.1")
    assert supervisor.versions() == ["2027.2"] * 2


def test_a_scheduled_version_waits_in_every_process_and_is_named_when_it_is_replaced(
    supervisor: Supervisor,
) -> None:
    before = supervisor.versions()
    scheduled = supervisor.activate(version="2027.1", effective_from="2027-01-01T00:00:00+08:00")
    assert scheduled.scheduled
    assert supervisor.versions() == before
    for process in supervisor.processes:
        assert [each.version for each in process.describe().scheduled] == ["2027.1"]
    assert supervisor.activate(version="2027.2").replaced_versions == ("2027.1",)
    assert supervisor.versions() == ["2027.2"] * 2
