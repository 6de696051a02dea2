"""Measures the gate: nanoseconds a pair beside the definition's microseconds, and that both say the same."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.suitability.battery import SEED
from benchmarks.suitability.pairs import CHANNEL, NOW, draw_products, draw_users
from server.gate import Gate
from suitability import code_mask, default_policy_path, evaluate, load_policy

CATALOGUE_COUNTS: Final = (600, 10_000, 100_000)
USER_COUNT: Final = 200
DEFINITION_PAIR_COUNT: Final = 20_000
THREAD_COUNT: Final = 1
_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True)
class GateSpeed:
    """What the gate costs over one catalogue; CPU time of one thread.

    Attributes:
        product_count: products in the catalogue.
        pair_ns_p50, pair_ns_p99: a pair in full, over one user's whole catalogue at a time.
        scattered_pair_ns_p50: a pair in full, over `judge_many` with pairs of many users in random order.
        profile_us_p50: making one user's record.
        whole_ms_p50: judging the whole catalogue for one user and counting codes.
        compile_s: compiling the catalogue, once per bundle and policy.
        compared_pairs: pairs compared with the definition.
        eligible_share: of these.
        difference_count: of these, the pairs on which gate and definition differ.
    """

    product_count: int
    pair_ns_p50: float
    pair_ns_p99: float
    scattered_pair_ns_p50: float
    profile_us_p50: float
    whole_ms_p50: float
    compile_s: float
    compared_pairs: int
    eligible_share: float
    difference_count: int


@dataclass(frozen=True)
class SpeedResult:
    """The gate over several catalogues, and the definition.

    Attributes:
        thread_count: threads that judged.
        definition_pair_us: CPU time of `evaluate` for a pair, mean.
        gates: by size of the catalogue.
    """

    thread_count: int
    definition_pair_us: float
    gates: tuple[GateSpeed, ...]


def measure_gate(repeat_count: int, report: Callable[[str], None]) -> SpeedResult:
    """Measures all catalogues.

    Args:
        repeat_count: times that each measurement is repeated.
        report: called with a line on what is measured now.
    """
    random = np.random.default_rng(SEED)
    users = draw_users(random, USER_COUNT)
    definition_us: list[float] = []
    gates = []
    for count in CATALOGUE_COUNTS:
        report(f"{count:,} products")
        products = draw_products(random, count)
        gates.append(_measure_catalogue(users, products, repeat_count, random, definition_us))
    return SpeedResult(THREAD_COUNT, statistics.mean(definition_us), tuple(gates))


def _measure_catalogue(
    users: Sequence[Mapping[str, Any]],
    products: Sequence[Mapping[str, Any]],
    repeat_count: int,
    random: np.random.Generator,
    definition_us: list[float],
) -> GateSpeed:
    policy = load_policy(default_policy_path())
    start = time.process_time()
    gate = Gate(products, policy)
    compile_s = time.process_time() - start
    rows = np.arange(len(products), dtype=np.int64)
    admitted = [gate.admit(user, NOW, CHANNEL, None) for user in users]
    chosen = [admitted[number % len(admitted)] for number in range(repeat_count)]
    whole = [_time(lambda user=user: gate.judge(user, rows)) for user in chosen]  # type: ignore[misc]
    counted = [_time(lambda user=user: gate.count_codes(user)) for user in chosen]  # type: ignore[misc]
    packed = [
        _time(lambda user=user: gate.admit(user, NOW, CHANNEL, None))  # type: ignore[misc]
        for user in (users[number % len(users)] for number in range(repeat_count * 5))
    ]
    pair_count = max(DEFINITION_PAIR_COUNT, len(products))
    of_user = random.integers(0, len(users), pair_count)
    of_row = random.integers(0, len(products), pair_count)
    scattered = [_time(lambda: gate.judge_many(admitted, of_user, of_row)) for _ in range(repeat_count)]
    masks = gate.judge_many(admitted, of_user, of_row)[:DEFINITION_PAIR_COUNT]
    start = time.process_time()
    expected = [
        evaluate(users[user], products[row], policy, NOW, CHANNEL)
        for user, row in zip(of_user[: len(masks)].tolist(), of_row[: len(masks)].tolist(), strict=True)
    ]
    definition_us.append((time.process_time() - start) / len(masks) * 1e6)
    return GateSpeed(
        product_count=len(products),
        pair_ns_p50=statistics.median(whole) / len(products) * 1e9,
        pair_ns_p99=float(np.percentile(whole, 99)) / len(products) * 1e9,
        scattered_pair_ns_p50=statistics.median(scattered) / pair_count * 1e9,
        profile_us_p50=statistics.median(packed) * 1e6,
        whole_ms_p50=statistics.median(counted) * 1e3,
        compile_s=compile_s,
        compared_pairs=len(masks),
        eligible_share=sum(not codes for codes in expected) / len(masks),
        difference_count=_count_differences(masks, expected),
    )


def _time(call: Callable[[], object]) -> float:
    """Returns the CPU seconds of this thread that a call takes."""
    start = time.thread_time_ns()
    call()
    return (time.thread_time_ns() - start) / 1e9


def _count_differences(masks: NDArray[np.uint64], expected: Sequence[frozenset[str]]) -> int:
    numbers = [code_mask(codes) for codes in expected]
    words = np.array([(number & _WORD, number >> 64) for number in numbers], np.uint64)
    return int(np.sum(np.any(masks != words, axis=1)))
