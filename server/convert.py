"""Requests off the wire: checks every field and turns messages into plain values.

A wrong request field is refused and named. A profile value outside its range is no request error: it is
passed on, and suitability counts it as missing.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from prudence.v1 import profile_pb2, recommendation_pb2

from index.features import EVENT_TYPES, Event
from server.diversity import DIVERSE_K_MAX, WHOLE
from server.errors import InvalidArgumentError, ProfileRefusedError
from server.messages import Domain, NamedQuery, RecommendQuery, SimilarQuery, Tags, UserInput

ID_BYTES_MAX = 128
HISTORY_COUNT_MAX = 1000
PRODUCT_COUNT_MAX = 10_000
SET_COUNT_MAX = 1000
RISK_SCORE_MAX = 10_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CLIENT_TYPES = {
    profile_pb2.CLIENT_TYPE_RETAIL: "RETAIL",
    profile_pb2.CLIENT_TYPE_PROFESSIONAL: "PROFESSIONAL",
}
CAPACITIES = {
    profile_pb2.CIVIL_CAPACITY_FULL: "FULL",
    profile_pb2.CIVIL_CAPACITY_LIMITED: "LIMITED",
    profile_pb2.CIVIL_CAPACITY_NONE: "NONE",
}
_DOMAINS: dict[int, Domain] = {
    recommendation_pb2.DOMAIN_UNSPECIFIED: Domain.BOTH,
    recommendation_pb2.DOMAIN_LEARNING: Domain.LEARNING,
    recommendation_pb2.DOMAIN_FINANCIAL: Domain.FINANCIAL,
    recommendation_pb2.DOMAIN_BOTH: Domain.BOTH,
}
_INTENTS: dict[int, bool] = {
    recommendation_pb2.INTENT_UNSPECIFIED: False,
    recommendation_pb2.INTENT_RECOMMENDATION: False,
    recommendation_pb2.INTENT_USER_INITIATED: True,
}


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What the settings allow a request to ask."""

    k_max: int
    allow_inline_profile: bool
    diversity_trade_off: float = 1.0  # Of requests that state none.


def read_recommend(
    request: recommendation_pb2.RecommendRequest, limits: RequestLimits, now: datetime
) -> RecommendQuery:
    """Checks and converts a Recommend request.

    Args:
        request: the message.
        limits: what the settings allow.
        now: the instant that events without a time, or with a later one, are given.

    Raises:
        InvalidArgumentError: a field is wrong; the error names it.
        ProfileRefusedError: the request carries a profile and the settings do not allow that.
    """
    check_tenant(request.tenant_id)
    return RecommendQuery(
        user=_read_user(request, limits, now),
        domain=_read_domain(request.domain),
        k=_read_k(request.k, limits),
        risk_score_limit=_read_limit(request),
        include_product_ids=_read_filter("include_product_ids", request.include_product_ids),
        exclude_product_ids=_read_filter("exclude_product_ids", request.exclude_product_ids),
        allow_seen=request.allow_seen,
        request_id=read_context(request),
        tags=_read_tags(request),
        include_trace=request.include_trace,
        count_whole_domain=request.count_whole_domain,
        trade_off=_read_trade_off(request, limits),
        trade_off_stated=request.HasField("diversity_trade_off"),
    )


def read_similar(
    request: recommendation_pb2.SimilarProductsRequest, limits: RequestLimits, now: datetime
) -> SimilarQuery:
    """Checks and converts a SimilarProducts request; raises as `read_recommend` does."""
    check_tenant(request.tenant_id)
    check_id("product_id", request.product_id)
    return SimilarQuery(
        user=_read_user(request, limits, now),
        product_id=request.product_id,
        domain=_read_domain(request.domain),
        k=_read_k(request.k, limits),
        risk_score_limit=_read_limit(request),
        request_id=read_context(request),
        tags=_read_tags(request),
    )


