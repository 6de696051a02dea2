"""A battery of pairs with their codes, quick enough to be asked of a thousand faulty copies of the rules.

Holds the golden cases, every change of the table applied alone to every family, every policy variant over all
levels, odd circumstances, and drawn pairs with two changes. The expected codes are the definition's.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np

from benchmarks.errors import BenchmarkInputError
from benchmarks.machine import ROOT
from benchmarks.suitability.edges import AS_IT_IS, edge_cases, edge_policies
from benchmarks.suitability.pairs import (
    CHANNEL,
    FAMILIES,
    NOW,
    PRODUCT_CHANGES,
    USER_CHANGES,
    draw_products,
    draw_users,
    eligible_product,
    eligible_user,
    policy_variants,
    put,
)
from suitability import PREDICATES, default_policy_path, evaluate, load_policy, valid_until
from suitability.evaluate import apply_predicate
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind

GOLDEN: Final = ROOT / "tests" / "golden" / "suitability.json"
SEED: Final = 20261122
_GOLDEN: Final = "golden case "

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """One pair under one policy, named in the battery's policies, with what the rules say of it.

    `against` holds the numbers of the predicates behind a code that is the only one: several share a code,
    and what one of them forgets another may hide.
    """

    user: Any
    product: Any
    policy: str
    now: Any
    channel: Any
    limit: Any
    codes: frozenset[str] = frozenset()
    against: tuple[int, ...] = ()
    valid_until: datetime | None = None


@dataclass(frozen=True)
class Battery:
    """Cases in an order that mixes their sources, and the policies that they name."""

    policies: Mapping[str, Record]
    cases: tuple[Case, ...]

    @property
    def eligible_count(self) -> int:
        """Returns how many cases are eligible."""
        return sum(not case.codes for case in self.cases)


def make_battery() -> Battery:
    """Builds the battery with the definition as it is imported here.

    Raises:
        BenchmarkInputError: the golden cases are not there.
    """
    values = json.loads(default_policy_path().read_bytes())
    policies: dict[str, Record] = {**policy_variants(values), **edge_policies(values)}
    random = np.random.default_rng(SEED)
    cases = [
        *_golden_cases(values, policies),
        *_single_changes(),
        *_all_levels(policies),
        *_odd_circumstances(),
        *(Case(*asked) for asked in edge_cases()),
        *_drawn_pairs(random, policies),
    ]
    loaded = prepare_policies(policies, load_policy)
    ordered = (cases[position] for position in random.permutation(len(cases)))
    return Battery(policies, tuple(_judge(case, loaded) for case in ordered))


def prepare_policies(policies: Mapping[str, Record], load: Callable[[Record], Any]) -> dict[str, Any]:
    """Loads the policies once; those of golden cases stay mappings, which may be malformed on purpose."""
    return {name: each if name.startswith(_GOLDEN) else load(each) for name, each in policies.items()}


def _judge(case: Case, policies: Mapping[str, Any]) -> Case:
    asked = case.user, case.product, policies[case.policy], case.now, case.channel, case.limit
    codes = evaluate(*asked)
    return Case(
        *(case.user, case.product, case.policy, case.now, case.channel, case.limit),
        codes=codes,
        against=tuple(list_against(Pair(*asked))) if len(codes) == 1 else (),
        valid_until=None if codes else valid_until(*asked),
    )


def list_against(pair: Pair) -> Iterator[int]:
    """Yields the numbers of the predicates that are against a pair."""
    yield from (each.number for each in PREDICATES if apply_predicate(each, pair) is not None)


def _golden_cases(values: Record, policies: dict[str, Record]) -> Iterator[Case]:
    if not GOLDEN.is_file():
        raise BenchmarkInputError(f"expected the golden cases at {GOLDEN}")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for number, case in enumerate(golden["cases"]):
        name = AS_IT_IS
        if case["policy_change"]:
            name = f"{_GOLDEN}{number}"
            changed = {**values, **case["policy_change"]}
            policies[name] = changed
        user = None
        if case["user"] is not None:
            user = _decode({**golden["records"][case["user"]], **case["user_change"]}, USER_FIELDS)
        product = _decode({**golden["records"][case["product"]], **case["product_change"]}, PRODUCT_FIELDS)
        now = datetime.fromisoformat(case["now"])
        yield Case(user, product, name, now, case["channel"], case["risk_score_limit"])


def _decode(record: Record, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Puts instants, days and bytes in place of their texts; the rest stands as it is."""
    decoders = {
        Kind.INSTANT: datetime.fromisoformat,
        Kind.DAY: date.fromisoformat,
        Kind.BYTES: bytes.fromhex,
    }
    kinds = {name: fields[name].kind for name in record if name in fields}
    return {
        name: decoders[kinds[name]](value)
        if name in kinds and kinds[name] in decoders and isinstance(value, str)
        else value
        for name, value in record.items()
    }


