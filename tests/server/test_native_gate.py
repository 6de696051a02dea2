"""The kernel's gate refuses whatever is not exactly right, and names it, before it judges anything."""

from typing import Any

import numpy as np
import pytest

from server import native
from server.columns import PRODUCT_DTYPE
from server.gate import as_bytes
from server.user_record import USER_DTYPE

ROW_COUNT = 5
WORD_COUNT = 7
STARTS = np.array([0, 1, 2, 2, 4, 6, 7])


def make_products(**values: Any) -> np.ndarray:
    products = np.zeros(ROW_COUNT, PRODUCT_DTYPE)
    for name, value in values.items():
        products[name] = value
    return products


def make_catalogue(products: np.ndarray | None = None, sets: Any = None, starts: Any = STARTS) -> Any:
    if sets is None:
        sets = np.zeros((ROW_COUNT, WORD_COUNT), np.uint64)
    return native.Catalogue(as_bytes(make_products() if products is None else products), sets, starts)


def make_arguments(**changes: Any) -> dict[str, Any]:
    """Returns valid arguments of the gate, for two users and four pairs, with some of them changed."""
    users = np.zeros(2, USER_DTYPE)
    users["held_issuer_stop"], users["held_group_stop"] = 3, 2
    fields = {name: changes.pop(name) for name in list(changes) if name in (USER_DTYPE.names or ())}
    for name, value in fields.items():
        users[name] = value
    arguments: dict[str, Any] = {
        "users": as_bytes(users),
        "user_sets": np.zeros((2, WORD_COUNT), np.uint64),
        "held_issuers": np.array([[1, 0], [2, 0], [4, 0]]),
        "held_groups": np.array([0, 7]),
        "halted": np.zeros(ROW_COUNT, np.uint8),
        "level_cap": native.LEVEL_CAP_NONE,
        "user_of_pair": np.array([0, 1, 1, 0]),
        "rows": np.array([0, 4, 4, 2]),
    }
    return arguments | changes


def call(catalogue: Any = None, **changes: Any) -> np.ndarray:
    arguments = make_arguments(**changes)
    users = tuple(arguments.pop(name) for name in ("users", "user_sets", "held_issuers", "held_groups"))
    return native.gate(make_catalogue() if catalogue is None else catalogue, users, **arguments)


def test_valid_arguments_give_a_mask_for_each_pair() -> None:
    masks = call()
    assert masks.shape == (4, 2)
    assert masks.dtype == np.uint64
    assert (masks[1] == masks[2]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": np.array([0, 5, 1, 1])}, "rows: row 5 at position 1; expected 0 <= row < 5"),
        ({"rows": np.array([0, -1, 1, 1])}, "rows: row -1 at position 1"),
        ({"rows": np.array([0, 1, 1])}, "user_of_pair: length 4 on axis 0; expected 3"),
        ({"rows": np.zeros(4, np.int32)}, "rows: wrong dtype; expected int64"),
        ({"rows": np.zeros((4, 1), np.int64)}, "rows: 2 dimensions; expected 1"),
        ({"rows": np.zeros(8, np.int64)[::2]}, "rows: not C-contiguous"),
        ({"user_of_pair": np.array([0, 2, 0, 0])}, "user_of_pair: 2 at position 1; expected 0 to 1"),
        ({"user_of_pair": np.array([0, -1, 0, 0])}, "user_of_pair: -1 at position 1"),
        ({"halted": np.zeros(4, np.uint8)}, "halted: length 4 on axis 0; expected 5"),
        ({"halted": np.zeros(5, np.bool_)}, "halted: wrong dtype; expected uint8"),
        ({"level_cap": -1}, "level_cap: -1"),
        ({"level_cap": 128}, "level_cap: 128"),
        ({"users": np.zeros((2, 119), np.uint8)}, "users: length 119 on axis 1; expected 120"),
        ({"users": np.zeros(240, np.uint8)}, "users: 1 dimensions; expected 2"),
        ({"user_sets": np.zeros((2, 6), np.uint64)}, "user_sets: length 6 on axis 1; expected 7"),
        ({"user_sets": np.zeros((1, 7), np.uint64)}, "user_sets: length 1 on axis 0; expected 2"),
        ({"user_sets": np.zeros((2, 7), np.int64)}, "user_sets: wrong dtype; expected uint64"),
        ({"user_sets": np.zeros((7, 2), np.uint64).T}, "user_sets: not C-contiguous"),
        ({"held_issuers": np.zeros((3, 3), np.int64)}, "held_issuers: length 3 on axis 1; expected 2"),
        (
            {"held_issuers": np.array([[2, 0], [1, 0], [4, 0]])},
            "held_issuers: not ascending: 1 at position 1",
        ),
        (
            {"held_issuers": np.array([[1, 0], [1, 0], [4, 0]])},
            "held_issuers: not ascending: 1 at position 1",
        ),
        ({"held_issuers": np.array([[-1, 0], [1, 0], [4, 0]])}, "held_issuers: not ascending: -1"),
        ({"held_groups": np.array([7, 7])}, "held_groups: not ascending: 7 at position 1"),
        ({"held_groups": np.array([-2, 7])}, "held_groups: not ascending: -2 at position 0"),
        ({"held_issuer_stop": 4}, "held_issuers: stop of a user: 4 at position 0; expected 0 to 3"),
        ({"held_issuer_start": -1}, "held_issuers: start of a user: -1"),
        ({"held_issuer_start": 3, "held_issuer_stop": 2}, "held_issuers: start of a user: 3"),
        ({"held_group_stop": 3}, "held_groups: stop of a user: 3 at position 0; expected 0 to 2"),
        ({"held_group_start": 2**31 - 1}, "held_groups: start of a user"),
        ({"system_code": 85}, "users: code: 85 at position 0; expected 0 to 84"),
        ({"income_code": 255}, "users: code: 255"),
        ({"needs_code": [0, 85]}, "users: code: 85 at position 1"),
        ({"risk_level": 6}, "users: risk_level: 6"),
        ({"risk_level": -1}, "users: risk_level: -1"),
        ({"limited": 2}, "users: flag: 2"),
        ({"us_person": 255}, "users: flag: 255"),
    ],
)
def test_a_wrong_argument_is_refused_and_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(native.KernelInputError, match=message):
        call(**changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"status_code": 85}, "products: code: 85 at position 0"),
        ({"needs_code": [0, 0, 0, 255, 0]}, "products: code: 255 at position 3"),
        ({"knowledge_slot": 9}, "products: knowledge_slot: 9"),
        ({"issuer": -2}, "products: issuer: -2"),
        ({"dup_group": -3}, "products: dup_group: -3"),
        ({"financial": 2}, "products: flag: 2"),
        ({"us_persons_ok": 128}, "products: flag: 128"),
        ({"credit_like": 2}, "products: flag: 2"),
    ],
)
def test_a_catalogue_with_a_wrong_record_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(native.KernelInputError, match=message):
        make_catalogue(make_products(**values))


