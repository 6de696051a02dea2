"""A user's profile as stores keep it: JSON out, suitability's fields in; and the holds on an inline one."""

import json
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final

from server.errors import StoreRowError
from suitability.records import USER_FIELDS, Kind


def dump_profile(profile: Mapping[str, Any]) -> str:
    """Writes the fields that are there as JSON: instants and days in ISO 8601, sets as sorted lists."""
    body = {}
    for name, value in profile.items():
        if name not in USER_FIELDS or value is None:
            continue
        kind = USER_FIELDS[name].kind
        if kind in (Kind.INSTANT, Kind.DAY):
            body[name] = value.isoformat()
        elif kind is Kind.TEXTS:
            body[name] = sorted(value)
        else:
            body[name] = dict(value) if kind is Kind.COUNTS else value
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def load_profile(text: str) -> dict[str, Any]:
    """Reads what `dump_profile` wrote.

    Raises:
        StoreRowError: the text is no profile.
    """
    try:
        body = json.loads(text)
        if not isinstance(body, dict):
            raise TypeError("no object")
        for name, read in _READERS.items():
            if name in body:
                body[name] = read(body[name])
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreRowError("profile") from error
    return body


def apply_holds(inline: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the inline profile with the stored block and withdrawn consent put over it.

    What is stored there and is neither True nor False holds, too: a hold that was written wrongly is one.
    """
    profile = dict(inline)
    if stored.get("blocked", False) is not False:
        profile["blocked"] = True
    if stored.get("consent_sensitive", True) is not True:
        profile["consent_sensitive"] = False
    return profile


_BY_KIND: Final[Mapping[Kind, Callable[[Any], Any]]] = {
    Kind.INSTANT: datetime.fromisoformat,
    Kind.DAY: date.fromisoformat,
    Kind.TEXTS: frozenset,
}
_READERS: Final = {
    name: _BY_KIND[field.kind] for name, field in USER_FIELDS.items() if field.kind in _BY_KIND
}