def _single_changes() -> Iterator[Case]:
    """Yields every change alone, on every family at a level that a limit is near to."""
    for position, family in enumerate(FAMILIES):
        for record, changes in enumerate((USER_CHANGES, PRODUCT_CHANGES)):
            for name, values in changes.items():
                for value in values:
                    pair = eligible_user(), eligible_product(f"x{position}", family, 1 + position % 3)
                    put(pair[record], name, value)
                    yield Case(*pair, AS_IT_IS, NOW, CHANNEL, None)


def _all_levels(policies: Mapping[str, Record]) -> Iterator[Case]:
    """Yields every policy over every scale, level and family, for users of every kind that caps protect."""
    people: Sequence[dict[str, Any]] = (
        {},
        {"birth_date": date(1961, 11, 22)},
        {"vulnerable": True},
        {"capacity": "LIMITED"},
    )
    for number, policy in enumerate(policy_variants(policies[AS_IT_IS])):
        for level in range(1, 8):
            scale = "CN5" if level < 6 and (number + level) % 2 else "SRI7"
            for position, family in enumerate(FAMILIES):
                product = eligible_product(f"x{position:04}", family, level) | {"scale": scale}
                person = people[(level + position + number) % len(people)]
                user = eligible_user((level + number) % 6) | person
                yield Case(user, product, policy, NOW, CHANNEL, None)
                yield Case(eligible_user(), product, policy, NOW, CHANNEL, 1000 * level)


def _odd_circumstances() -> Iterator[Case]:
    user, product = eligible_user(), eligible_product("x")
    strange: tuple[Any, ...] = (None, {}, [], "text")
    for each in strange:
        yield Case(each, product, AS_IT_IS, NOW, CHANNEL, None)
        yield Case(user, each, AS_IT_IS, NOW, CHANNEL, None)
    for now in (NOW.replace(tzinfo=None), None, NOW - timedelta(days=365), NOW + timedelta(days=365)):
        yield Case(user, product, AS_IT_IS, now, CHANNEL, None)
    for channel in ("branch", "web", "", None, 7):
        yield Case(user, product, AS_IT_IS, NOW, channel, None)
        yield Case(user, eligible_product("c", "COURSE"), AS_IT_IS, NOW, channel, None)
    for limit in (0, 999, 1000, 1001, 10_000, 10_001, -1, True, 5.0, "9"):
        yield Case(user, product, AS_IT_IS, NOW, CHANNEL, limit)


def _drawn_pairs(random: np.random.Generator, policies: Mapping[str, Record]) -> Iterator[Case]:
    products = draw_products(random, 400)
    names = [name for name in policies if not name.startswith(_GOLDEN)]
    for user in draw_users(random, 2500):
        policy = AS_IT_IS if random.random() < 0.7 else str(random.choice(names))
        limit = None if random.random() < 0.8 else int(random.integers(0, 10_001))
        product = products[int(random.integers(len(products)))]
        yield Case(user, product, policy, NOW, CHANNEL, limit)
