"""Bundles replaced under an active policy: what came meanwhile is in force, and the old one is let go."""

import gc
import json
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.active_policy import ActivePolicy
from server.bundles.opener import Opener
from server.catalogue.changes import PatchQuery
from server.catalogue.state import CatalogueState
from server.clock import Clock
from server.config import Settings
from server.errors import BundleLogError
from server.family import Family
from server.snapshot import Snapshot, load_fit_policy
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.desk import Desk, desks
from tests.server.shelf import fill_shelf


@pytest.fixture
def opener(two_bundles: Path, tmp_path: Path) -> Opener:
    bundles = fill_shelf(two_bundles, tmp_path / "bundles")
    return Opener(Settings(bundles=bundles, allow_unsigned=True, retriever="exact"))


@pytest.fixture
def desk(opener: Opener, tmp_path: Path) -> Iterator[Desk]:
    """A desk that patches products, too."""
    first = opener.open("a", [load_fit_policy(None)]).versions[0][0]
    (tmp_path / "patches").mkdir()
    with desks(first, tmp_path) as open_desk, CatalogueState(tmp_path / "patches") as catalogue:
        made = open_desk()
        clock: Any = made.clock
        made.active = ActivePolicy([made.active.pin()], clock, made.control, clock, catalogue=catalogue)
        yield made


def open_beside(opener: Opener, active: ActivePolicy, version: str) -> Family:
    return opener.open(version, active.family.policies, active.family.versions[0])


def shows(snapshot: Snapshot, product_id: str) -> bool:
    user = snapshot.gate.admit(eligible_user(), NOW, CHANNEL, None)
    return not snapshot.gate.judge(user, np.array([snapshot.row_of[product_id]])).any()


def nothing() -> None:
    pass


def test_what_came_while_a_bundle_was_opened_is_in_force_from_its_first_answer(
    desk: Desk, opener: Opener
) -> None:
    active = desk.active
    first, second, third = sorted(name for name in desk.shown() if name.startswith("f"))[:3]
    made = open_beside(opener, active, "b")
    desk.overlay(1, halted_products=[first])
    active.patch_products(PatchQuery({second: {"status": "OFF"}}, None, "", "test"))
    desk.activate(version="2027.1", level_cap=5)
    active.replace_bundles(made, nothing)
    served = active.pin()
    assert (served.version, served.policy.version, served.catalogue_sequence) == ("b", "2027.1", 1)
    assert [shows(served, name) for name in (first, second, third)] == [False, False, True]
    # What comes afterwards reaches it, too.
    desk.overlay(2, halted_products=[first, third])
    assert not shows(active.pin(), third)


def test_a_request_that_began_before_is_decided_by_its_own_bundle(desk: Desk, opener: Opener) -> None:
    active = desk.active
    family, held = active.family, active.pin()
    active.replace_bundles(open_beside(opener, active, "b"), nothing)
    assert family.renew(held, NOW).version == "a"
    desk.overlay(1, halted_products=["f000"])
    assert not shows(held, "f000")


def test_a_change_that_cannot_be_written_down_leaves_the_old_bundle(desk: Desk, opener: Opener) -> None:
    def refuse() -> None:
        raise BundleLogError("the disk is full")

    before = desk.active.family
    with pytest.raises(BundleLogError):
        desk.active.replace_bundles(open_beside(opener, desk.active, "b"), refuse)
    assert desk.active.family is before
    desk.overlay(1, halted_products=["f000"])


def test_a_halt_does_not_wait_for_a_bundle_that_is_being_replaced(desk: Desk, opener: Opener) -> None:
    writing, halted = threading.Event(), threading.Event()

    def write_slowly() -> None:
        writing.set()
        assert halted.wait(120)

    made = open_beside(opener, desk.active, "b")
    thread = threading.Thread(target=desk.active.replace_bundles, args=(made, write_slowly))
    thread.start()
    assert writing.wait(120)
    desk.overlay(1, halted_products=["f000"])
    halted.set()
    thread.join()
    assert desk.active.pin().version == "b"
    assert not shows(desk.active.pin(), "f000")


def test_what_was_replaced_is_freed_without_a_collection_of_garbage(desk: Desk, opener: Opener) -> None:
    active, maps = desk.active, Path("/proc/self/maps")

    def count_maps() -> int:
        return maps.read_text().count("index.faiss")

    active.replace_bundles(open_beside(opener, active, "b"), nothing)
    before, gone = count_maps(), weakref.ref(active.pin().gate)
    freed: list[Callable[[], Any]] = [gone]
    gc.disable()
    try:
        for version in ("c", "b", "c", "b"):
            active.replace_bundles(open_beside(opener, active, version), nothing)
            freed.append(weakref.ref(active.pin().gate))
        assert [reference() is None for reference in freed] == [True, True, True, True, False]
        assert count_maps() == before
    finally:
        gc.enable()


def test_experiments_go_on_with_the_new_bundle_and_bundles_beside_it_are_not_opened_again(
    two_bundles: Path, tmp_path: Path
) -> None:
    bundles = fill_shelf(two_bundles, tmp_path / "bundles")
    variants = [{"name": "now", "share_bps": 5000}, {"name": "b", "share_bps": 5000, "bundle": "b"}]
    plan = {"experiments": [{"name": "tower", "salt": "a salt of it", "variants": variants}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    opener = Opener(
        Settings(
            bundles=bundles,
            allow_unsigned=True,
            experiments=tmp_path / "plan.json",
            pseudonym_keys=tmp_path / "keys.json",
        )
    )
    first = opener.open("a", [load_fit_policy(None)])
    (current,) = first.versions
    active = ActivePolicy(
        current[:1], Clock(NOW), others=[[each] for each in current[1:]], experiments=first.experiments
    )
    beside = active.pin(1).bundle
    active.replace_bundles(open_beside(opener, active, "c"), nothing)
    assert [active.pin(place).version for place in (0, 1)] == ["c", "b"]
    assert active.pin(1).bundle is beside
    # The variant's own bundle takes over: all are served by it, once.
    active.replace_bundles(open_beside(opener, active, "b"), nothing)
    family = active.family
    assert (family.place_count, family.experiments is not None) == (1, True)
    assert family.experiments is not None
    draws = [family.experiments.assign(bytes([number]), NOW) for number in range(20)]
    assert {draw.place for draw in draws} == {0}
    assert len({draw.variants for draw in draws}) == 2
