"""Changes of policy and overlay in process: what is refused and why, what takes over and when."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from server import errors
from server import snapshot as snapshot_module
from server.active_policy import ActivePolicy
from server.family import live_policies
from server.messages import ChangeQuery
from server.row_bits import unpack
from server.snapshot import Snapshot, under_policy
from server.status import TABLE
from suitability.policy import Policy, load_policy
from suitability.signatures import Purpose
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.desk import SIGNED_AT, Desk, MovingClock, desks, open_tiny
from tests.server.officers import (
    ANNA,
    BO,
    CEM,
    make_overlay,
    make_policy,
    sign_overlay,
)


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_tiny(tiny_bundles)


@pytest.fixture
def open_desk(snapshot: Snapshot, tmp_path: Path) -> Iterator[Callable[[], Desk]]:
    with desks(snapshot, tmp_path) as opened:
        yield opened


@pytest.fixture
def desk(open_desk: Callable[[], Desk]) -> Desk:
    return open_desk()


def test_an_overlay_takes_products_and_issuers_away_until_two_people_lift_it(desk: Desk) -> None:
    before = desk.shown()
    halted = sorted(before)[0]
    desk.overlay(1, halted_products=[halted])
    assert desk.shown() == before - {halted}
    issuer = next(row["issuer"] for row in desk.active.pin().bundle.products.rows if row["id"] in before)
    desk.overlay(2, halted_products=[halted], halted_issuers=[issuer])
    after = desk.shown()
    assert after < before - {halted}
    with pytest.raises(errors.OverlayLooserError, match="2 signatures to loosen"):
        desk.overlay(3)
    with pytest.raises(errors.SignatureInvalidError, match="2 different people"):
        desk.overlay(3, ANNA, purpose=Purpose.LOOSEN)
    assert desk.shown() == after
    desk.overlay(3, ANNA, BO, purpose=Purpose.LOOSEN)
    assert desk.shown() == before


REFUSED: dict[str, tuple[type[errors.ServerError], str, Callable[[Desk], Any]]] = {
    "old sequence": (errors.OverlaySequenceOldError, "above 5", lambda desk: desk.overlay(4, level_cap=1)),
    "same sequence": (errors.OverlaySequenceOldError, "above 5", lambda desk: desk.overlay(5, level_cap=1)),
    "far sequence": (
        errors.PolicyUnfitError,
        "at most 1005, got 1006",
        lambda desk: desk.overlay(1006, level_cap=1),
    ),
    "last sequence": (
        errors.PolicyUnfitError,
        "sequence",
        lambda desk: desk.overlay(2**53 - 1, level_cap=1),
    ),
    "higher cap": (errors.OverlayLooserError, "loosen", lambda desk: desk.overlay(6, level_cap=4)),
    "no cap": (errors.OverlayLooserError, "loosen", lambda desk: desk.overlay(6)),
    "unknown key": (errors.SignatureInvalidError, "cem-1", lambda desk: desk.overlay(6, CEM, level_cap=1)),
    "wrong purpose": (
        errors.SignatureInvalidError,
        "tighten",
        lambda desk: desk.overlay(6, ANNA, BO, purpose=Purpose.LOOSEN, level_cap=1),
    ),
    "other policy": (
        errors.PolicyUnfitError,
        "another policy",
        lambda desk: desk.overlay(6, policy_id="someone-else", level_cap=1),
    ),
    "old version": (errors.PolicyVersionOldError, "above", lambda desk: desk.activate(version="2026.9.9")),
    "same version": (
        errors.PolicyVersionOldError,
        "above",
        lambda desk: desk.activate(horizon__buffer_months=1),
    ),
    "one signer": (
        errors.SignatureInvalidError,
        "2 diff",
        lambda desk: desk.activate(ANNA, version="2027.1"),
    ),
    "unfit": (
        errors.PolicyUnfitError,
        "elder.age",
        lambda desk: desk.activate(version="2027.1", elder__age=66),
    ),
    "no version": (errors.PolicyUnfitError, "version", lambda desk: desk.activate(version="next")),
    "other identity": (
        errors.PolicyUnfitError,
        "policy_id",
        lambda desk: desk.activate(version="2027.1", policy_id="someone-else"),
    ),
    "over already": (
        errors.PolicyUnfitError,
        "effective_to",
        lambda desk: desk.activate(version="2027.1", effective_to="2026-11-22T09:00:00Z"),
    ),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_refused_change_says_why_and_leaves_everything_as_it_was(desk: Desk, name: str) -> None:
    desk.overlay(5, level_cap=2)
    before = desk.state()
    kind, words, change = REFUSED[name]
    with structlog.testing.capture_logs() as logs, pytest.raises(kind, match=words):
        change(desk)
    assert desk.state() == before
    assert [(line["event"], line["log_level"]) for line in logs] == [("change refused", "warning")]
    assert (logs[0]["reason"], logs[0]["request_id"]) == (TABLE[kind].reason, "test")


def test_a_signature_of_another_document_or_of_a_year_ago_authorises_nothing(desk: Desk) -> None:
    document, other = make_overlay(1, level_cap=1), make_overlay(1, level_cap=2)
    before = desk.state()
    for signatures, words in (
        (sign_overlay(other, at=SIGNED_AT), "another"),
        (sign_overlay(document, at=NOW - timedelta(days=31)), "stale"),
        (sign_overlay(document, at=NOW + timedelta(days=1)), "future"),
    ):
        with pytest.raises(errors.SignatureInvalidError, match=words):
            desk.active.set_overlay(ChangeQuery(document, signatures, "test"))
    assert desk.state() == before


@pytest.mark.parametrize(
    ("document", "signatures", "named"),
    [
        (b"", b"{}", "overlay_document"),
        (b"sequence: 1", b"{}", "overlay_document"),
        (b'{"%s":1,"%s":2}' % (b"k" * 400_000, b"k" * 400_000), b"{}", "overlay_document"),
        (make_overlay(1)[:-1] + b',"sequence":2}', b"{}", "overlay_document"),
        (make_overlay(1)[:-1] + b',"loosen":true}', b"{}", "overlay_document"),
        (make_overlay(1), b"", "signature_document"),
        (make_overlay(1), b'{"schema":"suitability-signatures/1"}', "signature_document"),
    ],
)
def test_a_malformed_document_is_refused_by_the_name_of_its_field(
    desk: Desk, document: bytes, signatures: bytes, named: str
) -> None:
    before = desk.state()
    with pytest.raises(errors.InvalidArgumentError) as caught:
        desk.active.set_overlay(ChangeQuery(document, signatures, "test"))
    assert caught.value.field == named
    assert len(str(caught.value)) < 400
    assert desk.state() == before


def test_a_change_that_cannot_be_stored_does_not_take_effect(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise errors.PolicyLogError("the disk is full")

    before = desk.state()
    monkeypatch.setattr(desk.control.log, "append", fail)
    with pytest.raises(errors.PolicyLogError):
        desk.overlay(1, level_cap=1)
    with pytest.raises(errors.PolicyLogError):
        desk.activate(version="2027.1")
    assert desk.state() == before


def test_a_version_that_comes_while_another_is_compiled_is_sent_away_and_a_halt_is_not(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def compile_slowly(snapshot: Snapshot, policy: Policy) -> Snapshot:
        # Waiting here would hold one of the few threads that a halt can come in by.
        with pytest.raises(errors.OverloadError, match="being activated"):
            desk.activate(version="2027.2")
        desk.overlay(1, halted_products=["f000"])
        seen.append(policy.version)
        return under_policy(snapshot, policy)

    monkeypatch.setattr(snapshot_module, "under_policy", compile_slowly)
    desk.activate(version="2027.1")
    assert seen == ["2027.1"]
    assert desk.active.pin().gate.overlay == desk.active.describe().overlay is not None
    assert "f000" not in desk.shown()


def test_a_server_without_keys_refuses_every_change(snapshot: Snapshot) -> None:
    active = ActivePolicy([snapshot], MovingClock())
    document = make_overlay(1, level_cap=1)
    query = ChangeQuery(document, sign_overlay(document), "test")
    for change in (active.set_overlay, active.activate):
        with pytest.raises(errors.PolicyKeysMissingError, match="policy_keys"):
            change(query)
    assert not active.describe().signature_required


def test_a_version_is_in_force_at_once_and_the_overlay_stays_on_it(desk: Desk) -> None:
    before = desk.shown()
    halted = sorted(before)[0]
    desk.overlay(1, halted_products=[halted], level_cap=4)
    with structlog.testing.capture_logs() as logs:
        answer = desk.activate(version="2027.1", level_cap=2)
    assert (answer.scheduled, answer.effective_time) == (False, NOW)
    assert desk.active.pin().policy.version == "2027.1"
    # The policy's own cap is the lower one, and an overlay may not raise it.
    assert set() < desk.shown() < before - {halted}
    levels = desk.active.pin().gate.columns.levels
    row_of = desk.active.pin().row_of
    assert max(levels[row_of[name]] or 0 for name in desk.shown()) == 2
    assert [(line["event"], line["kind"], line["signers"]) for line in logs] == [
        ("change accepted", "activate", [ANNA, BO])
    ]


def test_a_halt_of_what_the_bundle_lacks_is_accepted_and_named(desk: Desk) -> None:
    row = desk.active.pin().bundle.products.rows[0]
    known: dict[str, Any] = {"halted_products": [row["id"]], "halted_issuers": [row["issuer"]]}
    with structlog.testing.capture_logs() as logs:
        answer = desk.overlay(1, **known)
    assert (answer.unknown_products, answer.unknown_issuers) == ((), ())
    assert [line["log_level"] for line in logs] == ["info"]
    misspelt: dict[str, Any] = {name: [*value, "zz", "aa"] for name, value in known.items()}
    with structlog.testing.capture_logs() as logs:
        answer = desk.overlay(2, **misspelt)
    assert (answer.unknown_products, answer.unknown_issuers) == (("aa", "zz"), ("aa", "zz"))
    assert (logs[1]["log_level"], logs[1]["products"], logs[1]["issuers"]) == (
        "warning",
        ("aa", "zz"),
        ("aa", "zz"),
    )
    assert desk.active.pin().gate.overlay == answer.overlay


def test_a_version_names_the_waiting_ones_that_it_replaces(desk: Desk) -> None:
    for month in (1, 2, 3):
        answer = desk.activate(version=f"2027.{month}", effective_from=f"2027-{month:02}-01T00:00:00Z")
        assert answer.replaced_versions == ()
    with structlog.testing.capture_logs() as logs:
        answer = desk.activate(version="2027.4", effective_from="2027-02-01T00:00:00Z")
    assert answer.replaced_versions == ("2027.2", "2027.3")
    assert [line["versions"] for line in logs if line["log_level"] == "warning"] == [("2027.2", "2027.3")]
    assert desk.activate(version="2027.5").replaced_versions == ("2027.1", "2027.4")
    # What was in force is followed, not replaced.
    assert desk.activate(version="2027.6").replaced_versions == ()


def test_an_overlay_above_the_cap_of_the_policy_is_refused(desk: Desk) -> None:
    desk.activate(version="2027.1", level_cap=2)
    before = desk.state()
    with pytest.raises(errors.PolicyUnfitError, match="at most the policy's 2, got 4"):
        desk.overlay(1, level_cap=4)
    assert desk.state() == before
    desk.overlay(1, level_cap=2)


def test_a_halt_reaches_a_request_that_holds_the_version_before(desk: Desk) -> None:
    held = desk.active.pin()
    desk.activate(version="2027.1")
    assert desk.active.pin() is not held
    desk.overlay(1, halted_products=["f000"])
    assert held.gate.overlay == desk.active.pin().gate.overlay
    assert held.gate.overlay is not None


def test_a_scheduled_version_takes_over_at_its_instant(desk: Desk) -> None:
    start = NOW + timedelta(days=3)
    answer = desk.activate(version="2027.1", effective_from=start.isoformat(), level_cap=1)
    assert (answer.scheduled, answer.effective_time) == (True, start)
    assert [policy.version for policy in desk.active.describe().scheduled] == ["2027.1"]
    desk.overlay(1, halted_products=["f000"])
    desk.clock.moment = start - timedelta(microseconds=1)
    assert desk.active.pin().policy.version == "2026.11.0"
    desk.clock.moment = start
    assert desk.active.pin().policy.version == "2027.1"
    assert desk.active.pin().gate.overlay == desk.active.describe().overlay
    assert desk.active.describe().scheduled == ()


def test_an_older_version_cannot_be_activated_while_a_newer_one_is_scheduled(desk: Desk) -> None:
    desk.activate(version="2027.5", effective_from="2027-05-01T00:00:00Z")
    with pytest.raises(errors.PolicyVersionOldError, match=r"2027\.5"):
        desk.activate(version="2027.4")


def test_only_so_many_versions_may_be_scheduled(desk: Desk) -> None:
    for month in range(1, 9):
        desk.activate(version=f"2027.{month}", effective_from=f"2027-{month:02}-01T00:00:00Z")
    with pytest.raises(errors.PolicyUnfitError, match="at most 8"):
        desk.activate(version="2027.9", effective_from="2027-09-01T00:00:00Z")
    # One that takes the place of others is no further one.
    desk.activate(version="2027.10", effective_from="2027-02-01T00:00:00Z")
    assert [policy.version for policy in desk.active.describe().scheduled] == ["2027.1", "2027.10"]


def version(number: str, start: str) -> Policy:
    return load_policy(make_policy(version=number, effective_from=f"{start}T00:00:00Z"))


def test_a_later_version_takes_the_place_of_what_would_come_after_it() -> None:
    past, june, may, now = (
        version("1", "2026-01-01"),
        version("2", "2027-06-01"),
        version("3", "2027-05-01"),
        version("4", "2026-02-01"),
    )
    assert live_policies([past], NOW) == (past,)
    assert live_policies([past, june], NOW) == (past, june)
    assert live_policies([past, june, may], NOW) == (past, may)
    assert live_policies([past, june, may, now], NOW) == (now,)
    assert live_policies([past, june, may], datetime(2027, 5, 1, tzinfo=UTC)) == (may,)
    assert live_policies([june], NOW) == (june,)


def test_a_policy_that_orders_rows_differently_is_still_answered_in_full(desk: Desk) -> None:
    """The risk prefix comes from each policy by a running minimum; only its length may suffer."""
    changes = {"risk_score__derive_from_level__CN5": [9500, 9600, 9700, 9800, 9900]}
    desk.activate(version="2027.1", **changes)
    snapshot = desk.active.pin()
    rows = np.arange(snapshot.bundle.products.count)
    scores = [score for score in snapshot.gate.columns.risk_scores if score is not None]
    assert scores != sorted(scores)
    shown_count = 0
    for risk_level in range(1, 6):
        profile = eligible_user(risk_level)
        user = snapshot.gate.admit(profile, NOW, CHANNEL, None)
        eligible = ~snapshot.gate.judge(user, rows).any(axis=1)
        assert not eligible[user.row_stop :].any()
        allowed = unpack(snapshot.filter.allow(profile, user.arrays, NOW, CHANNEL), len(rows))
        assert not (eligible & ~allowed).any()
        shown_count += int(eligible.sum())
    assert shown_count > 5 * snapshot.bundle.learning_count
