"""A gate with patched rows is that of the patched catalogue, and the filter lets all of it through."""

import numpy as np
import pytest

from server.catalogue.patches import tighten
from server.filter import Filter
from server.gate import Gate, find_eligible
from server.row_bits import unpack
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users, eligible_product, eligible_user
from tests.server.judging import DEFAULT, make_overlay
from tests.server.test_patches import draw_patch

COUNT = 257


@pytest.fixture(scope="module")
def catalogue() -> tuple[list[dict[str, object]], list[dict[str, object]], np.ndarray]:
    """Products, the same patched, and the rows that a patch changed."""
    random = np.random.default_rng(7)
    products = [eligible_product(f"e{place:03}") for place in range(64)]
    products += draw_products(random, COUNT - 64)
    rows = np.sort(random.choice(COUNT, 101, replace=False)).astype(np.int64)
    patched = list(products)
    for row in rows.tolist():
        patched[row] = tighten(products[row], draw_patch(random), DEFAULT)
    return products, patched, rows


def test_a_patched_gate_is_the_gate_of_the_patched_catalogue(catalogue: tuple) -> None:
    products, patched, rows = catalogue
    overlay = make_overlay(halted_products=["e003"], level_cap=3)
    before = Gate(products, DEFAULT)
    before.set_overlay(overlay)
    given = before.patched(rows, [patched[row] for row in rows.tolist()])
    whole = Gate(patched, DEFAULT)
    whole.set_overlay(overlay)
    every = np.arange(COUNT)
    for name in ("rated", "needed_limit", "levels", "risk_scores", "scales", "financial", "illiquid"):
        np.testing.assert_array_equal(getattr(given.columns, name), getattr(whole.columns, name))
    users = [eligible_user(level) for level in range(6)] + draw_users(np.random.default_rng(8), 40)
    different_count = 0
    for user in users:
        mine, theirs = (gate.admit(user, NOW, CHANNEL, 7_000) for gate in (given, whole))
        masks = given.judge(mine, every)
        np.testing.assert_array_equal(masks, whole.judge(theirs, every))
        different_count += int((masks != before.judge(mine, every)).sum())
        assert mine.row_stop == theirs.row_stop
        shown = every[find_eligible(masks)]
        assert given.find_valid_until(mine, shown) == whole.find_valid_until(theirs, shown)
        assert given.find_warnings(mine, shown, ()) == whole.find_warnings(theirs, shown, ())
    assert different_count > 100
    assert given.overlay is overlay


def test_the_gate_before_stays_as_it_was(catalogue: tuple) -> None:
    products, patched, rows = catalogue
    gate = Gate(products, DEFAULT)
    records = gate.columns.records.copy()
    gate.patched(rows, [patched[row] for row in rows.tolist()])
    np.testing.assert_array_equal(gate.columns.records, records)


def test_the_bundle_s_filter_lets_every_eligible_product_through(catalogue: tuple) -> None:
    products, patched, rows = catalogue
    before = Gate(products, DEFAULT)
    kept = Filter(products, before.columns, DEFAULT)
    gate = before.patched(rows, [patched[row] for row in rows.tolist()])
    every, eligible_count = np.arange(COUNT), 0
    for level in range(6):
        user = gate.admit(eligible_user(level), NOW, CHANNEL, None)
        eligible = find_eligible(gate.judge(user, every))
        allowed = unpack(kept.allow(user.profile, user.arrays, NOW, CHANNEL), COUNT)
        assert not (eligible & ~allowed).any()
        assert not eligible[user.row_stop :].any()
        eligible_count += int(eligible.sum())
    assert eligible_count > 50