def read_named(
    request: recommendation_pb2.ScoreProductsRequest | recommendation_pb2.CheckEligibilityRequest,
    limits: RequestLimits,
    now: datetime,
) -> NamedQuery:
    """Checks and converts a request about named products; raises as `read_recommend` does."""
    check_tenant(request.tenant_id)
    user_initiated = False
    if isinstance(request, recommendation_pb2.CheckEligibilityRequest):
        if request.intent not in _INTENTS:
            raise InvalidArgumentError("intent", f"expected a known Intent, got {request.intent}")
        user_initiated = _INTENTS[request.intent]
    return NamedQuery(
        user=_read_user(request, limits, now),
        product_ids=_read_named_ids(request.product_ids),
        user_initiated=user_initiated,
        risk_score_limit=_read_limit(request),
        request_id=read_context(request),
        tags=_read_tags(request),
    )


def read_profile(message: profile_pb2.UserProfile) -> dict[str, Any]:
    """Turns a profile message into suitability's field names; only what can be represented is set."""
    profile: dict[str, Any] = {}
    for field, value in message.ListFields():
        name, convert = PROFILE_FIELDS[field.name]
        converted = value if convert is None else convert(value)
        if converted is not None:
            profile[name] = converted
    return profile


def read_context(request: Any) -> str:
    """Checks the request's tags and returns its id, or makes one; raises as `read_recommend` does."""
    if not request.HasField("context"):
        return uuid.uuid4().hex
    context = request.context
    for name in ("request_id", "placement", "campaign"):
        if len(getattr(context, name).encode()) > ID_BYTES_MAX:
            raise InvalidArgumentError(f"context.{name}", f"expected at most {ID_BYTES_MAX} bytes")
    return context.request_id or uuid.uuid4().hex


def _read_tags(request: Any) -> Tags:
    """Returns the tags of a request whose context was checked."""
    return Tags(request.context.placement, request.context.campaign)


def _read_user(request: Any, limits: RequestLimits, now: datetime) -> UserInput:
    if not request.HasField("user"):
        raise InvalidArgumentError("user", "expected a user, got none")
    user = request.user
    check_id("user.user_id", user.user_id)
    if not user.HasField("profile"):
        if user.history:
            raise InvalidArgumentError("user.history", "expected user.profile beside it, got history alone")
        return UserInput(user.user_id, None, (), personalised=not user.personalisation_off)
    if not limits.allow_inline_profile:
        raise ProfileRefusedError("user.profile: this server takes no inline profiles")
    return UserInput(
        user.user_id,
        read_profile(user.profile),
        _read_history(user.history, now),
        personalised=not user.personalisation_off,
    )


def _read_history(history: Any, now: datetime) -> tuple[Event, ...]:
    if len(history) > HISTORY_COUNT_MAX:
        raise InvalidArgumentError(
            "user.history", f"expected at most {HISTORY_COUNT_MAX} events, got {len(history)}"
        )
    now_s = now.timestamp()
    names = EVENT_TYPES
    events = []
    for position, event in enumerate(history):
        number = event.event_type
        if not 1 <= number <= len(names):
            raise InvalidArgumentError(
                f"user.history[{position}].event_type", f"expected 1 to {len(names)}, got {number}"
            )
        stamp = event.event_time
        # An absent time is the zero Timestamp, and asking for presence costs more than reading it.
        time_s = stamp.seconds + stamp.nanos * 1e-9
        if time_s == 0.0 and not event.HasField("event_time"):
            time_s = now_s
        events.append(Event(event.product_id, names[number - 1], min(time_s, now_s)))
    return tuple(events)


def _read_domain(number: int) -> Domain:
    domain = _DOMAINS.get(number)
    if domain is None:
        raise InvalidArgumentError("domain", f"expected a known Domain, got {number}")
    return domain


def _read_k(k: int, limits: RequestLimits) -> int:
    if not 1 <= k <= limits.k_max:
        raise InvalidArgumentError("k", f"expected 1 to {limits.k_max}, got {k}")
    return k


def _read_limit(request: Any) -> int | None:
    if not request.HasField("risk_score_limit"):
        return None
    limit = int(request.risk_score_limit)
    if not 0 <= limit <= RISK_SCORE_MAX:
        raise InvalidArgumentError("risk_score_limit", f"expected 0 to {RISK_SCORE_MAX}, got {limit}")
    return limit


