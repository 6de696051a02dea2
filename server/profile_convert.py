"""Profiles to store off the wire, checked strictly, and stored ones onto it.

A request that carries a profile inline is answered whatever the profile holds: a wrong value is a missing
one. A profile to store is refused instead, and the field named: whoever sends it can mend it.
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

from prudence.v1 import profile_pb2

from server.convert import CAPACITIES, CLIENT_TYPES, PROFILE_FIELDS, read_profile
from server.errors import InvalidArgumentError
from server.render import render_instant
from suitability.records import USER_FIELDS, Field, read

_CLIENT_TYPES: Final = {name: number for number, name in CLIENT_TYPES.items()}
_CAPACITIES: Final = {name: number for number, name in CAPACITIES.items()}


def read_stored_profile(message: profile_pb2.UserProfile, field: str = "profile") -> dict[str, Any]:
    """Turns a profile to store into suitability's fields.

    Raises:
        InvalidArgumentError: a field has a value that suitability would count as missing; the error names it.
    """
    profile = read_profile(message)
    for wire_field, _ in message.ListFields():
        name = PROFILE_FIELDS[wire_field.name][0]
        # What cannot be represented is not in the profile at all.
        if read(profile, USER_FIELDS[name]) is None:
            raise InvalidArgumentError(f"{field}.{wire_field.name}", _describe(USER_FIELDS[name]))
    return profile


def read_patch(
    message: profile_pb2.UserProfile, paths: tuple[str, ...] | None
) -> tuple[dict[str, Any], frozenset[str]]:
    """Returns the fields that a patch changes and the names of those that it removes.

    Args:
        message: the new values.
        paths: the wire's names of the fields meant; None for those that are set.

    Raises:
        InvalidArgumentError: a path is no field, a value is wrong, or nothing would change.
    """
    values = read_stored_profile(message)
    if paths is None:
        if not values:
            raise InvalidArgumentError(
                "profile", "expected a field to change, or an update_mask, got neither"
            )
        return values, frozenset()
    if not paths:
        raise InvalidArgumentError("update_mask", "expected a field of UserProfile, got none")
    for path in paths:
        if path not in PROFILE_FIELDS:
            raise InvalidArgumentError(
                "update_mask", "expected names of fields of UserProfile, got another name"
            )
    names = {PROFILE_FIELDS[path][0] for path in paths}
    changes = {name: value for name, value in values.items() if name in names}
    return changes, frozenset(names - changes.keys())


def render_profile(profile: Mapping[str, Any]) -> profile_pb2.UserProfile:
    """Writes a stored profile; what the wire's types cannot hold is left out, as it counts as missing."""
    message = profile_pb2.UserProfile()
    for wire_name, (name, _) in PROFILE_FIELDS.items():
        if read(profile, USER_FIELDS[name]) is not None:
            _set_field(message, wire_name, profile[name])
    return message


def _set_field(message: profile_pb2.UserProfile, wire_name: str, value: Any) -> None:
    if wire_name == "client_type":
        message.client_type = _CLIENT_TYPES[value]
    elif wire_name == "capacity":
        message.capacity = _CAPACITIES[value]
    elif isinstance(value, datetime):
        message.profile_as_of_time.CopyFrom(render_instant(value))
    elif isinstance(value, date):
        day = profile_pb2.Date(year=value.year, month=value.month, day=value.day)
        getattr(message, wire_name).CopyFrom(day)
    elif isinstance(value, Mapping):
        getattr(message, wire_name).CopyFrom(profile_pb2.IntegerMap(values=value))
    elif isinstance(value, (set, frozenset, list, tuple)):
        getattr(message, wire_name).CopyFrom(profile_pb2.StringSet(values=sorted(value)))
    else:
        setattr(message, wire_name, value)


def _describe(field: Field) -> str:
    """Says what was expected; what was sent is personal data."""
    if field.choices is not None:
        return f"expected one of {', '.join(sorted(field.choices))}"
    if field.pattern is not None:
        return f"expected a {field.kind.value} of the form {field.pattern.pattern}"
    if field.kind.value in ("integer", "map from text to integer"):
        return f"expected a {field.kind.value}, {field.low} to {field.high}".replace(
            "a integer", "an integer"
        )
    return f"expected a {field.kind.value}"
