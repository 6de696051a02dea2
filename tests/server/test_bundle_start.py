"""Which bundle a start serves, and what the ports make of a disk that fails."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from index.bundle import write_current
from server.active_policy import ActivePolicy
from server.bundles import opener as opener_module
from server.bundles.log import FILE_NAME, BundleLog
from server.bundles.messages import Change, Facts, Goal, Pointer, Reason, Refusal
from server.bundles.opener import Opener
from server.bundles.ports import LivePorts
from server.bundles.start import open_first
from server.chain_lines import write_line
from server.clock import Clock
from server.config import Settings
from server.errors import BundleStateError, SnapshotError
from server.snapshot import load_fit_policy
from tests.server.cases import NOW
from tests.server.shelf import copy_bundle, fill_shelf

POLICY = load_fit_policy(None)
CHANGE: dict[str, Any] = {
    "kind": "activate",
    "facts": {"version": "a", "created": NOW.isoformat(), "manifest_sha256": "0" * 64, "signers": []},
    "settled": "a",
    "order": None,
    "findings": [],
}


@pytest.fixture
def bundles(two_bundles: Path, tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return fill_shelf(two_bundles, tmp_path / "bundles")


@pytest.fixture
def opener(bundles: Path) -> Opener:
    return Opener(Settings(bundles=bundles, allow_unsigned=True, retriever="exact"))


def start(opener: Opener, folder: Path, *goals: Goal) -> str:
    """Starts, makes changes of the bundle that serves, and ends; returns which one that was."""
    log = BundleLog(folder / "state")
    try:
        family = open_first(opener, log, [POLICY])
        assert log.state is not None
        for goal in goals:
            log.append(NOW, Change(goal, log.state.serving, log.state.settled))
        return family.versions[0][0].version
    finally:
        log.close()


def test_a_start_serves_what_served_last_whatever_was_published_meanwhile(
    opener: Opener, bundles: Path, tmp_path: Path
) -> None:
    assert start(opener, tmp_path) == "a"
    write_current(bundles, "b")
    assert start(opener, tmp_path) == "a"
    assert open_first(opener, None, [POLICY]).versions[0][0].version == "b"


def test_a_bundle_that_is_gone_gives_way_to_current_unless_it_is_pinned(
    opener: Opener, bundles: Path, tmp_path: Path
) -> None:
    assert start(opener, tmp_path) == "a"
    write_current(bundles, "b")
    shutil.rmtree(bundles / "a")
    assert start(opener, tmp_path, Goal.PIN) == "b"
    write_current(bundles, "c")
    shutil.rmtree(bundles / "b")
    with pytest.raises(SnapshotError, match="b"):
        start(opener, tmp_path)


def test_another_bundle_under_the_name_of_the_one_that_served_is_not_served(
    opener: Opener, bundles: Path, tmp_path: Path
) -> None:
    assert start(opener, tmp_path) == "a"
    shutil.rmtree(bundles / "a")
    copy_bundle(bundles / "b", "a", 9)
    with pytest.raises(SnapshotError, match="it is not the one that served last"):
        start(opener, tmp_path)


def test_a_log_of_something_else_stops_the_start(opener: Opener, tmp_path: Path) -> None:
    (tmp_path / "state" / FILE_NAME).write_text('{"document":"{}"}\n')
    with pytest.raises(BundleStateError, match="line 1"):
        start(opener, tmp_path)


@pytest.fixture
def ports(opener: Opener, bundles: Path) -> LivePorts:
    first = opener.open("a", [POLICY])
    return LivePorts(bundles, opener, ActivePolicy(first.versions[0], Clock(NOW)), None, None)


def fail_with(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_a_disk_that_fails_is_told_as_such_and_an_error_of_ours_as_ours(
    ports: LivePorts, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = ports.examine("b")
    assert isinstance(facts, Facts)
    for error, reason in (
        (OSError(errno.EIO, "Input/output error"), Reason.UNREADABLE),
        (ValueError("a bug"), Reason.FAILED),
        (MemoryError(), Reason.FAILED),
    ):
        monkeypatch.setattr(opener_module, "open_snapshot", fail_with(error))
        result = ports.open(facts)
        assert isinstance(result, Refusal)
        assert result.reason is reason


def test_a_bundle_that_was_exchanged_after_it_was_examined_is_refused(
    ports: LivePorts, bundles: Path
) -> None:
    facts = ports.examine("b")
    assert isinstance(facts, Facts)
    shutil.rmtree(bundles / "b")
    copy_bundle(bundles / "c", "b", 20)
    result = ports.open(facts)
    assert isinstance(result, Refusal)
    assert (result.reason, "changed meanwhile" in result.problem) == (Reason.CORRUPT, True)


def test_a_bundle_from_the_future_is_refused_before_it_is_opened(ports: LivePorts, bundles: Path) -> None:
    copy_bundle(bundles / "a", "future", 100_000)
    result = ports.examine("future")
    assert isinstance(result, Refusal)
    assert result.reason is Reason.CORRUPT
    assert "days from now" in result.problem


def test_current_is_read_as_it_is(ports: LivePorts, bundles: Path) -> None:
    read = ports.read_pointer()
    assert isinstance(read, Pointer)
    write_current(bundles, "a")
    again = ports.read_pointer()
    assert isinstance(again, Pointer)
    assert (again.version, again.stamp != read.stamp) == (read.version, True)
    (bundles / "CURRENT").unlink()
    gone = ports.read_pointer()
    assert isinstance(gone, Refusal)
    assert (gone.reason, gone.problem) == (
        Reason.POINTER,
        "CURRENT cannot be read: No such file or directory",
    )


@pytest.mark.parametrize(
    "document",
    [
        "[" * 100_000,
        "{}",
        # A newer server's: what it says beside it may change what serves.
        json.dumps(CHANGE | {"lease": 1}),
        json.dumps(CHANGE | {"facts": CHANGE["facts"] | {"created": "2026-01-01T00:00:00"}}),
    ],
)
def test_a_record_that_is_no_change_stops_a_start_in_one_line(document: str, tmp_path: Path) -> None:
    record = write_line(1, {"time": NOW.isoformat(), "document": document}, "0" * 64)
    (tmp_path / FILE_NAME).write_bytes(record)
    with pytest.raises(BundleStateError, match="line 1 is no change of bundles"):
        BundleLog(tmp_path)


def test_a_record_that_is_a_change_is_followed(tmp_path: Path) -> None:
    record = write_line(1, {"time": NOW.isoformat(), "document": json.dumps(CHANGE)}, "0" * 64)
    (tmp_path / FILE_NAME).write_bytes(record)
    log = BundleLog(tmp_path)
    log.close()
    assert log.state is not None
    assert log.state.serving.version == "a"


def test_opening_and_judging_rest_between_their_pieces(opener: Opener) -> None:
    rested: list[int] = []
    made = opener.open("a", [POLICY], rest=lambda: rested.append(1))
    opened_count = len(rested)
    golden_count = len(made.versions[0][0].bundle.golden.requests)
    opener.judge(made, made.versions[0][0], lambda: rested.append(1))
    assert opened_count > golden_count
    # Each product is read, and compared for each of the made-up users.
    assert len(rested) - opened_count > 2 * made.versions[0][0].bundle.products.count
