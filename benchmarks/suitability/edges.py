"""Cases at edges that no single change of an eligible pair reaches; most were found by a mutant that lived.

A case is a user, a product, the name of a policy, an instant, a channel and a limit.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from itertools import product as combine
from types import MappingProxyType
from typing import Any, Final, NoReturn

from benchmarks.suitability.changes import ABSENT, CHANNEL, NOW, PRODUCT_CHANGES, USER_CHANGES
from benchmarks.suitability.pairs import eligible_product, eligible_user, put
from suitability import PREDICATES

AS_IT_IS: Final = "as it is"
Asked = tuple[Any, Any, str, Any, Any, Any]


def edge_policies(policy: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns policies whose limits meet whole amounts exactly, by name."""
    concentration = {"issuer_max_bps": 1000, "high_risk_level": 1, "high_risk_max_bps": 10_000}
    scores = dict(policy["risk_score"]) | {"derive_from_level": {"CN5": [0] * 5, "SRI7": [0] * 7}}
    changes: dict[str, dict[str, Any]] = {
        "a tenth to an issuer": {"concentration": concentration},
        "a tenth at high risk": {
            "concentration": concentration | {"issuer_max_bps": 10_000, "high_risk_max_bps": 1000}
        },
        "no score derived": {"risk_score": scores},
        "long response": {"response_max_ttl_s": 86_400},
        "rated from level 2": {"insurance": dict(policy["insurance"]) | {"rated_from_level": 2}},
    }
    return {name: dict(policy) | change for name, change in changes.items()}


def edge_cases() -> Iterator[Asked]:
    """Yields every edge."""
    yield from _two_changes_of_one_predicate()
    yield from _exact_ratios()
    yield from _leap_days_and_midnights()
    yield from _scores_of_zero()
    yield from _bands_and_credit()
    yield from _many_members()
    yield from _broken_records()


def _ask(
    user: Mapping[str, Any],
    product: Mapping[str, Any],
    policy: str = AS_IT_IS,
    *,
    family: str = "FUND",
    level: int = 1,
    now: Any = NOW,
    channel: Any = CHANNEL,
    limit: Any = None,
) -> Asked:
    """Returns a case of an eligible pair with fields put over it; ABSENT takes a field away."""
    changed_user, changed_product = eligible_user(), eligible_product("x1", family, level)
    for record, changes in ((changed_user, user), (changed_product, product)):
        for name, value in changes.items():
            put(record, name, value)
    return changed_user, changed_product, policy, now, channel, limit


def _two_changes_of_one_predicate() -> Iterator[Asked]:
    """Yields every two changes that one predicate reads, on one family of each kind that it applies to."""
    for predicate in PREDICATES:
        fields = [("user", name) for name in predicate.user_fields]
        fields += [("product", name) for name in predicate.product_fields if name != "family"]
        tables = {"user": USER_CHANGES, "product": PRODUCT_CHANGES}
        for number, first in enumerate(fields):
            for second in fields[number + 1 :]:
                values = (tables[side].get(name, ()) for side, name in (first, second))
                for position, (one, other) in enumerate(combine(*values)):
                    changes: dict[str, dict[str, Any]] = {"user": {}, "product": {}}
                    changes[first[0]][first[1]] = one
                    changes[second[0]][second[1]] = other
                    family = ("FUND", "INS_PAR_UL", "INS_PROTECTION", "STRUCTURED")[position % 4]
                    yield _ask(changes["user"], changes["product"], family=family, level=1 + position % 3)


def _exact_ratios() -> Iterator[Asked]:
    for liquid in (999_990, 999_999, 1_000_000, 1_000_001):
        money: dict[str, Any] = {"liquid": liquid, "held_issuer": {}, "held_high_risk": 0}
        for policy in ("a tenth to an issuer", "a tenth at high risk"):
            yield _ask(money, {}, policy)
            yield _ask(money, {"issuer": ABSENT}, policy)
            yield _ask(money | {"held_high_risk": 1, "held_issuer": {"issuer 4": 1}}, {}, policy)
    for born, years in combine((1966, 1967, 1968, 1969), (0, 1, 2)):
        yield _ask({"birth_date": date(born, 11, 22)}, {"pay_years": years}, family="INS_PAR_UL")
    for left, least in combine((0, 1, 2), (0, 1, 2)):
        yield _ask({}, {"capacity_left": left, "min_amount": least})
    for months in (59, 60, 61):
        yield _ask({"horizon_months": months}, {}, "longer horizon")
    for count in (10**6, 10**6 + 1):
        yield _ask({"assessments_12m": count}, {})
        yield _ask({"assessments_today": count}, {})
    for level in (1, 2):
        assessed = {"assessed_on": date(2025, 11, 22)}
        yield _ask(assessed, {}, "rated from level 2", family="INS_PROTECTION", level=level)
    for months in (11, 12, 13):
        yield _ask({}, {"min_horizon_months": months, "assumed": ["max_age"]})
    for retail in ("Y", "N", "NEUTRAL"):
        yield _ask({}, {"retail": retail}, "neutral allowed")
    for family, level in combine(("OPTION", "FUND", "INS_PAR_UL"), range(1, 6)):
        for person in ({"birth_date": date(1950, 1, 1)}, {"vulnerable": True}):
            for policy in (AS_IT_IS, "tighter", "looser"):
                yield _ask(person, {"family": family}, policy, family="INS_PAR_UL", level=level)