def _read_trade_off(request: Any, limits: RequestLimits) -> int:
    stated = request.HasField("diversity_trade_off")
    value = request.diversity_trade_off if stated else limits.diversity_trade_off
    if not 0 <= value <= 1:  # NaN is not, either.
        raise InvalidArgumentError("diversity_trade_off", f"expected 0 to 1, got {value}")
    trade_off = round(value * WHOLE)
    if trade_off != WHOLE and request.k > DIVERSE_K_MAX:
        problem = f"expected at most {DIVERSE_K_MAX} with a diversity_trade_off below 1, got {request.k}"
        raise InvalidArgumentError("k", problem)
    return trade_off


def _read_filter(field: str, product_ids: Any) -> tuple[str, ...]:
    if len(product_ids) > PRODUCT_COUNT_MAX:
        raise InvalidArgumentError(field, f"expected at most {PRODUCT_COUNT_MAX} ids, got {len(product_ids)}")
    return tuple(product_ids)


def _read_named_ids(product_ids: Any) -> tuple[str, ...]:
    if not 1 <= len(product_ids) <= PRODUCT_COUNT_MAX:
        raise InvalidArgumentError(
            "product_ids", f"expected 1 to {PRODUCT_COUNT_MAX} ids, got {len(product_ids)}"
        )
    seen: dict[str, int] = {}
    for position, product_id in enumerate(product_ids):
        first = seen.setdefault(product_id, position)
        if first != position:
            raise InvalidArgumentError(
                f"product_ids[{position}]", f"expected distinct ids, got that of product_ids[{first}] again"
            )
    return tuple(product_ids)


def check_tenant(tenant_id: str) -> None:
    """Refuses every tenant but the only one; raises as `read_recommend` does."""
    if tenant_id:
        raise InvalidArgumentError("tenant_id", 'expected "", the only tenant')


def check_id(field: str, value: str) -> None:
    """Refuses an id that is empty or too long."""
    length = len(value.encode())
    if not 1 <= length <= ID_BYTES_MAX:
        raise InvalidArgumentError(field, f"expected 1 to {ID_BYTES_MAX} bytes, got {length}")


def read_instant(stamp: Any) -> datetime | None:
    """Returns the instant of a Timestamp, None where Python has none."""
    try:
        return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        return None


def _read_date(message: profile_pb2.Date) -> date | None:
    try:
        return date(message.year, message.month, message.day)
    except (ValueError, OverflowError):
        return None


def _read_set(message: profile_pb2.StringSet) -> frozenset[str] | None:
    return frozenset(message.values) if len(message.values) <= SET_COUNT_MAX else None


def _read_map(message: profile_pb2.IntegerMap) -> Mapping[str, int] | None:
    return dict(message.values) if len(message.values) <= SET_COUNT_MAX else None


_Converter = Callable[[Any], Any] | None
# The wire's field name, suitability's, and how to convert; None copies the value.
PROFILE_FIELDS: dict[str, tuple[str, _Converter]] = {
    "profile_as_of_time": ("profile_as_of", read_instant),
    "client_type": ("client_type", CLIENT_TYPES.get),
    "capacity": ("capacity", CAPACITIES.get),
    "birth_date": ("birth_date", _read_date),
    "jurisdiction": ("jurisdiction", None),
    "us_person": ("us_person", None),
    "risk_level": ("risk_level", None),
    "assessed_on": ("assessed_on", _read_date),
    "level_changed": ("level_changed", None),
    "level_confirmed": ("level_confirmed", None),
    "assessments_today_count": ("assessments_today", None),
    "assessments_12m_count": ("assessments_12m", None),
    "change_reported": ("change_reported", None),
    "knowledge": ("knowledge", _read_map),
    "loss_capacity": ("loss_capacity", None),
    "max_loss_bps": ("max_loss_bps", None),
    "horizon_months": ("horizon_months", None),
    "objectives": ("objectives", _read_set),
    "needs": ("needs", _read_set),
    "needs_on": ("needs_on", _read_date),
    "liquid_minor": ("liquid", None),
    "income_minor": ("income", None),
    "premium_budget_minor": ("premium_budget", None),
    "currencies": ("currencies", _read_set),
    "held_issuer": ("held_issuer", _read_map),
    "held_high_risk_minor": ("held_high_risk", None),
    "held_dup_groups": ("held_dup_groups", _read_set),
    "vulnerable": ("vulnerable", None),
    "blocked": ("blocked", None),
    "consent_sensitive": ("consent_sensitive", None),
    "user_risk_band": ("user_risk_band", None),
}
