"""Groups users by what their profiles say; who does not say is a group, too."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

Record = Mapping[str, Any]

UNKNOWN: Final = "not known"
AGES: Final = ((18, "under 18"), (30, "18 to 29"), (45, "30 to 44"), (65, "45 to 64"))
OLDEST: Final = "65 and over"
HORIZONS: Final = ((12, "under 1 year"), (36, "1 to 3 years"), (60, "3 to 5 years"))
LONGEST: Final = "5 years and over"
HISTORIES: Final = ((1, "0"), (2, "1"), (3, "2"), (6, "3-5"), (11, "6-10"))
LONGEST_HISTORY: Final = "> 10"


def group_by_age(profiles: Sequence[Record], clock: datetime) -> list[str]:
    """Groups by age in whole years at `clock`."""
    groups = []
    for profile in profiles:
        born = profile.get("birth_date")
        if born is None:
            groups.append(UNKNOWN)
        else:
            years = clock.year - born.year - ((clock.month, clock.day) < (born.month, born.day))
            groups.append(_find(years, AGES, OLDEST))
    return groups


def group_by_horizon(profiles: Sequence[Record]) -> list[str]:
    """Groups by the user's horizon."""
    months = [profile.get("horizon_months") for profile in profiles]
    return [UNKNOWN if one is None else _find(one, HORIZONS, LONGEST) for one in months]


def group_by_risk(profiles: Sequence[Record]) -> list[str]:
    """Groups by the user's risk level."""
    levels = [profile.get("risk_level") for profile in profiles]
    return [UNKNOWN if level is None else f"risk level {level}" for level in levels]


def group_by_text(profiles: Sequence[Record], field: str) -> list[str]:
    """Groups by the value of a field."""
    return [str(value) if (value := profile.get(field)) is not None else UNKNOWN for profile in profiles]


def group_by_history(event_counts: Sequence[int]) -> list[str]:
    """Groups by the number of events that the model was told."""
    return [_find(count, HISTORIES, LONGEST_HISTORY) for count in event_counts]


def group_profiles(profiles: Sequence[Record], clock: datetime) -> dict[str, list[str]]:
    """Groups by every trait that a report looks at; traits that tell nobody apart are left out."""
    groups = {
        "risk level": group_by_risk(profiles),
        "age": group_by_age(profiles, clock),
        "horizon": group_by_horizon(profiles),
        "place": group_by_text(profiles, "jurisdiction"),
        "client type": group_by_text(profiles, "client_type"),
        "vulnerable": group_by_text(profiles, "vulnerable"),
    }
    return {trait: mine for trait, mine in groups.items() if len(set(mine)) > 1}


def list_groups(groups: Sequence[str]) -> list[str]:
    """Lists the groups that occur: steps in their order, others by name, who does not say last."""
    order = [name for steps in (AGES, HORIZONS, HISTORIES) for _, name in steps]
    order += [OLDEST, LONGEST, LONGEST_HISTORY]  # Steps of different kinds never meet.
    place_of = {name: place for place, name in enumerate(order)}
    return sorted(set(groups), key=lambda name: (name == UNKNOWN, place_of.get(name, -1), name))


def _find(value: int, steps: Sequence[tuple[int, str]], last: str) -> str:
    return next((name for stop, name in steps if value < stop), last)
