"""A log that another process writes: it is followed line by line, and nothing else is taken for a record."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from server.errors import (
    OverloadError,
    PolicyLogError,
    PolicyStateError,
    ProcessError,
    SeveralProcessesError,
)
from server.followed_log import Refused
from server.policy_log import FILE_NAME, ChangeKind, PolicyLog
from suitability.policy import load_policy
from tests.server.officers import make_policy

TIME = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


class Supervisor:
    """Writes the log of a folder for others, if it does not refuse."""

    def __init__(self, folder: Path) -> None:
        self.log = PolicyLog(folder)
        self.refused: Refused | None = None
        self.kept: Mapping[str, str] = {}

    def write(self, *documents: str) -> None:
        for document in documents:
            self.log.append(TIME, ChangeKind.OVERLAY, document.encode(), b"{}")

    def append(
        self, log: str, after: int, texts: Mapping[str, str], *, follows: bool = False
    ) -> Refused | None:
        assert (log, follows) == ("policy_state", False)
        if self.refused is None:
            assert after == self.log.chain.count
            self.log.chain.append(texts)
        return self.refused

    def prepare(self, log: str, texts: Mapping[str, str]) -> Refused | None:
        assert log == "policy_state"
        self.kept = texts
        return self.refused

    def release(self, log: str) -> None:
        self.kept = {}


@pytest.fixture
def supervisor(tmp_path: Path) -> Supervisor:
    return Supervisor(tmp_path)


def test_records_are_followed_up_to_a_sequence_and_each_is_seen_once(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    supervisor.write("a", "b")
    log = PolicyLog(tmp_path, supervisor)
    assert [record.document for record in log.records] == ["a", "b"]
    supervisor.write("c", "d", "e")
    found = [
        [(record.sequence, record.document) for record in log.follow(sequence)] for sequence in (2, 4, 5)
    ]
    assert found == [[], [(3, "c"), (4, "d")], [(5, "e")]]


def test_a_record_is_appended_by_whoever_writes_for_all(supervisor: Supervisor, tmp_path: Path) -> None:
    log, other = PolicyLog(tmp_path, supervisor), PolicyLog(tmp_path, supervisor)
    log.append(TIME, ChangeKind.OVERLAY, b"a", b"{}")
    assert [record.document for record in other.follow(1)] == ["a"]
    assert log.records == PolicyLog(tmp_path, supervisor).records


@pytest.mark.parametrize(
    ("refused", "error"),
    [(Refused(True, "another change"), OverloadError), (Refused(False, "the disk is full"), PolicyLogError)],
)
def test_a_refused_record_is_not_kept(
    supervisor: Supervisor, tmp_path: Path, refused: Refused, error: type[Exception]
) -> None:
    log, supervisor.refused = PolicyLog(tmp_path, supervisor), refused
    with pytest.raises(error, match=refused.problem):
        log.append(TIME, ChangeKind.OVERLAY, b"a", b"{}")
    assert (log.records, log.chain.count) == ((), 0)


def test_a_version_is_handed_to_all_for_the_length_of_its_order(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    log, policy = PolicyLog(tmp_path, supervisor), load_policy(make_policy(version="2027.1"))
    with log.prepared(policy):
        announced = supervisor.kept
        assert announced["sha256"] == policy.sha256
        # The same order again is refused, and takes nothing away.
        supervisor.refused = Refused(True, "")
        with pytest.raises(OverloadError), log.prepared(policy):
            raise AssertionError
        supervisor.refused = None
        assert log.read_proposal(announced) == policy
        # Whatever lies there is compiled only if it is what was announced.
        (tmp_path / f"proposed-{announced['name']}.json").write_bytes(make_policy())
        with pytest.raises(PolicyStateError, match="expected the policy"):
            log.read_proposal(announced)
    assert supervisor.kept == {}
    with pytest.raises(PolicyStateError, match="proposed"):
        log.read_proposal(announced)
    for refused, error in (
        (Refused(True, ""), OverloadError),
        (Refused(False, "process 1: it hangs"), SeveralProcessesError),
    ):
        supervisor.refused = refused
        with pytest.raises(error), log.prepared(policy):
            raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_what_a_dead_process_had_handed_to_all_is_removed_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "proposed-0.json").write_bytes(make_policy())
    Supervisor(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_what_cannot_be_removed_at_a_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "proposed-0.json").mkdir()
    with pytest.raises(PolicyStateError, match=r"policy_state: proposed-0\.json cannot be removed"):
        Supervisor(tmp_path)
    (tmp_path / "proposed-0.json").rmdir()
    Supervisor(tmp_path)


def test_a_line_without_its_end_is_left_until_it_has_one(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.write("a", "b")
    whole = (tmp_path / FILE_NAME).read_bytes()
    (tmp_path / FILE_NAME).write_bytes(whole[:-5])
    log = PolicyLog(tmp_path, supervisor)
    assert len(log.records) == 1
    (tmp_path / FILE_NAME).write_bytes(whole)
    assert [record.document for record in log.follow(2)] == ["b"]


@pytest.mark.parametrize("harm", ["missing", "changed", "doubled"])
def test_what_is_not_the_next_record_is_not_followed(
    supervisor: Supervisor, tmp_path: Path, harm: str
) -> None:
    path = tmp_path / FILE_NAME
    supervisor.write("a")
    log = PolicyLog(tmp_path, supervisor)
    supervisor.write("b")
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + {"missing": b"", "changed": second.replace(b"b", b"c"), "doubled": first}[harm])
    with pytest.raises(ProcessError, match="does not go on"):
        log.follow(2)
    with pytest.raises(ProcessError, match="does not go on"):
        log.follow(0)


@pytest.mark.parametrize("another", [(), ("c",), ("c", "d")])
def test_a_record_that_was_cut_off_after_it_was_read_ends_the_process(
    supervisor: Supervisor, tmp_path: Path, another: tuple[str, ...]
) -> None:
    path = tmp_path / FILE_NAME
    supervisor.write("a")
    first = path.read_bytes()
    supervisor.write("b")
    log = PolicyLog(tmp_path, supervisor)
    # The disk failed once the line was whole; a process that started just then has read it.
    path.write_bytes(first)
    supervisor.log.close()
    supervisor.log = PolicyLog(tmp_path)
    supervisor.write(*another)
    with pytest.raises(ProcessError, match="does not go on"):
        log.follow(supervisor.log.chain.count)


def test_a_log_that_is_not_there_or_changed_is_refused_at_the_start(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path)
    supervisor.write("a")
    (tmp_path / FILE_NAME).write_bytes(b"{}\n")
    with pytest.raises(PolicyStateError, match="line 1"):
        PolicyLog(tmp_path, supervisor)
    (tmp_path / FILE_NAME).unlink()
    with pytest.raises(PolicyStateError, match="No such file"):
        PolicyLog(tmp_path, supervisor)
