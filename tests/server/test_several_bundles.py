"""Several bundles under one policy: what officers change reaches all of them at once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.active_policy import ActivePolicy
from server.family import live_policies
from server.snapshot import Snapshot, load_fit_policy, open_snapshot
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.desk import Desk, MovingClock, desks

OTHER = 1


@pytest.fixture(scope="module")
def snapshots(two_bundles: Path) -> tuple[Snapshot, Snapshot]:
    """Two bundles of one catalogue; the first is current."""
    settings: dict[str, Any] = {"device": "cpu", "thread_count": 1, "retriever": "exact"}
    settings["allow_assumed"] = False
    policy = load_fit_policy(None)
    current = open_snapshot(two_bundles, policy, **settings)
    other = open_snapshot(two_bundles, policy, **settings, version="new")
    return current, replace(other, place=OTHER)


@pytest.fixture
def desk(snapshots: tuple[Snapshot, Snapshot], tmp_path: Path) -> Iterator[Desk]:
    with desks(snapshots[0], tmp_path) as open_desk:
        made = open_desk()
        made.active = ActivePolicy(
            snapshots[:1], made.clock, made.control, MovingClock(), others=[snapshots[1:]]
        )
        yield made


def shown(active: ActivePolicy, place: int) -> set[str]:
    snapshot = active.pin(place)
    gate, rows = snapshot.gate, np.arange(snapshot.bundle.products.count)
    masks = gate.judge(gate.admit(eligible_user(), NOW, CHANNEL, None), rows)
    return {snapshot.bundle.product_ids[row] for row in rows[~masks.any(axis=1)]}


def test_each_place_has_its_own_bundle(snapshots: tuple[Snapshot, Snapshot], desk: Desk) -> None:
    assert [desk.active.pin(place).version for place in (0, OTHER)] == ["old", "new"]
    assert snapshots[0].version == "old"
    assert desk.active.pin().bundle is snapshots[0].bundle


def test_an_overlay_halts_a_product_in_every_bundle(desk: Desk) -> None:
    halted = sorted(shown(desk.active, OTHER))[0]
    desk.overlay(1, halted_products=[halted])
    for place in (0, OTHER):
        assert halted not in shown(desk.active, place)


def test_a_request_that_holds_an_older_version_of_another_bundle_is_halted_too(desk: Desk) -> None:
    held = desk.active.pin(OTHER)
    desk.activate(version="2027.1")
    assert desk.active.pin(OTHER) is not held
    desk.overlay(1, halted_products=["f000"])
    row = np.array([held.row_of["f000"]])
    assert held.gate.judge(held.gate.admit(eligible_user(), NOW, CHANNEL, None), row).any()


def test_an_activated_version_is_in_force_for_every_bundle_and_keeps_the_overlay(desk: Desk) -> None:
    desk.overlay(1, halted_products=["f000"])
    desk.activate(version="2027.1", level_cap=1)
    for place in (0, OTHER):
        snapshot = desk.active.pin(place)
        assert snapshot.policy.version == "2027.1"
        assert snapshot.gate.overlay == desk.control.history.overlay
        levels = {snapshot.gate.columns.levels[snapshot.row_of[name]] for name in shown(desk.active, place)}
        assert levels == {None, 1}
    assert [policy.version for policy in live_policies(desk.control.history.policies, NOW)] == ["2027.1"]


def test_a_pinned_snapshot_is_renewed_as_the_bundle_that_it_is(desk: Desk) -> None:
    held = desk.active.pin(OTHER)
    desk.activate(version="2027.1", level_cap=1)
    renewed = desk.active.family.renew(held, NOW)
    assert renewed.bundle is held.bundle
    assert renewed.policy.version == "2027.1"
