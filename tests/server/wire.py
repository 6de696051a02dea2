"""Builds request messages from plain values, for tests that speak to a running server."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from google.protobuf import timestamp_pb2
from prudence.v1 import profile_pb2, recommendation_pb2

from tests.server.cases import eligible_user

_RENAMED = {
    "profile_as_of": "profile_as_of_time",
    "assessments_today": "assessments_today_count",
    "assessments_12m": "assessments_12m_count",
    "liquid": "liquid_minor",
    "income": "income_minor",
    "premium_budget": "premium_budget_minor",
    "held_high_risk": "held_high_risk_minor",
}

_CHOICES = {"client_type": ("RETAIL", "PROFESSIONAL"), "capacity": ("FULL", "LIMITED", "NONE")}
_LONG = ("assessments_today", "assessments_12m", "liquid", "income", "premium_budget", "held_high_risk")
_WHOLE = eligible_user()


def to_profile(profile: Mapping[str, Any]) -> profile_pb2.UserProfile:
    """Writes suitability's fields as a message; the pseudonym is the server's to make."""
    message = profile_pb2.UserProfile()
    for name, value in profile.items():
        field = _RENAMED.get(name, name)
        if name == "pseudonym" or value is None:
            continue
        if name == "client_type":
            message.client_type = profile_pb2.ClientType.Value(f"CLIENT_TYPE_{value}")
        elif name == "capacity":
            message.capacity = profile_pb2.CivilCapacity.Value(f"CIVIL_CAPACITY_{value}")
        elif isinstance(value, datetime):
            getattr(message, field).CopyFrom(to_timestamp(value))
        elif isinstance(value, date):
            getattr(message, field).CopyFrom(
                profile_pb2.Date(year=value.year, month=value.month, day=value.day)
            )
        elif isinstance(value, (set, frozenset, list, tuple)):
            getattr(message, field).CopyFrom(profile_pb2.StringSet(values=sorted(value)))
        elif isinstance(value, Mapping):
            getattr(message, field).CopyFrom(profile_pb2.IntegerMap(values=value))
        else:
            setattr(message, field, value)
    return message


def as_sent(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a profile as it arrives: what the wire's types cannot hold is left out, so it is missing."""
    return {name: value for name, value in profile.items() if _can_send(name, value)} | {
        "pseudonym": b"made by the server"
    }


def _can_send(name: str, value: Any) -> bool:
    kind = type(_WHOLE[name])
    if kind is frozenset:
        listed = isinstance(value, (set, frozenset, list, tuple))
        return listed and all(isinstance(member, str) for member in value)
    if kind is dict:
        entries = value.items() if isinstance(value, dict) else [(None, None)]
        return all(isinstance(key, str) and type(entry) is int for key, entry in entries)
    if type(value) is not kind:
        return False
    if kind is str:
        return name == "jurisdiction" or value in _CHOICES[name]
    if kind is datetime:
        return value.tzinfo is not None and value.year > 1
    return kind is not int or abs(value) < 2**31 or (abs(value) < 2**63 and name in _LONG)


def to_timestamp(value: datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(value)
    return stamp


def to_user(
    user_id: str,
    profile: Mapping[str, Any] | None = None,
    history: Sequence[tuple[str, int, datetime | None]] = (),
) -> profile_pb2.User:
    events = [
        profile_pb2.Interaction(
            product_id=product_id,
            event_type=event_type,  # type: ignore[arg-type]
            event_time=None if moment is None else to_timestamp(moment),
        )
        for product_id, event_type, moment in history
    ]
    return profile_pb2.User(
        user_id=user_id, profile=None if profile is None else to_profile(profile), history=events
    )


def recommend(user: profile_pb2.User, k: int = 10, **fields: Any) -> recommendation_pb2.RecommendRequest:
    return recommendation_pb2.RecommendRequest(
        user=user,
        k=k,
        context=recommendation_pb2.RequestContext(request_id="test"),
        **fields,
    )
