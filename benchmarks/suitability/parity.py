"""Compares definition, gate and checker on drawn pairs: three readings of the rules that must not differ.

Pairs start eligible and have a few changes, because free random pairs are almost never eligible and would
agree on "no" without showing anything. Each chunk has its own policy, instant, limit and, in a quarter of
them, an overlay, so any chunk can be drawn again from its number alone.
"""

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.suitability.battery import list_against
from benchmarks.suitability.pairs import (
    CHANNEL,
    NOW,
    draw_products,
    draw_users,
    eligible_user,
    policy_variants,
)
from benchmarks.verify.judge import judge
from server.gate import Gate
from suitability import (
    PREDICATES,
    Policy,
    codes_of_mask,
    default_policy_path,
    evaluate,
    load_overlay,
    load_policy,
    tighten,
    valid_until,
)
from suitability.predicates.pair import Pair

USERS_PER_CHUNK: Final = 64
PRODUCTS_PER_CHUNK: Final = 96
PAIRS_PER_CHUNK: Final = USERS_PER_CHUNK * PRODUCTS_PER_CHUNK
PROCESS_COUNT: Final = 2
ELIGIBLE_SHARE_MIN: Final = 0.3
"""Below this share a comparison says too little."""
SHOWN_DIFFERENCE_COUNT: Final = 20

Record = Mapping[str, Any]


@dataclass(frozen=True)
class ParityResult:
    """What a comparison found.

    Attributes:
        pair_count: pairs judged by all three.
        eligible_count: pairs without a code.
        code_counts: pairs by code.
        decided_alone: numbers of the predicates that were the only one against some pair.
        ends_count: eligible pairs on which the ends of the verdict were compared.
        difference_count: pairs on which two of the three differ.
        differences: the first of them in words.
    """

    pair_count: int
    eligible_count: int
    code_counts: Mapping[str, int]
    decided_alone: tuple[int, ...]
    ends_count: int
    difference_count: int
    differences: tuple[str, ...]

    @property
    def eligible_share(self) -> float:
        """Returns the share of eligible pairs."""
        return self.eligible_count / self.pair_count

    @property
    def silent_predicates(self) -> tuple[str, ...]:
        """Returns the names of the predicates that decided no pair alone."""
        return tuple(each.name for each in PREDICATES if each.number not in self.decided_alone)

    @property
    def passed(self) -> bool:
        """Tells whether nothing differs and enough was shown."""
        enough = self.eligible_share >= ELIGIBLE_SHARE_MIN and not self.silent_predicates
        return enough and self.difference_count == 0


@dataclass(frozen=True)
class Circumstances:
    """What all pairs of a chunk share."""

    policy: Policy
    overlay: Record | None
    now: datetime

    @property
    def rules(self) -> Policy:
        """Returns the policy with the overlay put over it."""
        return self.policy if self.overlay is None else tighten(self.policy, self.overlay)


