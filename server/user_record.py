"""One user at one instant, compiled for the gate: every division and every look at the calendar is done here.

The kernel reads the record; its layout is `USER_DTYPE`, which `server.gate` compares with the kernel's own.
What a rule says of the user alone is asked of the definition itself, with a product against which the user
decides it.
"""

import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.columns import (
    KNOWLEDGE_SLOTS,
    MISSING,
    UNKNOWN_FAMILY_SLOT,
    Columns,
    code_number,
    to_microseconds,
)
from suitability import records
from suitability.calendar_days import age_rounded_down, age_rounded_up
from suitability.evaluate import PREDICATE_ERROR
from suitability.policy import Policy
from suitability.predicates.assessment import check_assessment
from suitability.predicates.credit import check_credit
from suitability.predicates.insurance import check_needs
from suitability.predicates.pair import Pair
from suitability.predicates.product import check_system
from suitability.predicates.risk import check_elder, check_vulnerable
from suitability.predicates.user import check_capacity, check_staleness, check_user
from suitability.ratings import applied_risk_score_limit
from suitability.records import USER_FIELDS

USER_DTYPE: Final = np.dtype(
    [
        *((name, np.int64) for name in ("now_us", "affordable_amount", "issuer_room", "high_risk_room")),
        *((name, np.int64) for name in ("annual_premium_max", "single_premium_max", "budget_max")),
        *((name, np.int32) for name in ("held_issuer_start", "held_issuer_stop")),
        *((name, np.int32) for name in ("held_group_start", "held_group_stop")),
        *((name, np.int16) for name in ("risk_score_limit", "horizon_months", "max_loss_bps")),
        *((name, np.int16) for name in ("age_rounded_down", "age_rounded_up", "pay_years_stop")),
        *((name, np.uint8) for name in ("system_code", "clock_code", "user_code", "staleness_code")),
        *((name, np.uint8) for name in ("capacity_code", "assessment_code", "tolerance_code", "age_code")),
        *((name, np.uint8) for name in ("jurisdiction_code", "currency_code", "liquid_code")),
        *((name, np.uint8) for name in ("holdings_code", "objectives_code", "needs_code")),
        *((name, np.uint8) for name in ("groups_code", "income_code", "credit_code")),
        *((name, np.int8) for name in ("risk_level", "loss_capacity")),
        *((name, np.uint8) for name in ("limited", "professional", "elder", "vulnerable", "us_person")),
        ("knowledge", np.int8, UNKNOWN_FAMILY_SLOT + 1),
        ("padding", np.uint8, 3),
    ]
)

# A record as bytes is made five times as fast as by naming fields of an array.
_NUMBER_NAMES: Final = [name for name in USER_DTYPE.names or () if name not in {"knowledge", "padding"}]
_FORMATS: Final = {"int64": "q", "int32": "i", "int16": "h", "int8": "b", "uint8": "B"}
_FORM: Final = struct.Struct(
    "<" + "".join(_FORMATS[USER_DTYPE[name].name] for name in _NUMBER_NAMES) + f"{UNKNOWN_FAMILY_SLOT + 1}b3x"
)
# A user who holds one of these is shown no financial product.
_DENYING: Final = (
    *("system_code", "user_code", "staleness_code", "capacity_code"),
    *("age_code", "jurisdiction_code", "currency_code"),
)
WORST: Final = {"family": "INS_LINKED", "needs_served": (), "credit_like": True}
"""A rated, credit-like insurance of unknown level that serves no need: no rule that protects a user lets it
pass, and any code of predicate 23 but MAT_NEEDS is said of the user's statement."""
# Above every amount; the room for a purchase may exceed what 64 bits hold.
_ROOM_MAX: Final = 2**62
_WHOLE_BPS: Final = 10_000

_Values = dict[str, int]


@dataclass(frozen=True, slots=True)
class UserArrays:
    """What the kernel reads of users.

    Attributes:
        records: of USER_DTYPE, [users].
        sets: bits of their sets, uint64 [users, word_count].
        held_issuers: number and remaining room of each issuer held, int64 [n, 2]; ascending for each user.
        held_groups: numbers of the groups of cover held, int64 [m]; ascending for each user.
        denied: a code of the users' own holds for every financial product.
        assessed: a rated product may be shown.
    """

    records: NDArray[np.void]
    sets: NDArray[np.uint64]
    held_issuers: NDArray[np.int64]
    held_groups: NDArray[np.int64]
    denied: bool
    assessed: bool