def _leap_days_and_midnights() -> Iterator[Asked]:
    """Yields pairs two minutes before and at local midnights on which an age or a period ends."""
    days = (
        *(datetime(2029, 2, day, 16, tzinfo=UTC) for day in (26, 27, 28)),
        *(datetime(2028, 2, day, 16, tzinfo=UTC) for day in (27, 28, 29)),
        *(datetime(2029, 3, 1, 16, tzinfo=UTC), datetime(2028, 12, 31, 16, tzinfo=UTC)),
    )
    born = (date(1964, 2, 29), date(1964, 2, 28), date(1964, 3, 1), date(1960, 2, 29), date(1964, 1, 1))
    ages: tuple[dict[str, Any], ...] = ({}, {"min_age": 65}, {"max_age": 64}, {"min_age": 64, "max_age": 65})
    for day, birth, age, before in combine(days, born, ages, (timedelta(0), timedelta(minutes=2))):
        now = day - before
        for policy in (AS_IT_IS, "long response"):
            yield _at(now, {"birth_date": birth}, age, policy)
    # In the last year of the calendar no assessment has an expiry, which raises.
    for policy in (AS_IT_IS, "ended"):
        yield _at(datetime(9999, 6, 1, tzinfo=UTC), {}, {}, policy)
        yield _at(datetime(9999, 6, 1, tzinfo=UTC), {}, {"family": "INS_PAR_UL"}, policy)
    for name, months in combine(("assessed_on", "needs_on"), (0, 1)):
        for now in (datetime(2026, 11, 21, 15, 58, tzinfo=UTC), datetime(2026, 11, 21, 16, tzinfo=UTC)):
            dates = {name: date(2025, 11 + months, 22)}
            yield _at(now, dates, {}, AS_IT_IS)
            for family in ("INS_PAR_UL", "INS_LINKED"):
                yield _at(now, dates, {"needs_served": ["HEALTH"], "family": family}, AS_IT_IS)


def _at(now: datetime, user: Mapping[str, Any], product: Mapping[str, Any], policy: str) -> Asked:
    """Returns a case whose every date is moved to the instant, so that only what is given decides."""
    moved_user = {
        "profile_as_of": now - timedelta(hours=1),
        "assessed_on": now.date() - timedelta(days=30),
        "needs_on": now.date() - timedelta(days=30),
    }
    moved_product = {
        "sale_start": now - timedelta(days=1),
        "sale_end": now + timedelta(days=30),
        "licence_until": now + timedelta(days=30),
    }
    family = str(product.get("family", "FUND"))
    return _ask({**moved_user, **user}, {**moved_product, **product}, policy, family=family, now=now)


def _many_members() -> Iterator[Asked]:
    """Yields sets of more members than a word has bits, and holdings of every issuer or of very many."""
    # No other channel sorts before this one, so its bit is the first of all.
    yield _ask({}, {"channels": ["!"]}, channel="web")
    yield _ask({"held_issuer": {f"elsewhere {number}": 10**15 for number in range(10_000)}}, {}, "looser")
    needs = [f"NEED {number}" for number in range(150)]
    for number in range(0, 150, 7):
        insured = {"needs_served": needs, "dup_group": f"group {number}"}
        groups = {f"group {held}" for held in range(0, 150, 14)}
        user = {"needs": {needs[number]}, "held_dup_groups": groups}
        yield _ask(user, insured, family="INS_PAR_UL")
    for over, bought in combine(range(5), range(5)):
        held = {f"issuer {number}": 1 for number in range(5)} | {f"issuer {over}": 5_000_000}
        yield _ask({"held_issuer": held}, {"issuer": f"issuer {bought}"})


def _scores_of_zero() -> Iterator[Asked]:
    for limit in (0, -1, 1, True, "0", None):
        yield _ask({}, {"risk_score": 0}, limit=limit)
        yield _ask({}, {}, "no score derived", limit=limit)


def _bands_and_credit() -> Iterator[Asked]:
    bands = (*USER_CHANGES["user_risk_band"], 3)
    stated = (*PRODUCT_CHANGES["credit_like"], False)
    policies = (AS_IT_IS, "credit to band 3", "credit to nobody")
    for number, (band, credit_like, policy) in enumerate(combine(bands, stated, policies)):
        family = ("FUND", "INS_PROTECTION", "COURSE", "STRUCTURED", "OPTION")[number % 5]
        yield _ask({"user_risk_band": band}, {"credit_like": credit_like}, policy, family=family)


class _Broken(dict[str, Any]):
    """A record that cannot be read."""

    def get(self, key: str, default: object = None) -> NoReturn:
        """Fails as a lost connection behind a lazy record would."""
        raise RuntimeError(key)


def _broken_records() -> Iterator[Asked]:
    user, product = eligible_user(), eligible_product("x1")
    yield _Broken(user), product, AS_IT_IS, NOW, CHANNEL, None
    yield user, _Broken(product), AS_IT_IS, NOW, CHANNEL, None
    yield MappingProxyType(user), MappingProxyType(product), AS_IT_IS, NOW, CHANNEL, None
    yield user, product | {"status": "WITHDRAWN"}, AS_IT_IS, NOW.replace(tzinfo=None), CHANNEL, None
    yield _Broken(user), product, "ended", NOW, CHANNEL, None
    channels: tuple[Any, ...] = ([], {}, ("app",))
    for channel in channels:
        yield user, product, AS_IT_IS, NOW, channel, None
