"""The battery in the form that the gate takes: many pairs under one policy, judged by one call."""

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.suitability.battery import Battery, Case
from suitability import Policy, evaluate, load_overlay, load_policy, tighten, warnings
from suitability.codes import code_mask
from suitability.errors import PolicyError

HEAD_CASE_COUNT: Final = 500
OVERLAY_CASE_COUNT: Final = 60
HISTORY_LEVELS: Final = frozenset({("CN5", 2), ("SRI7", 3)})
_OVERLAY: Final = {
    "schema": "suitability-overlay/1",
    "sequence": 1,
    "reason": "an emergency",
    "halted_products": ["x3", "x1", "x0002"],
    "halted_issuers": ["issuer 0", "issuer 2"],
    "level_cap": 1,
}
_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True)
class Batch:
    """Cases under one policy. Users and products are distinct, as compiling them is what takes the time.

    Attributes:
        policy: the policy, as a mapping.
        cases: the pairs.
        users: one case of each distinct user with its circumstances.
        products: the distinct products.
        user_of_pair, rows: which user and which product a case has, int64 [cases].
        expected: the definition's codes, uint64 [cases, 2].
        under_overlay: its codes for the first cases under an overlay, uint64 [at most OVERLAY_CASE_COUNT, 2].
        warned: its warnings for each case that is eligible, none for the others.
    """

    policy: Mapping[str, Any]
    cases: tuple[Case, ...]
    users: tuple[Case, ...]
    products: tuple[Any, ...]
    user_of_pair: NDArray[np.int64]
    rows: NDArray[np.int64]
    expected: NDArray[np.uint64]
    under_overlay: NDArray[np.uint64]
    warned: tuple[tuple[str, ...], ...]


def make_batches(battery: Battery) -> list[Batch]:
    """Groups the cases that the gate takes: records are mappings, policies well formed, clocks are clocks."""
    groups: dict[str, list[Case]] = {}
    for case in battery.cases:
        if _can_be_served(case) and _is_well_formed(battery.policies[case.policy]):
            groups.setdefault(case.policy, []).append(case)
    parts = [
        (name, tuple(part))
        for name, cases in groups.items()
        for part in (cases[:HEAD_CASE_COUNT], cases[HEAD_CASE_COUNT:])
        if part
    ]
    # A few hundred cases come first: they notice nearly every fault, and at once.
    parts.sort(key=lambda part: (-min(len(part[1]), HEAD_CASE_COUNT), len(part[1])))
    return [_make_batch(battery.policies[name], cases) for name, cases in parts]


def _make_batch(values: Mapping[str, Any], cases: tuple[Case, ...]) -> Batch:
    policy = load_policy(values)
    users, user_of_pair = _distinct(cases, lambda case: repr((case.user, case.now, case.channel, case.limit)))
    products, rows = _distinct(cases, lambda case: repr(case.product))
    return Batch(
        policy=values,
        cases=cases,
        users=tuple(users),
        products=tuple(case.product for case in products),
        user_of_pair=user_of_pair,
        rows=rows,
        expected=_masks_of([case.codes for case in cases]),
        under_overlay=_judge_under_overlay(policy, cases[:OVERLAY_CASE_COUNT]),
        warned=tuple(_warn(policy, case) for case in cases),
    )


def _distinct(cases: Sequence[Case], key_of: Callable[[Case], str]) -> tuple[list[Case], NDArray[np.int64]]:
    """Returns the first case with each key, and which of them stands for each case."""
    places: dict[str, int] = {}
    positions = [places.setdefault(key_of(case), len(places)) for case in cases]
    firsts = dict(zip(reversed(positions), reversed(cases), strict=True))
    return [firsts[place] for place in range(len(places))], np.array(positions, np.int64)


def _can_be_served(case: Case) -> bool:
    records = all(type(each) in (dict, MappingProxyType) for each in (case.user, case.product))
    return records and isinstance(case.now, datetime)


def _is_well_formed(policy: Mapping[str, Any]) -> bool:
    try:
        load_policy(policy)
    except PolicyError:
        return False
    return True


def _masks_of(codes: Sequence[Collection[str]]) -> NDArray[np.uint64]:
    masks = np.empty((len(codes), 2), np.uint64)
    for row, each in enumerate(codes):
        number = code_mask(each)
        masks[row] = number & _WORD, number >> 64
    return masks


def _judge_under_overlay(policy: Policy, cases: Sequence[Case]) -> NDArray[np.uint64]:
    tightened = tighten(policy, load_overlay(_overlay_for(policy.values)))
    return _masks_of(
        [evaluate(case.user, case.product, tightened, case.now, case.channel, case.limit) for case in cases]
    )


def _overlay_for(policy: Mapping[str, Any]) -> dict[str, Any]:
    cap = policy["level_cap"]
    return {**_OVERLAY, "policy_id": policy["policy_id"], "level_cap": 1 if cap is None else min(cap, 1)}


def _warn(policy: Policy, case: Case) -> tuple[str, ...]:
    if case.codes:
        return ()
    return warnings(
        case.user,
        case.product,
        policy,
        case.now,
        risk_score_limit=case.limit,
        history_levels=HISTORY_LEVELS,
    )


def open_gate(batch: Batch) -> tuple[Any, list[Any]]:
    """Returns a gate and its users, by whatever modules are imported now."""
    policy = importlib.import_module("suitability.policy").load_policy(batch.policy)
    gate = importlib.import_module("server.gate").Gate(batch.products, policy)
    users = [gate.admit(case.user, case.now, case.channel, case.limit) for case in batch.users]
    return gate, users


def put_under_overlay(gate: Any, batch: Batch) -> None:
    """Puts the overlay into force under which `under_overlay` was judged."""
    gate.set_overlay(importlib.import_module("suitability").load_overlay(_overlay_for(batch.policy)))