@pytest.mark.parametrize(
    ("starts", "message"),
    [
        (np.array([1, 1, 2, 2, 4, 6, 7]), "set_starts: 1 at position 0"),
        (np.array([0, 3, 2, 2, 4, 6, 7]), "set_starts: 2 at position 2"),
        (np.array([0, 1, 2, 2, 4, 6, -1]), "set_starts: -1 at position 6"),
        (np.array([0, 1, 2, 2, 4, 6, 8]), "sets: 35 words; expected 8 for each product"),
        (np.array([0, 1, 2, 2, 4, 6, 2**62]), "set_starts: 4611686018427387904"),
        (np.array([0, 1, 2, 2, 4, 7]), "set_starts: length 6 on axis 0; expected 7"),
        (np.array([0, 1, 2, 2, 4, 6, 7.0]), "set_starts: wrong dtype"),
    ],
)
def test_a_catalogue_with_wrong_starts_is_refused(starts: np.ndarray, message: str) -> None:
    with pytest.raises(native.KernelInputError, match=message):
        make_catalogue(starts=starts)


def test_unaligned_records_are_refused() -> None:
    storage = np.zeros(ROW_COUNT * PRODUCT_DTYPE.itemsize + 1, np.uint8)
    with pytest.raises(native.KernelInputError, match="products: not aligned"):
        native.Catalogue(
            storage[1:].reshape(ROW_COUNT, -1), np.zeros((ROW_COUNT, WORD_COUNT), np.uint64), STARTS
        )


@pytest.mark.parametrize("name", ["rows", "user_of_pair", "halted", "level_cap", "users"])
def test_things_that_are_no_arrays_are_refused(name: str) -> None:
    with pytest.raises(native.KernelInputError, match="expected plain NumPy arrays"):
        call(**{name: None})


def test_counting_takes_one_user() -> None:
    arguments = make_arguments()
    users = tuple(arguments[name] for name in ("users", "user_sets", "held_issuers", "held_groups"))
    with pytest.raises(native.KernelInputError, match="users: length 2 on axis 0; expected 1"):
        native.count_codes(make_catalogue(), users, halted=np.zeros(ROW_COUNT, np.uint8), level_cap=5)


def test_the_catalogue_keeps_its_own_copy() -> None:
    products = make_products()
    catalogue = make_catalogue(products)
    before = call(catalogue)
    products["status_code"] = 6
    assert (call(catalogue) == before).all()


def test_any_number_but_zero_halts() -> None:
    halted = np.array([255, 0, 0, 0, 2], np.uint8)
    masks = call(halted=halted)
    assert (masks[:, 0] >> np.uint64(5) & np.uint64(1)).tolist() == [1, 1, 1, 0]
