"""Patches in process: in force at once and after a restart, until a bundle says something newer."""

import dataclasses
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.bundle import Bundle
from server import active_policy, errors
from server.active_policy import ActivePolicy
from server.catalogue.changes import Outcome, PatchAnswer, PatchQuery
from server.catalogue.state import FILE_NAME, CatalogueState
from server.gate import find_eligible
from server.snapshot import CURRENT, Snapshot
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.desk import Desk, MovingClock, desks, open_tiny

ROWS = np.arange(60)


@dataclasses.dataclass
class Shop:
    """A server's state without its port: patches go in, products come out."""

    active: ActivePolicy
    clock: MovingClock

    def patch(self, key: str = "", expected: int | None = None, **products: dict[str, Any]) -> PatchAnswer:
        return self.active.patch_products(PatchQuery(products, expected, key, "test"))

    def outcomes(self, **products: dict[str, Any]) -> list[Outcome]:
        return [verdict.outcome for verdict in self.patch(**products).verdicts]

    def shown(self, place: int = CURRENT) -> set[str]:
        snapshot = self.active.pin(place)
        gate = snapshot.gate
        masks = gate.judge(gate.admit(eligible_user(4), NOW, CHANNEL, None), ROWS)
        return {snapshot.bundle.product_ids[row] for row in ROWS[find_eligible(masks)]}


@pytest.fixture(scope="module")
def snapshot(tiny_bundles: Path) -> Snapshot:
    return open_tiny(tiny_bundles)


