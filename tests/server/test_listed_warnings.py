"""The warnings beside a list are those of the definition, for every kind of user and product."""

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest

from server.gate import Gate
from suitability.cautions import WARNINGS, warnings
from tests.server.cases import CHANNEL, NOW, draw_products, draw_users, eligible_product, eligible_user
from tests.server.judging import DEFAULT, SEED

HISTORIES: tuple[frozenset[tuple[str, int]], ...] = (
    frozenset(),
    frozenset({("CN5", 1), ("CN5", 3), ("SRI7", 2)}),
    frozenset({(scale, level) for scale in ("CN5", "SRI7") for level in range(1, 8)}),
)


def judge_both(
    user: dict[str, Any], products: list[dict[str, Any]], now: datetime, limit: Any, history: Any
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    gate = Gate(products, DEFAULT)
    admitted = gate.admit(user, now, CHANNEL, limit)
    given = gate.find_warnings(admitted, np.arange(len(products)), history)
    defined = [
        warnings(user, product, DEFAULT, now, risk_score_limit=limit, history_levels=history)
        for product in products
    ]
    return given, defined


def test_drawn_products_get_the_warnings_of_the_definition() -> None:
    random = np.random.default_rng(SEED)
    products = [
        product | ({"assumed": ["issuer"]} if random.random() < 0.1 else {})
        for product in draw_products(random, 96)
    ]
    seen: set[str] = set()
    for number, user in enumerate(draw_users(random, 40)):
        limit = (None, 3000, 5555)[number % 3]
        given, defined = judge_both(user, products, NOW, limit, HISTORIES[number % len(HISTORIES)])
        assert given == defined
        seen |= {name for names in given for name in names}
    assert seen == {name for name, _ in WARNINGS}


@pytest.mark.parametrize("score", [0, 1, 2699, 2700, 2701, 3000, None])
def test_near_the_limit_begins_at_nine_tenths(score: int | None) -> None:
    product = eligible_product("f1") | {"risk_score": score}
    given, defined = judge_both(eligible_user(), [product], NOW, 3000, frozenset())
    assert given == defined
    assert ("W_NEAR_LIMIT" in given[0]) == (score is not None and score >= 2700)


@pytest.mark.parametrize("changes", [{"assumed": ["liquid"]}, {"birth_date": date(1961, 11, 22)}, {}])
@pytest.mark.parametrize("assessed_on", [date(2025, 12, 22), date(2025, 12, 23), None, date(9999, 1, 1)])
def test_what_is_said_of_the_user_is_said_beside_each_financial_product(
    changes: dict[str, Any], assessed_on: date | None
) -> None:
    families = ("COURSE", "FUND", "INS_PROTECTION", "INS_LINKED")
    products = [eligible_product(family, family) for family in families]
    user = eligible_user() | changes | {"assessed_on": assessed_on}
    for now in (NOW, datetime(9999, 12, 31, 23, tzinfo=UTC)):
        given, defined = judge_both(user, products, now, None, HISTORIES[1])
        assert given == defined
        assert given[0] == ()


def test_no_rows_have_no_warnings() -> None:
    gate = Gate([eligible_product("f1")], DEFAULT)
    user = gate.admit(eligible_user(), NOW, CHANNEL, None)
    assert gate.find_warnings(user, np.empty(0, np.int64), frozenset()) == []
