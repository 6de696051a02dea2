"""Counts what a new policy changes: pairs that become eligible or stop being so, by whom and by why."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from suitability.calendar_days import age_rounded_up, local_day
from suitability.codes import CODES_BY_NUMBER, codes_of_mask
from suitability.policy import Policy
from suitability.ratings import effective_level, is_learning
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, day, flag, integer, raw, text

ISSUER_COUNT_MAX: Final = 20
REST: Final = "the other issuers"

Record = Mapping[str, Any]
Masks = NDArray[np.uint64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Change:
    """Says how many pairs of a group are eligible under the old policy, and what the new one changes.

    Attributes:
        name: the group.
        eligible_old: eligible under the old policy.
        gained: eligible under the new one only.
        lost: eligible under the old one only.
    """

    name: str
    eligible_old: int
    gained: int
    lost: int

    @property
    def eligible_new(self) -> int:
        """Returns how many are eligible under the new policy."""
        return self.eligible_old + self.gained - self.lost

    @property
    def direction(self) -> str:
        """Says in a word whether the group is offered more or less."""
        if self.gained and self.lost:
            return "both"
        return "loosens" if self.gained else "tightens" if self.lost else "same"


@dataclass(frozen=True)
class CodeChange:
    """Says how many changed pairs a code is against, and in how many of them no other code is."""

    code: str
    pair_count: int
    alone_count: int


@dataclass(frozen=True)
class Outcome:
    """Holds everything counted.

    Attributes:
        user_count: users judged.
        total: all pairs; `kinds`, `levels` and `issuers` split it.
        kinds: financial products and learning content.
        levels: by the product's scale and effective level.
        issuers: the ISSUER_COUNT_MAX with the most changes, then the others together.
        segments: by name of the segment, its users' pairs with financial products, by group.
        lost_codes: against pairs that are lost: what the new policy adds.
        gained_codes: against pairs that are gained: what the old policy had.
        users_to_nothing, users_from_nothing: users who lose their last, or gain their first, suitable
            financial product.
        users_with_nothing: users with none under either policy.
    """

    user_count: int
    total: Change
    kinds: tuple[Change, ...]
    levels: tuple[Change, ...]
    issuers: tuple[Change, ...]
    segments: Mapping[str, tuple[Change, ...]]
    lost_codes: tuple[CodeChange, ...]
    gained_codes: tuple[CodeChange, ...]
    users_to_nothing: int
    users_from_nothing: int
    users_with_nothing: int


class Counting:
    """Adds chunk after chunk; its memory does not grow with the number of users."""

    def __init__(self, products: Sequence[Record], old: Policy, now: datetime) -> None:
        """Prepares the groups. Who is elder is said by the old policy, so that no user changes group."""
        self._products = products
        self._financial = np.array([not is_learning(product) for product in products])
        self._by_product: Counts = np.zeros((3, len(products)), np.int64)  # Eligible before, gained, lost.
        self._by_segment = {name: Counter[tuple[str, int]]() for name in _SEGMENTS}
        self._masks_of_lost: Counter[int] = Counter()
        self._masks_of_gained: Counter[int] = Counter()
        self._users: Counts = np.zeros(4, np.int64)  # All, to nothing, from nothing, with nothing.
        self._today = local_day(now, ZoneInfo(old.values["jurisdiction_tz"]))
        self._elder_age = int(old.values["elder"]["age"])

    def add(self, profiles: Sequence[Record], masks: tuple[Masks, Masks]) -> None:
        """Adds a chunk; masks are uint64 [profiles, products, 2], under the old and the new policy."""
        before, after = (~np.any(each, axis=2) for each in masks)  # [profiles, products]
        gained, lost = after & ~before, before & ~after
        parts = np.stack([before, gained, lost])  # [3, profiles, products]
        self._by_product += parts.sum(axis=1)
        _count_masks(self._masks_of_lost, masks[1][lost])
        _count_masks(self._masks_of_gained, masks[0][gained])
        had, has = (each[:, self._financial].any(axis=1) for each in (before, after))
        self._users += [len(profiles), np.sum(had & ~has), np.sum(has & ~had), np.sum(~had & ~has)]
        of_users = parts[:, :, self._financial].sum(axis=2)  # [3, profiles]
        for name, group_of in _SEGMENTS.items():
            groups = [group_of(self, profile) for profile in profiles]
            for part in range(3):
                for group, count in zip(groups, of_users[part].tolist(), strict=True):
                    self._by_segment[name][group, part] += count

    def finish(self) -> Outcome:
        """Returns what was counted."""
        kinds = ["financial products" if each else "learning content" for each in self._financial]
        issuers = [text(product, PRODUCT_FIELDS["issuer"]) or "no issuer" for product in self._products]
        total = self._group(["all"] * len(self._products))
        users = self._users.tolist()
        return Outcome(
            user_count=users[0],
            total=total[0],
            kinds=self._group(kinds),
            levels=self._group([_level_name(product) for product in self._products]),
            issuers=_top(self._group(issuers)),
            segments={name: _changes(counter) for name, counter in self._by_segment.items()},
            lost_codes=_code_changes(self._masks_of_lost),
            gained_codes=_code_changes(self._masks_of_gained),
            users_to_nothing=users[1],
            users_from_nothing=users[2],
            users_with_nothing=users[3],
        )

    def age_group(self, profile: Record) -> str:
        """Names the user's side of the old policy's elder age."""
        birth = day(profile, USER_FIELDS["birth_date"])
        if birth is None or birth > self._today:
            return "age not known"
        older = age_rounded_up(birth, self._today) >= self._elder_age
        return f"{self._elder_age} or older" if older else f"under {self._elder_age}"

    def _group(self, names: Sequence[str]) -> tuple[Change, ...]:
        counter: Counter[tuple[str, int]] = Counter()
        for part in range(3):
            for name, count in zip(names, self._by_product[part].tolist(), strict=True):
                counter[name, part] += count
        return _changes(counter)


def _client_type(_: Counting, profile: Record) -> str:
    return text(profile, USER_FIELDS["client_type"]) or "not stated, so RETAIL"


def _vulnerability(_: Counting, profile: Record) -> str:
    stated = flag(profile, USER_FIELDS["vulnerable"])
    return "not stated, so vulnerable" if stated is None else "vulnerable" if stated else "not vulnerable"


def _risk_level(_: Counting, profile: Record) -> str:
    level = integer(profile, USER_FIELDS["risk_level"])
    return "not assessed" if level is None else f"C{level}" if level else "C1, lowest category"


_SEGMENTS: Final[Mapping[str, Callable[[Counting, Record], str]]] = {
    "risk level of the user": _risk_level,
    "client type": _client_type,
    "age": Counting.age_group,
    "vulnerability": _vulnerability,
}


def _level_name(product: Record) -> str:
    if is_learning(product):
        return "learning content"
    level = effective_level(product)
    return "level unknown" if level is None else f"{raw(product, 'scale')} level {level}"


def _count_masks(counter: Counter[int], masks: Masks) -> None:
    """Counts equal masks, uint64 [n, 2], as integers below 2 ** 128."""
    words, counts = np.unique(masks, axis=0, return_counts=True)
    for (low, high), count in zip(words.tolist(), counts.tolist(), strict=True):
        counter[low | high << 64] += count


def _changes(counter: Mapping[tuple[str, int], int]) -> tuple[Change, ...]:
    names = sorted({name for name, _ in counter})
    return tuple(Change(name, *(counter[name, part] for part in range(3))) for name in names)


def _top(changes: Iterable[Change]) -> tuple[Change, ...]:
    ordered = sorted(
        changes, key=lambda change: (-change.gained - change.lost, -change.eligible_old, change.name)
    )
    rest = ordered[ISSUER_COUNT_MAX:]
    if not rest:
        return tuple(ordered)
    sums = (sum(getattr(change, part) for change in rest) for part in ("eligible_old", "gained", "lost"))
    return (*ordered[:ISSUER_COUNT_MAX], Change(f"{REST} ({len(rest)})", *sums))


def _code_changes(masks: Mapping[int, int]) -> tuple[CodeChange, ...]:
    pairs: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    for mask, count in masks.items():
        names = codes_of_mask(mask)
        for name in names:
            pairs[name] += count
            alone[name] += count if len(names) == 1 else 0
    ordered = [code.name for _, code in sorted(CODES_BY_NUMBER.items()) if code.name in pairs]
    return tuple(
        CodeChange(name, pairs[name], alone[name]) for name in sorted(ordered, key=lambda n: -pairs[n])
    )
