"""What a restart brings back: everything accepted, and nothing that was not."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from server import errors
from server.messages import ChangeQuery
from server.policy_log import ChangeKind
from server.snapshot import Snapshot
from tests.server.desk import SIGNED_AT, Desk, desks, open_tiny
from tests.server.officers import (
    ANNA,
    BO,
    CEM,
    keys_document,
    make_overlay,
    make_policy,
    sign_overlay,
    sign_policy,
)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_tiny(tiny_bundles)


@pytest.fixture
def open_desk(snapshot: Snapshot, tmp_path: Path) -> Iterator[Callable[[], Desk]]:
    with desks(snapshot, tmp_path) as opened:
        yield opened


def test_everything_accepted_is_in_force_after_a_restart(open_desk: Callable[[], Desk]) -> None:
    desk = open_desk()
    desk.activate(version="2027.1", horizon__buffer_months=1)
    desk.activate(version="2027.2", effective_from="2027-02-01T00:00:00Z")
    desk.overlay(7, halted_products=["f000"])
    before = desk.state()
    assert open_desk().state() == before
    with pytest.raises(errors.OverlaySequenceOldError):
        open_desk().overlay(7, halted_products=["f000", "f001"])


def test_the_policy_file_does_not_bring_an_older_version_back(open_desk: Callable[[], Desk]) -> None:
    with structlog.testing.capture_logs() as logs:
        desk = open_desk()
    assert [(line["log_level"], line["version"]) for line in logs] == [("warning", "2026.11.0")]
    desk.activate(version="2027.1")
    (desk.folder / "policy.json").write_bytes(b"not even a policy")
    with structlog.testing.capture_logs() as logs:
        assert open_desk().active.pin().policy.version == "2027.1"
    assert [line["latest_activated"] for line in logs] == ["2027.1"]


def test_the_first_policy_needs_its_two_signatures(open_desk: Callable[[], Desk], tmp_path: Path) -> None:
    policy = (tmp_path / "policy.json").read_bytes()
    for signatures in (b"", sign_policy(policy, ANNA), sign_policy(make_policy(version="9"))):
        (tmp_path / "policy.json.sig.json").write_bytes(signatures)
        with pytest.raises(errors.PolicyStateError, match=r"2 signatures in policy\.json\.sig\.json"):
            open_desk()
    (tmp_path / "policy.json.sig.json").unlink()
    with pytest.raises(errors.PolicyStateError, match=r"policy\.json\.sig\.json"):
        open_desk()


def test_a_log_signed_by_a_key_that_is_gone_stops_the_server(open_desk: Callable[[], Desk]) -> None:
    desk = open_desk()
    desk.overlay(1, BO, halted_products=["f000"])
    (desk.folder / "keys.json").write_bytes(keys_document(ANNA, CEM))
    with pytest.raises(errors.PolicyStateError, match=r"policy log line 1: .*bo-1"):
        open_desk()


def test_an_overlay_in_the_log_is_checked_again_when_it_is_read(open_desk: Callable[[], Desk]) -> None:
    desk = open_desk()
    document = make_overlay(1, halted_products=["f000"])
    signatures = sign_overlay(document, CEM, at=SIGNED_AT)
    desk.control.log.append(desk.clock.now(), ChangeKind.OVERLAY, document, signatures)
    with pytest.raises(errors.PolicyStateError, match=r"policy log line 2: .*cem-1"):
        open_desk()


def test_a_retired_key_counts_for_what_it_signed_before_and_for_nothing_after(
    open_desk: Callable[[], Desk],
) -> None:
    desk = open_desk()
    desk.overlay(1, halted_products=["f000"])
    keys = json.loads(keys_document())
    keys["keys"][0]["retired_at"] = (SIGNED_AT + timedelta(hours=1)).isoformat()
    (desk.folder / "keys.json").write_text(json.dumps(keys))
    desk = open_desk()
    assert desk.active.describe().overlay is not None
    document = make_overlay(2, halted_products=["f000", "f001"])
    # Whoever stole the key would give a date at which it was still good.
    for signed_at in (SIGNED_AT, SIGNED_AT + timedelta(hours=1)):
        signatures = sign_overlay(document, at=signed_at)
        with pytest.raises(errors.SignatureInvalidError, match="retired"):
            desk.active.set_overlay(ChangeQuery(document, signatures, "test"))
