"""Builds requests from the records of a data set."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from google.protobuf import timestamp_pb2
from prudence.v1 import profile_pb2, recommendation_pb2

from index.features import Event

HISTORY_COUNT_MAX = 1000  # The wire contract's limit.
DOMAINS = {
    "learning": recommendation_pb2.DOMAIN_LEARNING,
    "financial": recommendation_pb2.DOMAIN_FINANCIAL,
    "both": recommendation_pb2.DOMAIN_BOTH,
}


def make_recommend(
    user: profile_pb2.User,
    *,
    domain: str,
    k: int,
    risk_score_limit: int | None = None,
    include_product_ids: Sequence[str] = (),
    allow_seen: bool = False,
    include_trace: bool = False,
) -> recommendation_pb2.RecommendRequest:
    """Makes a Recommend request; `domain` is learning, financial or both."""
    return recommendation_pb2.RecommendRequest(
        user=user,
        domain=DOMAINS[domain],
        k=k,
        risk_score_limit=risk_score_limit,
        include_product_ids=include_product_ids,
        allow_seen=allow_seen,
        include_trace=include_trace,
    )


def make_user(
    user_id: str, profile: Mapping[str, Any] | None = None, history: Sequence[Event] = ()
) -> profile_pb2.User:
    """Makes the user of a request: by id alone, or with an inline profile and history.

    Args:
        user_id: id of the user.
        profile: suitability's field names; None leaves profile and history to the store.
        history: events, any order; the latest that fit into a request are sent.
    """
    if profile is None:
        return profile_pb2.User(user_id=user_id)
    latest = sorted(history, key=lambda event: event.event_time)[-HISTORY_COUNT_MAX:]
    return profile_pb2.User(
        user_id=user_id, profile=make_profile(profile), history=[make_interaction(event) for event in latest]
    )


def make_interaction(event: Event) -> profile_pb2.Interaction:
    """Makes one event of a history."""
    event_time = timestamp_pb2.Timestamp()
    event_time.FromMicroseconds(round(event.event_time * 1e6))
    return profile_pb2.Interaction(
        product_id=event.product_id,
        event_type=f"EVENT_TYPE_{event.event_type.upper()}",
        event_time=event_time,
    )


def make_profile(record: Mapping[str, Any]) -> profile_pb2.UserProfile:
    """Makes a profile message; a field that is absent or None stays absent."""
    values = {}
    for name, (wire_name, convert) in _FIELDS.items():
        value = record.get(name)
        if value is not None:
            values[wire_name] = convert(value)
    return profile_pb2.UserProfile(**values)


def _make_instant(value: datetime) -> timestamp_pb2.Timestamp:
    message = timestamp_pb2.Timestamp()
    message.FromDatetime(value)
    return message


def _make_date(value: date) -> profile_pb2.Date:
    return profile_pb2.Date(year=value.year, month=value.month, day=value.day)


def _make_set(values: Sequence[str]) -> profile_pb2.StringSet:
    return profile_pb2.StringSet(values=sorted(values))


def _make_map(values: Mapping[str, int]) -> profile_pb2.IntegerMap:
    return profile_pb2.IntegerMap(values=dict(values))


def _keep(value: Any) -> Any:
    return value


def _client_type(value: str) -> int:
    return int(profile_pb2.ClientType.Value(f"CLIENT_TYPE_{value}"))


def _capacity(value: str) -> int:
    return int(profile_pb2.CivilCapacity.Value(f"CIVIL_CAPACITY_{value}"))


# Suitability's field name, the wire's, and how to convert.
_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "profile_as_of": ("profile_as_of_time", _make_instant),
    "client_type": ("client_type", _client_type),
    "capacity": ("capacity", _capacity),
    "birth_date": ("birth_date", _make_date),
    "jurisdiction": ("jurisdiction", _keep),
    "us_person": ("us_person", _keep),
    "risk_level": ("risk_level", _keep),
    "assessed_on": ("assessed_on", _make_date),
    "level_changed": ("level_changed", _keep),
    "level_confirmed": ("level_confirmed", _keep),
    "assessments_today": ("assessments_today_count", _keep),
    "assessments_12m": ("assessments_12m_count", _keep),
    "change_reported": ("change_reported", _keep),
    "knowledge": ("knowledge", _make_map),
    "loss_capacity": ("loss_capacity", _keep),
    "max_loss_bps": ("max_loss_bps", _keep),
    "horizon_months": ("horizon_months", _keep),
    "objectives": ("objectives", _make_set),
    "needs": ("needs", _make_set),
    "needs_on": ("needs_on", _make_date),
    "liquid": ("liquid_minor", _keep),
    "income": ("income_minor", _keep),
    "premium_budget": ("premium_budget_minor", _keep),
    "currencies": ("currencies", _make_set),
    "held_issuer": ("held_issuer", _make_map),
    "held_high_risk": ("held_high_risk_minor", _keep),
    "held_dup_groups": ("held_dup_groups", _make_set),
    "vulnerable": ("vulnerable", _keep),
    "blocked": ("blocked", _keep),
    "consent_sensitive": ("consent_sensitive", _keep),
    "user_risk_band": ("user_risk_band", _keep),
}
