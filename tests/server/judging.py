"""Judges many pairs by the gate and by the definition, for tests that compare the two."""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from server.gate import Gate
from suitability import Policy, default_policy_path, evaluate, load_overlay, load_policy, tighten
from suitability.codes import codes_of_mask
from suitability.overlay import Overlay
from tests.server.cases import CHANNEL, NOW

SEED = 20261123
VALUES: dict[str, Any] = json.loads(default_policy_path().read_bytes())
DEFAULT = load_policy(VALUES)


@dataclasses.dataclass(frozen=True)
class Judged:
    """One pair: what it is judged by, the gate's codes and the definition's."""

    user: Mapping[str, Any]
    product: Mapping[str, Any]
    rules: Policy
    now: datetime
    channel: Any
    limit: Any
    given: frozenset[str]
    defined: frozenset[str]
    valid_until: datetime | None


def make_policy(**changes: Any) -> Policy:
    return load_policy(VALUES | changes)


def make_overlay(**changes: Any) -> Overlay:
    nothing: dict[str, Any] = {"halted_products": [], "halted_issuers": [], "level_cap": None}
    names = {
        "schema": "suitability-overlay/1",
        "policy_id": VALUES["policy_id"],
        "sequence": 1,
        "reason": "x",
    }
    return load_overlay(names | nothing | changes)


def tightening(overlay: Overlay, policy: Policy) -> dict[str, Any]:
    """Returns what an overlay adds to a policy, which may have the lower cap."""
    caps = [cap for cap in (overlay.level_cap, policy.values["level_cap"]) if cap is not None]
    halts = {name: overlay.values[name] for name in ("halted_products", "halted_issuers")}
    return halts | {"level_cap": min(caps, default=None)}


def judge_all(
    users: Sequence[Mapping[str, Any]],
    products: Sequence[Mapping[str, Any]],
    policy: Policy = DEFAULT,
    *,
    overlay: Overlay | None = None,
    circumstances: Sequence[tuple[datetime, Any, Any]] = ((NOW, CHANNEL, None),),
) -> list[Judged]:
    """Judges every user against every product in one call, the rows in a shuffled order."""
    gate = Gate(products, policy)
    around = list(itertools.islice(itertools.cycle(circumstances), len(users)))
    admitted = [gate.admit(user, *each) for user, each in zip(users, around, strict=True)]
    gate.set_overlay(overlay)
    rules = policy if overlay is None else tighten(policy, tightening(overlay, policy))
    order = np.random.default_rng(SEED).permutation(len(users) * len(products))
    user_of_pair, rows = np.divmod(order, max(len(products), 1))
    masks = gate.judge_many(admitted, user_of_pair, rows)
    ends: dict[tuple[int, int], datetime] = {}
    for user, each in enumerate(admitted):
        eligible = rows[(user_of_pair == user) & ~masks.any(axis=1)]
        until = gate.find_valid_until(each, eligible)
        ends |= {(user, row): end for row, end in zip(eligible.tolist(), until, strict=True)}
    judged = []
    for user, row, mask in zip(user_of_pair.tolist(), rows.tolist(), masks, strict=True):
        pair = (users[user], products[row], rules, *around[user])
        given = codes_of_mask(int(mask[0]) | int(mask[1]) << 64)
        judged.append(Judged(*pair, given, evaluate(*pair), ends.get((user, row))))
    return judged


def find_differences(judged: Sequence[Judged]) -> list[Judged]:
    return [pair for pair in judged if pair.given != pair.defined]