def compile_user(
    profile: Mapping[str, Any],
    columns: Columns,
    policy: Policy,
    now: datetime,
    channel: str,
    risk_score_limit: int | None,
) -> UserArrays:
    """Compiles one user.

    Args:
        profile: the user's fields.
        columns: the catalogue, which numbers issuers, groups and members of sets.
        policy: the policy in force.
        now: decision_time.
        channel: sales channel.
        risk_score_limit: the request's own limit; it can only tighten.
    """
    pair = Pair(profile, WORST, policy, now, channel, risk_score_limit)
    holdings, held_issuers, held_groups = _read_holdings(pair, columns)
    sets = _read_sets(pair)
    values = {
        **_decide(pair),
        **_read_age(pair),
        **_read_numbers(pair),
        **_read_finances(pair),
        **holdings,
        "jurisdiction_code": code_number("USR_JURISDICTION_UNKNOWN") if sets["jurisdictions"] is None else 0,
        "currency_code": code_number("USR_CURRENCY_UNKNOWN") if sets["currency"] is None else 0,
        "objectives_code": 0 if sets["objectives_y"] else code_number("USR_OBJECTIVES_UNKNOWN"),
    }
    numbers = [values.get(name, 0) for name in _NUMBER_NAMES]
    return UserArrays(
        records=np.frombuffer(_FORM.pack(*numbers, *_read_knowledge(pair)), USER_DTYPE),
        sets=columns.sets.encode(sets).reshape(1, -1),
        held_issuers=np.array(held_issuers, np.int64).reshape(-1, 2),
        held_groups=np.array(held_groups, np.int64),
        denied=any(values[name] for name in _DENYING),
        assessed=not values["assessment_code"],
    )


def join_users(users: Sequence[UserArrays]) -> UserArrays:
    """Puts users that were compiled one by one into one table, in order; at least one."""
    # Bytes are joined forty times as fast as records, whose fields numpy compares one by one.
    table = np.frombuffer(bytearray().join([user.records.tobytes() for user in users]), USER_DTYPE)  # [users]
    for name in ("held_issuer", "held_group"):
        ends = np.cumsum(table[f"{name}_stop"])
        table[f"{name}_start"] = ends - table[f"{name}_stop"]
        table[f"{name}_stop"] = ends
    return UserArrays(
        records=table,
        sets=np.concatenate([user.sets for user in users]),
        held_issuers=np.concatenate([user.held_issuers for user in users]),
        held_groups=np.concatenate([user.held_groups for user in users]),
        denied=all(user.denied for user in users),
        assessed=any(user.assessed for user in users),
    )


def _code(check: Callable[[Pair], str | None], pair: Pair) -> int:
    """Returns the number of what a rule says; as in the definition, one that raises says no."""
    try:
        return code_number(check(pair))
    except Exception:  # noqa: BLE001 - whatever went wrong, the answer is a coded no.
        return code_number(PREDICATE_ERROR)


def _decide(pair: Pair) -> _Values:
    """Decides predicates 0, 6, 7, 8, 9, 17 and 26, and what the others say of the user alone."""
    capacity = _code(check_capacity, pair)
    limited = capacity == code_number("MAT_LIMITED_CAPACITY_LEVEL")
    needs = _code(check_needs, pair)
    no_risk_level = records.integer(pair.user, USER_FIELDS["risk_level"]) is None
    return {
        "system_code": _code(check_system, pair),
        "user_code": _code(check_user, pair),
        "staleness_code": _code(check_staleness, pair),
        "capacity_code": 0 if limited else capacity,
        "limited": limited,
        "assessment_code": _code(check_assessment, pair),
        "tolerance_code": code_number("USR_ASSESSMENT_MISSING") if no_risk_level else 0,
        "credit_code": _code(check_credit, pair),
        "vulnerable": check_vulnerable(pair) is not None,
        "professional": records.text(pair.user, USER_FIELDS["client_type"]) == "PROFESSIONAL",
        "us_person": records.flag(pair.user, USER_FIELDS["us_person"]) is not False,
        "needs_code": 0 if needs == code_number("MAT_NEEDS") else needs,
    }


def _read_age(pair: Pair) -> _Values:
    """Reads what predicates 15, 16 and 24 compare, and the instant of 2 and 3."""
    try:
        values = {"now_us": to_microseconds(pair.moment)}
    except ValueError:
        values = {"clock_code": code_number(PREDICATE_ERROR)}
    elder = _code(check_elder, pair)
    if elder not in (0, code_number("MAT_ELDER_PROTECTION")):
        return values | {"age_code": elder}
    assert pair.birth_date is not None
    age = age_rounded_up(pair.birth_date, pair.today)
    return values | {
        "age_code": 0,
        "elder": elder != 0,
        "age_rounded_down": age_rounded_down(pair.birth_date, pair.today),
        "age_rounded_up": age,
        "pay_years_stop": pair.rules["insurance"]["age_plus_pay_years_max_exclusive"] - age,
    }


