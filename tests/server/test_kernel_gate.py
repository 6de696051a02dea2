"""The compiled gate gives exactly the codes of the definition, on drawn pairs and at the extremes."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from server import native
from server.errors import SnapshotError
from server.gate import Gate
from suitability import load_policy, valid_until
from suitability.codes import CODES, CODES_BY_NUMBER
from suitability.evaluate import apply_predicate
from suitability.predicates.pair import Pair
from suitability.predicates.table import PREDICATES
from suitability.records import PRODUCT_FIELDS, USER_FIELDS
from tests.server.cases import (
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
from tests.server.judging import DEFAULT, SEED, VALUES, Judged, find_differences, judge_all, make_overlay

USER_COUNT = 28
PRODUCT_COUNT = 160
SHANGHAI_MIDNIGHT = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
LAST_HOUR_OF_ALL = datetime(9999, 12, 31, 23, 0, tzinfo=UTC)
# A clock without zone is a case of its own.
NAIVE = datetime(2026, 11, 22, 9, 0)  # noqa: DTZ001
INSTANTS = (
    *(NOW,) * 60,
    *(NOW + timedelta(hours=1), NOW.astimezone(timezone(timedelta(hours=8))), NAIVE, LAST_HOUR_OF_ALL),
    *(SHANGHAI_MIDNIGHT, SHANGHAI_MIDNIGHT - timedelta(microseconds=1)),
    *(datetime(2024, 2, 29, tzinfo=UTC), datetime(2030, 3, 1, tzinfo=UTC)),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=8))),
)
CHANNELS = (*(CHANNEL,) * 60, "branch", "telephone", "", None, 7)
LIMITS = (*(None,) * 40, 10_000, 5000, 3000, 1000, 0, -1, 10_001, True, "5000")
OVERLAYS: tuple[dict[str, Any] | None, ...] = (
    None,
    {"halted_products": ["x0001", "x0010", "nowhere"], "halted_issuers": ["issuer 2", "nobody"]},
    {"level_cap": 2},
)
JUNK: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 1.0, float("nan"), 10**15, 10**15 + 1, 2**63, 2**70, -(2**70)),
    *(
        "",
        " ",
        "1",
        "１",
        "N",
        "CN",
        "cn",
        "CNY",
        "FULL",
        "FUND",
        "ON_SALE",
        "\udc00",
        b"",
        b"x",
        [],
        [""],
        ["GROWTH"],
        {"app"},
    ),
    *((), {}, {"FUND": True}, {"FUND": 3}, {1: 1}, {"issuer 0": 10**15}, {"issuer 0": -1}, object),
    *(date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29), NOW, NAIVE, range(3)),
    *(datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)),
)


def changed(
    make: Callable[[str, str], dict[str, Any]], changes: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """Makes a record for every single change, of one family after another."""
    made = []
    for family, (name, values) in itertools.product(FAMILIES, changes.items()):
        for value in values:
            record = make(f"x{len(made):04}", family)
            put(record, name, value)
            made.append(record)
    return made


@pytest.fixture(scope="module")
def drawn() -> list[Judged]:
    """More than 50,000 pairs under every policy, at several instants, with and without an overlay."""
    random = np.random.default_rng(SEED)
    unconfirmed = {"level_changed": True, "level_confirmed": False}
    judged = judge_all(
        [eligible_user(), eligible_user() | unconfirmed], changed(eligible_product, PRODUCT_CHANGES)
    )
    judged += judge_all(
        changed(lambda _id, _family: eligible_user(3), USER_CHANGES),
        [eligible_product(family, family, 3 - number % 2) for number, family in enumerate(FAMILIES)],
    )
    for number, values in enumerate(policy_variants(VALUES).values()):
        overlay = OVERLAYS[number % len(OVERLAYS)]
        circumstances = [
            (
                INSTANTS[int(random.integers(len(INSTANTS)))],
                CHANNELS[int(random.integers(len(CHANNELS)))],
                LIMITS[int(random.integers(len(LIMITS)))],
            )
            for _ in range(USER_COUNT)
        ]
        judged += judge_all(
            draw_users(random, USER_COUNT),
            draw_products(random, PRODUCT_COUNT),
            load_policy(values),
            overlay=None if overlay is None else make_overlay(**overlay),
            circumstances=circumstances,
        )
    return judged


def test_the_gate_gives_the_codes_of_the_definition_on_every_drawn_pair(drawn: list[Judged]) -> None:
    assert len(drawn) >= 50_000
    assert find_differences(drawn) == []


def test_enough_of_the_drawn_pairs_are_eligible_to_mean_something(drawn: list[Judged]) -> None:
    assert sum(not pair.given for pair in drawn) >= 0.3 * len(drawn)


def test_every_code_there_is_occurs_among_the_drawn_pairs(drawn: list[Judged]) -> None:
    assert {code for pair in drawn for code in pair.given} == set(CODES)


@pytest.mark.parametrize("predicate", PREDICATES, ids=lambda predicate: predicate.name)
def test_every_predicate_decides_some_drawn_pair_alone(drawn: list[Judged], predicate: Any) -> None:
    alone = {pair.given: pair for pair in drawn if len(pair.given) == 1}
    assert any(
        apply_predicate(
            predicate, Pair(pair.user, pair.product, pair.rules, pair.now, pair.channel, pair.limit)
        )
        in codes
        for codes, pair in alone.items()
    )


def test_eligible_verdicts_end_when_the_definition_says_so(drawn: list[Judged]) -> None:
    wrong = [
        pair
        for pair in [pair for pair in drawn if not pair.given][::7]
        if pair.valid_until
        != valid_until(pair.user, pair.product, pair.rules, pair.now, pair.channel, pair.limit)
    ]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(USER_FIELDS))
def test_junk_in_a_field_of_the_user_counts_as_in_the_definition(name: str) -> None:
    users = [eligible_user(3) | {name: value} for value in JUNK]
    products = [eligible_product(family, family, 2) for family in FAMILIES]
    products.append(eligible_product("group") | {"family": "INS_LINKED", "dup_group": "GROWTH"})
    assert find_differences(judge_all(users, products)) == []


@pytest.mark.parametrize("name", sorted(PRODUCT_FIELDS))
def test_junk_in_a_field_of_the_product_counts_as_in_the_definition(name: str) -> None:
    families = ("COURSE", "FUND", "INS_PROTECTION", "INS_LINKED")
    products = [
        eligible_product(f"{family}{position}", family, 3) | {name: value}
        for family in families
        for position, value in enumerate(JUNK)
    ]
    users = [eligible_user(), eligible_user(3) | {"capacity": "LIMITED", "vulnerable": True}]
    judged = judge_all(users, products)
    assert find_differences(judged) == []
    assert any(not pair.given for pair in judged)


def test_the_kernel_knows_the_codes_of_the_registry() -> None:
    registered = {number: code.name for number, code in CODES_BY_NUMBER.items()}
    assert dict(native.CODES) == registered
    assert len(native.CODES) == len(registered)


@pytest.mark.parametrize("predicates", [tuple(range(26)), tuple(range(28)), ()])
def test_a_kernel_with_other_predicates_is_refused(
    monkeypatch: pytest.MonkeyPatch, predicates: tuple[int, ...]
) -> None:
    monkeypatch.setattr(native, "PREDICATES", predicates)
    with pytest.raises(SnapshotError, match="kernel: expected the predicates"):
        Gate([], DEFAULT)


@pytest.mark.parametrize("name", ["PRODUCT_LAYOUT", "USER_LAYOUT"])
def test_a_kernel_that_reads_other_records_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    first, *others = getattr(native, name)
    monkeypatch.setattr(native, name, ((first[0], first[1] + 8, first[2]), *others))
    with pytest.raises(SnapshotError, match="kernel: expected the layout"):
        Gate([], DEFAULT)
