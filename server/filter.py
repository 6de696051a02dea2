"""Which rows could be eligible for a user: what retrieval looks at once its first round was not enough.

The filter lets through every pair that the gate would pass, and some others; it is never asked for a verdict.
Two forms hold the catalogue. A bitmap holds the rows with one value of a set (a currency, an objective), or
the rows that a yes or no lets through. A threshold holds for each row the least that the user must bring (a
horizon, a risk level). Premiums and what is held at one issuer or at high risk are left to the gate, and so
is the overlay: it only ever takes away.

A product's missing value needs no rule here: such a row is in no bitmap, and nobody meets its threshold.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.columns import NEVER_US, to_microseconds
from server.thresholds import find_brought, find_least, find_min_amount
from server.user_record import WORST
from suitability import records
from suitability.calendar_days import age_rounded_up
from suitability.policy import Policy
from suitability.policy_schema import parse_instant
from suitability.predicates.insurance import check_needs
from suitability.predicates.pair import Pair
from suitability.predicates.product import check_offering, check_quota, check_status
from suitability.predicates.user import check_capacity, check_staleness, check_user
from suitability.ratings import effective_level
from suitability.records import PRODUCT_FIELDS, USER_FIELDS

Product = Mapping[str, Any]
Profile = Mapping[str, Any]
Rows = NDArray[np.bool_]  # [product_count]
Bitmap = NDArray[np.uint8]  # [ceil(product_count / 8)], the first row in the lowest bit

VALUE_COUNT_MAX: Final = 4096
"""A set with more distinct values in the catalogue gets no bitmaps: wider, and bounded in memory."""

# Against whom even this product holds a code of the user's alone, every financial product holds it.
_MILDEST: Final[Product] = {"family": "FUND", "scale": "CN5", "level_issuer": 1, "level_distributor": 1}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NO_LEVEL: Final = 99


@dataclass(frozen=True, slots=True)
class _Kind:
    """Bitmaps by value over the rows that the kind applies to; None where there are too many values."""

    exempt: Bitmap
    rows_of: Mapping[Any, Bitmap] | None

    def find_any(self, values: Collection[Any]) -> Bitmap | None:
        """Returns the rows with any of the values and the exempt ones; None where that is not known."""
        return None if self.rows_of is None else self._unite(self.rows_of, values, self.exempt.copy())

    def find_none(self, values: Collection[Any]) -> Bitmap | None:
        """Returns the rows with none of the values and the exempt ones; None where that is not known."""
        if self.rows_of is None:
            return None
        return ~self._unite(self.rows_of, values, np.zeros_like(self.exempt))

    @staticmethod
    def _unite(rows_of: Mapping[Any, Bitmap], values: Collection[Any], rows: Bitmap) -> Bitmap:
        for value in values:
            if value in rows_of:
                rows |= rows_of[value]
        return rows


@dataclass(frozen=True, slots=True)
class _OnSale:
    """Rows that somebody could be shown, right for this channel from `start_us` until before `stop_us`."""

    channel: str
    start_us: int
    stop_us: int
    rows: Bitmap


class Filter:
    """Finds the rows worth looking at for a user, under one policy.

    Safe between threads: all it ever changes is one kept value, replaced as a whole.
    """

    def __init__(self, products: Sequence[Product], policy: Policy) -> None:
        """Compiles the catalogue.

        Args:
            products: the bundle's products in row order, under suitability's field names.
            policy: the policy in force.
        """
        self._policy = policy
        self._count = len(products)
        families = [records.text(product, PRODUCT_FIELDS["family"]) for product in products]
        self._learning = _array([family == records.LEARNING_FAMILY for family in families])
        self._insurance = _array([family in records.INSURANCE_FAMILIES for family in families])
        self._learning_rows = _pack(self._learning)
        self._on_sale: _OnSale | None = None
        self._compile_sale(products)
        self._compile_sets(products, families)
        self._compile_flags(products)
        self._least = find_least(products, policy)  # [thresholds, product_count]
        self._min_amount = find_min_amount(products)

    def allow(self, profile: Profile, now: datetime, channel: str, risk_score_limit: int | None) -> Rows:
        """Returns which rows could be eligible, bool [product_count]; see `Gate.admit` for the arguments."""
        on_sale = self._read_on_sale(channel, now)
        pair = Pair(profile, _MILDEST, self._policy, now, channel, risk_score_limit)
        birth = pair.birth_date
        if birth is None or check_user(pair) or check_staleness(pair) or check_capacity(pair):
            return self._unpack(on_sale & self._learning_rows)
        age = age_rounded_up(birth, pair.today)
        selected = on_sale.copy()
        for rows in (*self._match_sets(pair), *self._match_flags(pair, age)):
            if rows is not None:
                selected &= rows
        allowed = self._unpack(selected)
        brought = find_brought(pair, age)
        for least, value in zip(self._least, brought.thresholds, strict=True):
            if value is not None:
                allowed &= least <= value
        allowed &= self._min_amount <= brought.amount
        return allowed

    def _match_sets(self, pair: Pair) -> Iterator[Bitmap | None]:
        """Yields the rows that each set of the user's leaves; None where it says nothing."""
        user = pair.user
        home = records.text(user, USER_FIELDS["jurisdiction"])
        yield self._jurisdictions.find_any(() if home is None else (home,))
        yield self._currencies.find_any(records.texts(user, USER_FIELDS["currencies"]) or ())
        knowledge = records.counts(user, USER_FIELDS["knowledge"]) or {}
        levels = dict.fromkeys(records.FAMILIES, 0) | {
            family: level for family, level in knowledge.items() if family in records.FAMILIES
        }
        yield self._knowledge.find_any(levels.items())
        objectives = records.texts(user, USER_FIELDS["objectives"]) or frozenset()
        yield self._objectives_y.find_any(objectives)
        yield self._objectives_n.find_none(objectives)
        held = records.texts(user, USER_FIELDS["held_dup_groups"])
        asked = [held, *(records.integer(user, USER_FIELDS[name]) for name in ("income", "premium_budget"))]
        yield self._needs.find_any(() if None in asked else _read_needs(pair))
        yield self._dup_groups.find_none(held or ())

    def _match_flags(self, pair: Pair, age: int) -> Iterator[Bitmap]:
        """Yields the rows that each yes or no about the user leaves."""
        user = pair.user
        if records.text(user, USER_FIELDS["client_type"]) != "PROFESSIONAL":
            yield self._for_retail
        if records.flag(user, USER_FIELDS["us_person"]) is not False:
            yield self._for_us_persons
        if records.flag(user, USER_FIELDS["vulnerable"]) is not False:
            yield self._for_vulnerable
        if records.text(user, USER_FIELDS["capacity"]) == "LIMITED":
            yield self._for_limited_capacity
        if age >= pair.rules["elder"]["age"]:
            yield self._for_elder

    def _compile_sale(self, products: Sequence[Product]) -> None:
        channels = [records.texts(product, PRODUCT_FIELDS["channels"]) for product in products]
        self._channels = self._compile_kind(channels, np.ones(self._count, np.bool_))
        self._sellable = _pack(_array([self._is_sellable(product) for product in products]))
        self._start_us = _read_instants(products, "sale_start", NEVER_US)
        self._end_us = _read_instants(products, "sale_end", -NEVER_US)
        licence_until_us = _read_instants(products, "licence_until", -NEVER_US)
        self._licence_until_us = np.where(self._learning, NEVER_US, licence_until_us)
        start, stop = (self._policy.values[name] for name in ("effective_from", "effective_to"))
        self._policy_start_us = to_microseconds(parse_instant(start))
        self._policy_stop_us = NEVER_US if stop is None else to_microseconds(parse_instant(stop))
        ends = np.array([self._policy_start_us, self._policy_stop_us, -NEVER_US, NEVER_US], np.int64)
        moments = [self._start_us, self._end_us, self._licence_until_us, ends]
        self._boundaries = np.unique(np.concatenate(moments))

    def _compile_sets(self, products: Sequence[Product], families: Sequence[str | None]) -> None:
        def read(name: str) -> list[frozenset[str] | None]:
            return [records.texts(product, PRODUCT_FIELDS[name]) for product in products]

        def read_one(name: str) -> list[tuple[str, ...]]:
            values = (records.text(product, PRODUCT_FIELDS[name]) for product in products)
            return [() if value is None else (value,) for value in values]

        sold, investment = ~self._learning, ~(self._learning | self._insurance)
        self._jurisdictions = self._compile_kind(read("jurisdictions"), sold)
        self._currencies = self._compile_kind(read_one("currency"), sold)
        wanted, unwanted = read("objectives_y"), read("objectives_n")
        wanted = [None if avoided is None else liked for liked, avoided in zip(wanted, unwanted, strict=True)]
        self._objectives_y = self._compile_kind(wanted, investment)
        self._objectives_n = self._compile_kind(unwanted, investment)
        self._needs = self._compile_kind(read("needs_served"), self._insurance)
        self._dup_groups = self._compile_kind(read_one("dup_group"), self._insurance)
        needed = [records.integer(product, PRODUCT_FIELDS["min_knowledge"]) for product in products]
        enough = [
            () if least is None else [(family, level) for level in range(least, 4)]
            for family, least in zip(families, needed, strict=True)
        ]
        self._knowledge = self._compile_kind(enough, sold)

    def _compile_flags(self, products: Sequence[Product]) -> None:
        rules = self._policy.values
        neutral = rules["target_market"]["client_type_neutral"] != "DENY"
        suits_retail = {"Y", "NEUTRAL"} if neutral else {"Y"}
        retail = [records.text(product, PRODUCT_FIELDS["retail"]) in suits_retail for product in products]
        us_persons = [records.flag(product, PRODUCT_FIELDS["us_persons_ok"]) is True for product in products]
        self._for_retail = _pack(self._learning | _array(retail))
        self._for_us_persons = _pack(self._learning | _array(us_persons))
        levels = np.array([effective_level(product) or _NO_LEVEL for product in products], np.int64)

        def within(most: int, most_insurance: int) -> Bitmap:
            return _pack(self._learning | (levels <= np.where(self._insurance, most_insurance, most)))

        elder, vulnerable = rules["elder"], rules["vulnerable"]
        limited = rules["limited_capacity"]["max_level"]
        self._for_elder = within(elder["max_level"], elder["max_insurance_level"])
        self._for_vulnerable = within(vulnerable["max_level"], vulnerable["max_insurance_level"])
        self._for_limited_capacity = within(limited, limited)

    def _compile_kind(self, values: Sequence[Collection[Any] | None], applies: Rows) -> _Kind:
        rows_of: dict[Any, list[int]] = {}
        for row in np.flatnonzero(applies).tolist():
            for value in values[row] or ():
                rows_of.setdefault(value, []).append(row)
        if len(rows_of) > VALUE_COUNT_MAX:
            return _Kind(_pack(~applies), None)
        return _Kind(_pack(~applies), {value: self._mark(rows) for value, rows in rows_of.items()})

    def _mark(self, rows: list[int]) -> Bitmap:
        marked = np.zeros(self._count, np.bool_)
        marked[rows] = True
        return _pack(marked)

    def _is_sellable(self, product: Product) -> bool:
        """Tells whether anybody could be shown the product, at a time and through a channel that suit."""
        pair = Pair(None, product, self._policy, _EPOCH, None)
        if check_status(pair):
            return False
        if pair.learning:
            return True
        cap = pair.rules["level_cap"]
        known = pair.level is not None and (cap is None or pair.level <= cap)
        return known and check_offering(pair) is None and check_quota(pair) is None

    def _read_on_sale(self, channel: str, now: datetime) -> Bitmap:
        now_us = to_microseconds(now)
        kept = self._on_sale
        if kept is None or kept.channel != channel or not kept.start_us <= now_us < kept.stop_us:
            position = int(np.searchsorted(self._boundaries, now_us, side="right"))
            start_us, stop_us = self._boundaries[position - 1 : position + 1].tolist()
            kept = _OnSale(channel, start_us, stop_us, self._find_on_sale(channel, now_us))
            self._on_sale = kept
        return kept.rows

    def _find_on_sale(self, channel: str, now_us: int) -> Bitmap:
        if not self._policy_start_us <= now_us < self._policy_stop_us:
            return np.zeros_like(self._sellable)
        timely = (self._start_us <= now_us) & (now_us < self._end_us) & (now_us < self._licence_until_us)
        rows = self._sellable & _pack(timely)
        permitted = self._channels.find_any((channel,))
        return rows if permitted is None else rows & permitted

    def _unpack(self, rows: Bitmap) -> Rows:
        unpacked: Rows = np.unpackbits(rows, count=self._count, bitorder="little").view(np.bool_)
        return unpacked


def _read_needs(pair: Pair) -> frozenset[str]:
    """Returns the user's needs; none where they are missing or were stated too long ago."""
    current = check_needs(replace(pair, product=WORST)) == "MAT_NEEDS"
    return (records.texts(pair.user, USER_FIELDS["needs"]) if current else None) or frozenset()


def _read_instants(products: Sequence[Product], name: str, missing_us: int) -> NDArray[np.int64]:
    instants = [records.instant(product, PRODUCT_FIELDS[name]) for product in products]
    return np.array(
        [missing_us if instant is None else to_microseconds(instant) for instant in instants], np.int64
    )


def _array(values: list[bool]) -> Rows:
    return np.array(values, np.bool_)


def _pack(rows: Rows) -> Bitmap:
    return np.packbits(rows, bitorder="little")