def _read_numbers(pair: Pair) -> _Values:
    """Reads what predicates 10, 13, 14 and 25 compare."""
    values = {name: _integer(pair, name) for name in ("loss_capacity", "max_loss_bps", "horizon_months")}
    limit = applied_risk_score_limit(pair.user, pair.policy, pair.risk_score_limit)
    # Where the level is missing, tolerance_code denies before anybody looks at level or limit.
    level = max(_integer(pair, "risk_level"), 0)
    return values | {"risk_level": level, "risk_score_limit": MISSING if limit is None else limit}


def _read_finances(pair: Pair) -> _Values:
    """Reads the most that predicates 20 and 24 let the user pay; whole, as amounts are."""
    liquid, income, budget = (_integer(pair, name) for name in ("liquid", "income", "premium_budget"))
    rules = pair.rules["insurance"]
    unknown = code_number("USR_FINANCES_UNKNOWN")
    return {
        "liquid_code": unknown if liquid == MISSING else 0,
        "affordable_amount": _part(liquid, pair.rules["affordability"]["min_investment_max_bps_of_liquid"]),
        "income_code": unknown if MISSING in (income, budget) else 0,
        "annual_premium_max": _part(income, rules["annual_premium_max_bps_of_income"]),
        "single_premium_max": _part(income, rules["single_premium_max_bps_of_income"]),
        "budget_max": _part(budget, rules["budget_max_bps"]),
    }


def _read_holdings(pair: Pair, columns: Columns) -> tuple[_Values, list[tuple[int, int]], list[int]]:
    """Reads what predicate 21 leaves room for, and which cover predicate 23 finds held.

    Returns:
        values of the record; number and room of each issuer held; numbers of the groups held.
    """
    held = records.counts(pair.user, USER_FIELDS["held_issuer"])
    groups = records.texts(pair.user, USER_FIELDS["held_dup_groups"])
    high_risk = _integer(pair, "held_high_risk")
    unknown = code_number("USR_HOLDINGS_UNKNOWN")
    by_issuer = held or {}
    # Where a part of it is missing a code denies, and nobody looks at the total.
    total = _integer(pair, "liquid") + sum(by_issuer.values())
    rules = pair.rules["concentration"]
    room = _part(total, rules["issuer_max_bps"])
    rooms = sorted(
        (columns.issuers[name], min(room - amount, _ROOM_MAX))
        for name, amount in by_issuer.items()
        if name in columns.issuers
    )
    numbers = sorted(columns.dup_groups[name] for name in groups or () if name in columns.dup_groups)
    values = {
        "holdings_code": unknown if held is None or high_risk == MISSING else 0,
        "groups_code": unknown if groups is None else 0,
        "issuer_room": min(room, _ROOM_MAX),
        "high_risk_room": min(_part(total, rules["high_risk_max_bps"]) - high_risk, _ROOM_MAX),
        "held_issuer_stop": len(rooms),
        "held_group_stop": len(numbers),
    }
    return values, rooms, numbers


def _read_knowledge(pair: Pair) -> list[int]:
    levels = [MISSING] * (UNKNOWN_FAMILY_SLOT + 1)
    for family, level in (records.counts(pair.user, USER_FIELDS["knowledge"]) or {}).items():
        slot = KNOWLEDGE_SLOTS.get(family)
        if slot is not None:
            levels[slot] = level
    return levels


def _read_sets(pair: Pair) -> dict[str, Collection[str] | None]:
    """Reads the user's side of every set; None where it is missing."""
    place = records.text(pair.user, USER_FIELDS["jurisdiction"])
    objectives = records.texts(pair.user, USER_FIELDS["objectives"])
    return {
        "channels": (pair.channel,) if isinstance(pair.channel, str) else None,
        "jurisdictions": None if place is None else (place,),
        "currency": records.texts(pair.user, USER_FIELDS["currencies"]),
        "objectives_y": objectives,
        "objectives_n": objectives,
        "needs_served": records.texts(pair.user, USER_FIELDS["needs"]),
    }


def _integer(pair: Pair, name: str) -> int:
    value = records.integer(pair.user, USER_FIELDS[name])
    return MISSING if value is None else value


def _part(amount: int, ratio_bps: int) -> int:
    return amount * ratio_bps // _WHOLE_BPS
