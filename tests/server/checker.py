"""A second reading of the rules, written from their text alone; shares nothing with gate or definition.

Covers predicates 0, 1, 2, 3, 6, 9, 10 and 25. `judge` returns the names of the codes against a pair.
"""

import calendar
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

Record = Mapping[str, Any]

INVESTMENTS = ("WEALTH", "FUND", "TRUST", "STRUCTURED")
INSURANCES = ("INS_PROTECTION", "INS_PAR_UL", "INS_LINKED")
LEVELS = {"CN5": 5, "SRI7": 7}


def judge(
    user: Record, product: Record, policy: Record, now: datetime, channel: str, limit: int | None = None
) -> set[str]:
    learning = product.get("family") == "COURSE"
    found = {
        _policy(policy, now),
        _status(product, policy, learning),
        _window(product, now),
        _channel(product, now, channel, learning),
    }
    if not learning:
        rated = _rated(product, policy)
        found |= {
            _person(user),
            _assessment(user, policy, now) if rated else None,
            _level(user, product, policy, rated),
            _score(user, product, policy, limit) if rated else None,
        }
    return {code for code in found if code is not None}


def _policy(policy: Record, now: datetime) -> str | None:
    begins = datetime.fromisoformat(policy["effective_from"])
    ends = policy["effective_to"] and datetime.fromisoformat(policy["effective_to"])
    return None if now >= begins and (not ends or now < ends) else "SYS_POLICY_NOT_EFFECTIVE"


def _status(product: Record, policy: Record, learning: bool) -> str | None:
    families = (*INVESTMENTS, *INSURANCES, "COURSE")
    if product.get("family") not in families or not _word(product, "id") or not _word(product, "issuer"):
        return "PRD_DATA_INVALID"
    if product["id"] in policy["halted_products"] or product["issuer"] in policy["halted_issuers"]:
        return "PRD_HALTED"
    if not _word(product, "status"):
        return "PRD_STATUS_UNKNOWN"
    if product["status"] != "ON_SALE":
        return "PRD_NOT_ON_SALE"
    if not learning and not _word(product, "registration_code"):
        return "PRD_REGISTRATION_MISSING"
    return None


def _window(product: Record, now: datetime) -> str | None:
    begin, end = _moment(product, "sale_start"), _moment(product, "sale_end")
    if begin is None or end is None:
        return "PRD_WINDOW_UNKNOWN"
    if now < begin or now >= end:
        return "PRD_OUTSIDE_WINDOW"
    return None


def _channel(product: Record, now: datetime, channel: str, learning: bool) -> str | None:
    channels, licence = product.get("channels"), _moment(product, "licence_until")
    sound = isinstance(channels, (list, tuple, set, frozenset)) and all(
        isinstance(name, str) and name.strip() for name in channels
    )
    if not sound or (not learning and licence is None):
        return "PRD_CHANNEL_UNKNOWN"
    if channel not in channels:
        return "PRD_CHANNEL_NOT_PERMITTED"
    if not learning and now >= licence:
        return "PRD_CHANNEL_LICENCE_EXPIRED"
    return None


def _person(user: Record) -> str | None:
    if not isinstance(user.get("pseudonym"), bytes) or not user["pseudonym"]:
        return "USR_NOT_FOUND"
    if user.get("blocked") is not False:
        return "USR_RESTRICTED"
    if user.get("consent_sensitive") is not True:
        return "USR_CONSENT_MISSING"
    return None


def _assessment(user: Record, policy: Record, now: datetime) -> str | None:
    taken = user.get("assessed_on")
    if type(taken) is not date or _whole(user, "risk_level", 0, 5) is None:
        return "USR_ASSESSMENT_MISSING"
    today = now.astimezone(ZoneInfo(policy["jurisdiction_tz"])).date()
    if taken > today:
        return "USR_ASSESSMENT_FUTURE"
    if today >= _months_later(taken, policy["assessment"]["validity_months"]):
        return "USR_ASSESSMENT_EXPIRED"
    return _changes(user) or _assessment_counts(user, policy)


def _changes(user: Record) -> str | None:
    if user.get("change_reported") is not False:
        return "USR_CHANGE_REPORTED"
    if user.get("level_changed") is not False and user.get("level_confirmed") is not True:
        return "USR_LEVEL_UNCONFIRMED"
    return None


def _assessment_counts(user: Record, policy: Record) -> str | None:
    daily = _whole(user, "assessments_today", 0, 10**6)
    yearly = _whole(user, "assessments_12m", 0, 10**6)
    if daily is None or yearly is None:
        return "USR_ASSESSMENT_COUNT_UNKNOWN"
    if daily > policy["assessment"]["max_per_day"] or yearly > policy["assessment"]["max_per_12m"]:
        return "USR_ASSESSMENT_TOO_MANY"
    return None


def _level(user: Record, product: Record, policy: Record, rated: bool) -> str | None:
    level = _effective_level(product)
    if level is None:
        return "PRD_LEVEL_UNKNOWN"
    if policy["level_cap"] is not None and level > policy["level_cap"]:
        return "MAT_LEVEL_OVER_CAP"
    if not rated:
        return None
    tolerance = _whole(user, "risk_level", 0, 5)
    if tolerance is None:
        return "USR_ASSESSMENT_MISSING"
    highest = policy["risk_matrix"][product["scale"]][str(tolerance)]
    return "MAT_LEVEL_OVER_TOLERANCE" if level > highest else None


def _score(user: Record, product: Record, policy: Record, limit: int | None) -> str | None:
    score = _effective_score(product, policy)
    if score is None:
        return "PRD_RISK_SCORE_UNKNOWN"
    tolerance = _whole(user, "risk_level", 0, 5)
    if tolerance is None:
        return "USR_ASSESSMENT_MISSING"
    allowed = policy["risk_score"]["limit_by_level"][str(tolerance)]
    if limit is not None and limit < allowed:
        allowed = limit
    return "MAT_RISK_SCORE_OVER_LIMIT" if score > allowed else None


def _rated(product: Record, policy: Record) -> bool:
    if product.get("family") in ("INS_PROTECTION", "INS_PAR_UL"):
        level = _effective_level(product)
        return level is None or level >= policy["insurance"]["rated_from_level"]
    return True


def _effective_level(product: Record) -> int | None:
    top = LEVELS.get(product.get("scale"))  # type: ignore[arg-type]
    if top is None:
        return None
    stated = [_whole(product, name, 1, top) for name in ("level_issuer", "level_distributor")]
    return None if None in stated else max(stated)  # type: ignore[type-var]


def _effective_score(product: Record, policy: Record) -> int | None:
    if product.get("risk_score") is not None:
        return _whole(product, "risk_score", 0, 10_000)
    level = _effective_level(product)
    if level is None:
        return None
    score: int = policy["risk_score"]["derive_from_level"][product["scale"]][level - 1]
    return score


def _months_later(day: date, months: int) -> date:
    month_index = day.year * 12 + day.month - 1 + months
    year, month = month_index // 12, month_index % 12 + 1
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


def _whole(record: Record, name: str, low: int, high: int) -> int | None:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if low <= value <= high else None


def _word(record: Record, name: str) -> bool:
    value = record.get(name)
    return isinstance(value, str) and value.strip() != ""


def _moment(record: Record, name: str) -> datetime | None:
    value = record.get(name)
    return value if isinstance(value, datetime) and value.tzinfo is not None else None