def compare(
    pair_count: int, seed: int, report_progress: Callable[[int, int], None] = lambda done, total: None
) -> ParityResult:
    """Compares on at least so many pairs, in two processes.

    Args:
        pair_count: rounded up to whole chunks of PAIRS_PER_CHUNK.
        seed: draws everything.
        report_progress: called with chunks done and chunks to do.
    """
    chunk_count = -(-pair_count // PAIRS_PER_CHUNK)
    results = []
    # A fresh process for each share of the work: nothing is forked with threads in it.
    with multiprocessing.get_context("spawn").Pool(min(PROCESS_COUNT, chunk_count)) as pool:
        for result in pool.imap_unordered(partial(compare_chunk, seed), range(chunk_count)):
            results.append(result)
            report_progress(len(results), chunk_count)
    return join(results)


def join(results: Iterable[ParityResult]) -> ParityResult:
    """Adds results up."""
    results = list(results)
    codes: Counter[str] = Counter()
    for result in results:
        codes.update(result.code_counts)
    return ParityResult(
        pair_count=sum(each.pair_count for each in results),
        eligible_count=sum(each.eligible_count for each in results),
        code_counts=dict(sorted(codes.items())),
        decided_alone=tuple(sorted({number for each in results for number in each.decided_alone})),
        ends_count=sum(each.ends_count for each in results),
        difference_count=sum(each.difference_count for each in results),
        differences=tuple(text for each in results for text in each.differences)[:SHOWN_DIFFERENCE_COUNT],
    )


def compare_chunk(seed: int, chunk: int) -> ParityResult:
    """Draws one chunk and compares every pair of it."""
    random = np.random.default_rng([seed, chunk])
    # Half of the users stay eligible, so that a change of the product is seen alone.
    users = [eligible_user() for _ in range(USERS_PER_CHUNK // 2)]
    users += draw_users(random, USERS_PER_CHUNK - len(users))
    products = draw_products(random, PRODUCTS_PER_CHUNK)
    given = _draw_circumstances(random)
    gate = Gate(products, given.policy)
    if given.overlay is not None:
        gate.set_overlay(_make_overlay(given))
    rows = np.arange(PRODUCTS_PER_CHUNK, dtype=np.int64)
    limits = [None if random.random() < 0.7 else int(random.integers(0, 10_001)) for _ in users]
    found = [
        _compare_user(gate, given, products, rows, user, limit, f"chunk {chunk}, user {user_row}")
        for user_row, (user, limit) in enumerate(zip(users, limits, strict=True))
    ]
    return join(found)


def _compare_user(
    gate: Gate,
    given: Circumstances,
    products: Sequence[Record],
    rows: NDArray[np.int64],
    user: Record,
    limit: int | None,
    place: str,
) -> ParityResult:
    admitted = gate.admit(user, given.now, CHANNEL, limit)
    by_gate = [_read(mask) for mask in gate.judge(admitted, rows)]
    rules = given.rules
    codes: Counter[str] = Counter()
    alone: set[int] = set()
    differences = []
    eligible = []
    for row, product in enumerate(products):
        defined = evaluate(user, product, rules, given.now, CHANNEL, limit)
        checked = judge(user, product, given.policy.values, given.now, CHANNEL, limit, given.overlay)
        if not defined == checked == by_gate[row]:
            said = f"definition {sorted(defined)}, gate {sorted(by_gate[row])}, checker {sorted(checked)}"
            differences.append(f"{place}, product {row}: {said}")
        codes.update(defined)
        if not defined:
            eligible.append(row)
        elif len(defined) == 1:
            alone |= _decided_alone(Pair(user, product, rules, given.now, CHANNEL, limit))
    ends = gate.find_valid_until(admitted, np.array(eligible, np.int64))
    for row, end in zip(eligible, ends, strict=True):
        defined_end = valid_until(user, products[row], rules, given.now, CHANNEL, limit)
        if end != defined_end:
            differences.append(
                f"{place}, product {row}: valid until {end} by gate, {defined_end} by definition"
            )
    return ParityResult(
        pair_count=len(products),
        eligible_count=len(eligible),
        code_counts=codes,
        decided_alone=tuple(alone),
        ends_count=len(eligible),
        difference_count=len(differences),
        differences=tuple(differences[:SHOWN_DIFFERENCE_COUNT]),
    )


def _decided_alone(pair: Pair) -> set[int]:
    against = list(list_against(pair))
    return set(against) if len(against) == 1 else set()


def _draw_circumstances(random: np.random.Generator) -> Circumstances:
    variants = policy_variants(load_policy(default_policy_path()).values)
    names = sorted(variants)
    name = "as it is" if random.random() < 0.75 else names[int(random.integers(len(names)))]
    now = NOW if random.random() < 0.8 else NOW + timedelta(seconds=int(random.integers(-8_000, 80_000)))
    overlay = None
    if random.random() < 0.25:
        caps = [cap for cap in (None, 3, 4) if variants[name]["level_cap"] is None]
        overlay = {
            "halted_products": [f"x{int(number):04}" for number in random.integers(0, 96, size=4)],
            "halted_issuers": ["issuer 2"] if random.random() < 0.5 else [],
            "level_cap": caps[int(random.integers(len(caps)))] if caps else variants[name]["level_cap"],
        }
    return Circumstances(load_policy(variants[name]), overlay, now)


def _make_overlay(given: Circumstances) -> Any:
    return load_overlay(
        {
            "schema": "suitability-overlay/1",
            "policy_id": given.policy.policy_id,
            "sequence": 1,
            "reason": "a drawn emergency",
            **(given.overlay or {}),
        }
    )


def _read(mask: NDArray[np.uint64]) -> frozenset[str]:
    return codes_of_mask(int(mask[0]) | int(mask[1]) << 64)