@pytest.fixture
def open_shop(snapshot: Snapshot, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Opens one folder again and again, with the tiny bundle or another."""
    states: list[CatalogueState] = []

    def open_one(served: Snapshot = snapshot, *others: Snapshot) -> Shop:
        for state in states:
            state.close()
        states[:] = [CatalogueState(tmp_path)]
        clock = MovingClock()
        beside = [[other] for other in others]
        return Shop(ActivePolicy([served], clock, None, clock, beside, states[0]), clock)  # type: ignore[arg-type]

    yield open_one
    for state in states:
        state.close()


def test_a_tightened_product_is_gone_from_the_next_answer(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    before = shop.shown()
    assert {"f000", "f001", "f002", "p003", "c004"} <= before
    answer = shop.patch(
        f000={"level_distributor": 5, "risk_score": 10_000},
        f001={"capacity_left": 0},
        f002={"sale_end": NOW},
        p003={"licence_until": NOW},
        c004={"status": "SUSPENDED"},
    )
    assert [verdict.outcome for verdict in answer.verdicts] == [Outcome.APPLIED] * 5
    assert answer.sequence == shop.active.pin().catalogue_sequence == 1
    assert before - shop.shown() == {"f000", "f001", "f002", "p003", "c004"}
    columns, row = shop.active.pin().gate.columns, shop.active.pin().row_of["f000"]
    assert (columns.levels[row], columns.risk_scores[row]) == (5, 10_000)


def test_each_product_has_its_own_verdict_and_the_good_ones_are_kept(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    answer = shop.patch(
        nobody={"status": "CLOSED"},
        f006={"level_issuer": 1, "capacity_left": 0},
        f007={"status": "CLOSED"},
        f008={"status": "ON_SALE"},
    )
    outcomes = {verdict.product_id: verdict.outcome.name for verdict in answer.verdicts}
    assert outcomes == {
        "nobody": "PRODUCT_UNKNOWN",
        "f006": "REFUSED",
        "f007": "APPLIED",
        "f008": "UNCHANGED",
    }
    assert answer.verdicts[1].refusals[0].field == "level_issuer"
    assert {"f006", "f008"} <= shop.shown(), "a refused patch changes nothing of its product"
    assert shop.active.describe_catalogue().patches == {"f007": {"status": "CLOSED"}}


def test_nothing_is_written_where_nothing_changes(open_shop: Callable[..., Shop], tmp_path: Path) -> None:
    shop = open_shop()
    answer = shop.patch(f000={"status": "ON_SALE"}, nobody={"status": "CLOSED"})
    assert (answer.sequence, (tmp_path / FILE_NAME).read_bytes()) == (0, b"")


def test_facts_come_back_and_ratings_stay(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    shop.patch(f001={"capacity_left": 0, "status": "CLOSED", "level_issuer": 3})
    assert shop.outcomes(f001={"capacity_left": 10**8, "status": "ON_SALE"}) == [Outcome.APPLIED]
    assert "f001" in shop.shown()
    assert shop.outcomes(f001={"level_issuer": 2}) == [Outcome.REFUSED]
    assert shop.outcomes(f001={"level_issuer": 4}) == [Outcome.APPLIED]


def test_another_sequence_than_expected_changes_nothing(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    assert shop.patch(expected=0, f000={"capacity_left": 0}).sequence == 1
    with pytest.raises(errors.CatalogueSequenceError, match="has sequence 1, expected 0"):
        shop.patch(expected=0, f001={"capacity_left": 0})
    assert "f001" in shop.shown()


def test_a_repeated_call_is_answered_as_the_first_one(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    patch: dict[str, Any] = {"f000": {"capacity_left": 0}, "nobody": {"status": "CLOSED"}}
    first = shop.patch("key", **patch)
    shop.patch(f000={"capacity_left": 10**8})
    for again in (shop, open_shop()):
        assert again.patch("key", **patch) == dataclasses.replace(first, repeated=True)
        assert "f000" in again.shown(), "what came later holds"
        with pytest.raises(errors.IdempotencyKeyError):
            again.patch("key", f001={"capacity_left": 0})


def test_everything_accepted_holds_after_a_restart(open_shop: Callable[..., Shop]) -> None:
    shop = open_shop()
    shop.patch(f001={"capacity_left": 0}, f003={"level_issuer": 5})
    shop.patch(f001={"status": "CLOSED"})
    before = shop.shown(), shop.active.describe_catalogue()
    again = open_shop()
    assert (again.shown(), again.active.describe_catalogue()) == before
    assert again.active.pin().catalogue_sequence == 2


def _restated(snapshot: Snapshot, stated: Any, **rows: dict[str, Any]) -> Snapshot:
    """Returns a snapshot whose bundle says as of when its rows were stated."""
    products = snapshot.bundle.products

    class Rows:
        def read(self, row: int, name: str) -> Any:
            return stated if name == "stated_time" else products.rows.read(row, name)

    bundle = _BundleView(snapshot.bundle, Rows(), rows)
    return dataclasses.replace(snapshot, bundle=bundle)  # type: ignore[arg-type]


class _BundleView:
    def __init__(self, bundle: Bundle, rows: Any, changes: dict[str, dict[str, Any]]) -> None:
        self._bundle, self.changes = bundle, changes
        self.products = self
        self.rows = rows

    def row(self, item_row: int) -> Any:
        row = self._bundle.products.row(item_row)
        return {**row, **self.changes.get(row["id"], {})}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bundle, name)


@pytest.mark.parametrize(
    ("stated", "binds"),
    [
        (None, True),
        (NOW - timedelta(seconds=1), True),
        (NOW, True),
        (NOW + timedelta(seconds=1), False),
        ("tomorrow", True),
    ],
)
def test_a_patch_binds_until_a_bundle_says_something_newer(
    open_shop: Callable[..., Shop], snapshot: Snapshot, stated: Any, binds: bool
) -> None:
    open_shop().patch(f001={"capacity_left": 0})
    later = dataclasses.replace(
        snapshot.bundle,
        manifest=dataclasses.replace(
            snapshot.bundle.manifest, create_time=(NOW + timedelta(days=1)).isoformat()
        ),
    )
    shop = open_shop(_restated(dataclasses.replace(snapshot, bundle=later), stated))
    assert ("f001" not in shop.shown()) == binds
    assert len(shop.active.describe_catalogue().patches) == binds


def test_no_bundle_is_newer_than_when_it_was_built(
    open_shop: Callable[..., Shop], snapshot: Snapshot
) -> None:
    open_shop().patch(f001={"capacity_left": 0})
    built = dataclasses.replace(
        snapshot.bundle,
        manifest=dataclasses.replace(
            snapshot.bundle.manifest, create_time=(NOW - timedelta(days=1)).isoformat()
        ),
    )
    shop = open_shop(_restated(dataclasses.replace(snapshot, bundle=built), NOW + timedelta(days=9)))
    assert "f001" not in shop.shown()


def test_an_older_bundle_that_is_stricter_stays_so(
    open_shop: Callable[..., Shop], snapshot: Snapshot
) -> None:
    open_shop().patch(f001={"level_issuer": 3, "capacity_left": 10**8})
    stricter = _restated(snapshot, None, f001={"level_issuer": 4, "capacity_left": 5})
    shop = open_shop(stricter)
    row = shop.active.pin().row_of["f001"]
    assert shop.active.pin().gate.columns.levels[row] == 4
    assert "f001" not in shop.shown()


def test_a_patch_that_says_what_one_bundle_says_still_tightens_another(
    open_shop: Callable[..., Shop], snapshot: Snapshot
) -> None:
    suspended = _restated(snapshot, None, f001={"status": "SUSPENDED"})
    shop = open_shop(suspended, dataclasses.replace(snapshot, place=1))
    assert "f001" in shop.shown(1)
    assert shop.outcomes(f001={"status": "SUSPENDED"}) == [Outcome.APPLIED]
    assert "f001" not in shop.shown(1)
    assert shop.outcomes(f001={"status": "SUSPENDED"}) == [Outcome.UNCHANGED]


def test_a_patch_that_changes_nothing_now_holds_after_a_rollback(
    open_shop: Callable[..., Shop], snapshot: Snapshot
) -> None:
    suspended = _restated(snapshot, None, f001={"status": "SUSPENDED"}, f002={"level_issuer": 4})
    shop = open_shop(suspended)
    unchanged = {"f001": {"status": "SUSPENDED"}, "f002": {"level_issuer": 4}, "f003": {"status": "ON_SALE"}}
    assert shop.outcomes(**unchanged) == [Outcome.UNCHANGED] * 3
    assert set(shop.active.describe_catalogue().patches) == {"f001", "f002"}, (
        "no patch is needed to be on sale"
    )
    assert shop.patch(**unchanged).sequence == 1, "what binds already is kept once"
    rolled_back = open_shop(snapshot)
    assert "f001" not in rolled_back.shown()
    columns, row = rolled_back.active.pin().gate.columns, rolled_back.active.pin().row_of["f002"]
    assert columns.levels[row] == 4


def test_a_patch_that_would_loosen_any_bundle_served_is_refused(
    open_shop: Callable[..., Shop], snapshot: Snapshot
) -> None:
    later = dataclasses.replace(
        snapshot.bundle,
        manifest=dataclasses.replace(
            snapshot.bundle.manifest, create_time=(NOW + timedelta(days=2)).isoformat()
        ),
    )
    # The patch of before binds on the variant alone: the current bundle was stated after it.
    open_shop().patch(f001={"level_issuer": 5})
    current = _restated(dataclasses.replace(snapshot, bundle=later), NOW + timedelta(days=1))
    shop = open_shop(current, dataclasses.replace(snapshot, place=1))
    before = shop.active.pin(1).gate.columns.levels.copy()
    assert shop.outcomes(f001={"level_issuer": 4}) == [Outcome.REFUSED]
    np.testing.assert_array_equal(shop.active.pin(1).gate.columns.levels, before)


def test_without_a_folder_every_patch_is_refused(snapshot: Snapshot) -> None:
    clock: Any = MovingClock()
    shop = Shop(ActivePolicy([snapshot], clock), clock)
    with pytest.raises(errors.CatalogueOffError, match="catalogue_state"):
        shop.patch(f000={"capacity_left": 0})
    assert not shop.active.describe_catalogue().accepts_patches


def test_what_cannot_be_stored_is_not_in_force(
    open_shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = open_shop()

    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", fail)
        with pytest.raises(errors.CatalogueLogError, match="No space left"):
            shop.patch("key", f000={"capacity_left": 0})
    assert "f000" in shop.shown()
    assert shop.patch("key", f000={"capacity_left": 0}).sequence == 1
    assert "f000" not in shop.shown()


@pytest.mark.parametrize(
    "document",
    [
        {"products": {"f000": {"title": "x"}}},
        {"products": {"f000": {"level_issuer": "5"}}},
        {"products": {"f000": {"level_issuer": True}}},
        {"products": ["f000"]},
        {},
    ],
)
def test_a_record_that_is_no_patch_stops_the_server(tmp_path: Path, document: dict[str, Any]) -> None:
    with CatalogueState(tmp_path) as state:
        whole = {"products": {}, "idempotency_key": "", "request_hash": "", "verdicts": "[]"}
        body = document and whole | document
        state.chain.append({"time": NOW.isoformat(), "document": json.dumps(body)})
    with pytest.raises(errors.CatalogueStateError, match="line 1 is no patch"):
        CatalogueState(tmp_path)


def test_a_version_compiled_while_a_patch_came_has_the_patch(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with desks(snapshot, tmp_path) as open_desk, CatalogueState(tmp_path) as state:
        desk: Desk = open_desk()
        active = ActivePolicy(
            [desk.active.pin()],
            desk.clock,
            desk.control,
            MovingClock(),
            catalogue=state,  # type: ignore[arg-type]
        )
        desk.active = active
        compiling, patched = threading.Event(), threading.Event()
        compile_all = active_policy.all_under_policy

        def compile_slowly(*arguments: Any) -> Any:
            found = compile_all(*arguments)
            compiling.set()
            assert patched.wait(120)
            return found

        monkeypatch.setattr(active_policy, "all_under_policy", compile_slowly)
        thread = threading.Thread(target=desk.activate, kwargs={"version": "2027.1"})
        thread.start()
        assert compiling.wait(120)
        desk.overlay(1, halted_products=["f002"])
        active.patch_products(PatchQuery({"f001": {"capacity_left": 0}}, None, "", "test"))
        patched.set()
        thread.join()
        pinned = active.pin()
        assert pinned.policy.version == "2027.1"
        assert pinned.catalogue_sequence == 1
        assert {"f001", "f002"}.isdisjoint(Shop(active, desk.clock).shown())
