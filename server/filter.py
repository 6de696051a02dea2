"""Which rows could be eligible for a user: what retrieval looks at once its first round was not enough.

The filter lets through every pair that the gate would pass, and some others; it is never asked for a verdict.
Two forms hold the catalogue. A bitmap holds the rows with one value of a set (a currency, an objective), or
the rows that a yes or no lets through. A threshold holds for each row the least that the user must bring (a
horizon, a risk level). Premiums, credit-like products, and what is held at one issuer or at high risk
are left to the gate, and so is the overlay: it only ever takes away.

What a product alone decides is taken from the gate's columns, so that it is compiled once. Another value that
is missing needs no rule here: such a row is in no bitmap, and nobody meets its threshold.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.distinct import Distinct
from index.product_rows import ask
from server.columns import (
    KNOWLEDGE_SLOTS,
    NEVER_US,
    Columns,
    Products,
    Records,
    read_field,
    to_microseconds,
)
from server.row_bits import RowBits, count_words, pack, some_rows
from server.thresholds import Ladder, find_brought, find_least, find_min_amount
from server.user_record import USER_DTYPE, UserArrays
from suitability import records
from suitability.policy import Policy
from suitability.policy_schema import parse_instant
from suitability.records import PRODUCT_FIELDS, USER_FIELDS

Product = Mapping[str, Any]
Profile = Mapping[str, Any]
Values = tuple[Any, ...] | frozenset[Any]
Marks = NDArray[np.bool_]  # [product_count]

VALUE_COUNT_MAX: Final = 4096
"""A set with more distinct values in the catalogue gets no bitmaps: wider, and bounded in memory."""
BITMAP_BYTES_MAX: Final = 64 * 2**20
"""Nor does one whose bitmaps would take more than this."""

UNION_COUNT_MAX: Final = 32
"""How many unions of bitmaps each kind of set keeps."""

_RECORD_NAMES: Final = USER_DTYPE.names or ()
_NO_LEVEL: Final = 99


class _Kind:
    """Bitmaps by value over the rows that the kind applies to; None where there are too many values.

    Users have few different sets, so that the latest unions are kept.
    """

    def __init__(self, exempt: RowBits, rows_of: Mapping[Any, RowBits] | None) -> None:
        """Keeps the rows that the kind does not apply to, and those with each value."""
        # Of functions that know nothing of this: what keeps itself is never freed once a server froze it.
        self.find_any = lru_cache(UNION_COUNT_MAX)(partial(_find_any, exempt, rows_of))
        self.find_none = lru_cache(UNION_COUNT_MAX)(partial(_find_none, exempt, rows_of))


@dataclass(frozen=True, slots=True)
class _OnSale:
    """Rows that somebody could be shown, right for this channel from `start_us` until before `stop_us`."""

    channel: str
    start_us: int
    stop_us: int
    rows: RowBits


class Filter:
    """Finds the rows worth looking at for a user, under one policy.

    Safe between threads: all it ever changes are kept values, each replaced as a whole.
    """

    def __init__(self, products: Products, columns: Columns, policy: Policy) -> None:
        """Compiles the catalogue.

        Args:
            products: the bundle's products in row order, under suitability's field names.
            columns: the same, compiled under the policy: what the gate decides by a product alone is there.
            policy: the policy in force.
        """
        self._policy = policy
        self._count = len(products)
        self._learning, self._insurance = ~columns.financial, columns.insurance
        self._learning_rows = pack(self._learning)
        self._on_sale: _OnSale | None = None
        self._compile_sale(products, columns.records)
        self._compile_sets(products)
        self._compile_flags(products, columns.records)
        self._least = {name: Ladder(least) for name, least in find_least(products, policy).items()}
        self._min_amount = Ladder(find_min_amount(products))

    def allow(self, profile: Profile, user: UserArrays, now: datetime, channel: str) -> RowBits:
        """Returns which rows could be eligible.

        Args:
            profile: the user's fields.
            user: the same user compiled, for this instant and channel.
            now: decision_time, aware.
            channel: sales channel.
        """
        selected = self._read_on_sale(channel, now).copy()
        if user.denied:
            selected &= self._learning_rows
            return selected
        record = dict(zip(_RECORD_NAMES, user.records[0].item(), strict=True))
        for rows in (*self._match_sets(profile, record), *self._match_flags(record)):
            if rows is not None:
                selected &= rows
        brought = find_brought(record)
        for ladder, value in zip(self._least.values(), brought.thresholds, strict=True):
            if value is not None:
                selected &= ladder.find_rows(value)
        selected &= self._min_amount.find_rows(brought.amount)
        return selected

    def _match_sets(self, profile: Profile, record: Mapping[str, Any]) -> Iterator[RowBits | None]:
        """Yields the rows that each set of the user's leaves; None where it says nothing."""
        home = records.text(profile, USER_FIELDS["jurisdiction"])
        yield self._jurisdictions.find_any(() if home is None else (home,))
        yield self._currencies.find_any(records.texts(profile, USER_FIELDS["currencies"]) or ())
        levels = record["knowledge"]
        # Missing knowledge is the least there is.
        yield self._knowledge.find_any(
            tuple((family, max(int(levels[slot]), 0)) for family, slot in KNOWLEDGE_SLOTS.items())
        )
        objectives = records.texts(profile, USER_FIELDS["objectives"]) or ()
        yield self._objectives_y.find_any(objectives)
        yield self._objectives_n.find_none(objectives)
        unstated = record["needs_code"] or record["groups_code"] or record["income_code"]
        needs = None if unstated else records.texts(profile, USER_FIELDS["needs"])
        yield self._needs.find_any(needs or ())
        yield self._dup_groups.find_none(records.texts(profile, USER_FIELDS["held_dup_groups"]) or ())

    def _match_flags(self, record: Mapping[str, Any]) -> Iterator[RowBits]:
        """Yields the rows that each yes or no about the user leaves."""
        if not record["professional"]:
            yield self._for_retail
        for name, rows in self._for_flag.items():
            if record[name]:
                yield rows

    def _compile_sale(self, products: Products, table: Records) -> None:
        channels = read_field(products, records.texts, "channels")
        self._channels = self._compile_kind(channels, np.ones(self._count, np.bool_))
        self._sellable = pack(self._find_sellable(table))
        times = [table[name].copy() for name in ("sale_start_us", "sale_end_us", "licence_until_us")]
        self._start_us, self._end_us, self._licence_until_us = times
        begin, stop = (self._policy.values[name] for name in ("effective_from", "effective_to"))
        self._policy_start_us = to_microseconds(parse_instant(begin))
        self._policy_stop_us = NEVER_US if stop is None else to_microseconds(parse_instant(stop))
        ends = np.array([self._policy_start_us, self._policy_stop_us, -NEVER_US, NEVER_US], np.int64)
        self._boundaries = np.unique(np.concatenate([*map(np.unique, times), ends]))

    def _find_sellable(self, table: Records) -> Marks:
        """Finds what somebody could be shown, at a time and through a channel that suit."""
        cap = self._policy.values["level_cap"]
        permitted = (table["level"] >= 0) & (table["offering_code"] == 0) & (table["quota_code"] == 0)
        if cap is not None:
            permitted &= table["level"] <= cap
        sold = (table["status_code"] == 0) & (table["window_code"] == 0) & (table["channel_code"] == 0)
        sellable: Marks = sold & (self._learning | permitted)
        return sellable

    def _compile_sets(self, products: Products) -> None:
        sold, investment = ~self._learning, ~(self._learning | self._insurance)

        def read(name: str) -> Distinct:
            return read_field(products, records.texts, name)

        def read_one(name: str) -> Distinct:
            return read_field(products, records.text, name).map(
                lambda value: () if value is None else (value,)
            )

        self._jurisdictions = self._compile_kind(read("jurisdictions"), sold)
        self._currencies = self._compile_kind(read_one("currency"), sold)
        unwanted = read("objectives_n")
        stated = unwanted.map(lambda values: values is not None).array(np.bool_)
        self._objectives_y = self._compile_kind(read("objectives_y"), investment, stated)
        self._objectives_n = self._compile_kind(unwanted, investment)
        self._needs = self._compile_kind(read("needs_served"), self._insurance)
        self._dup_groups = self._compile_kind(read_one("dup_group"), self._insurance)
        self._knowledge = self._compile_kind(ask(products, _read_knowledge, "family", "min_knowledge"), sold)

    def _compile_flags(self, products: Products, table: Records) -> None:
        rules = self._policy.values
        neutral = rules["target_market"]["client_type_neutral"] != "DENY"
        suits_retail = {"Y", "NEUTRAL"} if neutral else {"Y"}
        retail = read_field(products, records.text, "retail").map(lambda value: value in suits_retail)
        # A level that is missing is above every other.
        levels = np.where(table["level"] < 0, _NO_LEVEL, table["level"])

        def within(most: int, most_insurance: int) -> RowBits:
            return pack(self._learning | (levels <= np.where(self._insurance, most_insurance, most)))

        elder, vulnerable = rules["elder"], rules["vulnerable"]
        limited = rules["limited_capacity"]["max_level"]
        self._for_retail = pack(self._learning | retail.array(np.bool_))
        self._for_flag = {
            "us_person": pack(self._learning | (table["us_persons_ok"] != 0)),
            "vulnerable": within(vulnerable["max_level"], vulnerable["max_insurance_level"]),
            "limited": within(limited, limited),
            "elder": within(elder["max_level"], elder["max_insurance_level"]),
        }

    def _compile_kind(self, sets: Distinct, applies: Marks, listed: Marks | None = None) -> _Kind:
        """Compiles a kind of set.

        Args:
            sets: the values of each row.
            applies: the rows that the kind applies to; the others are exempt.
            listed: the rows whose values count, bool [product_count]; None if all do.
        """
        rows = np.flatnonzero(applies if listed is None else applies & listed)
        codes = sets.codes[rows]
        order = np.argsort(codes, kind="stable")
        rows, codes = rows[order], codes[order]
        stops = np.flatnonzero(np.diff(codes, append=-1)) + 1
        rows_of: dict[Any, list[NDArray[np.int64]]] = {}
        for start, stop in zip([0, *stops.tolist()], stops.tolist(), strict=False):
            for value in sets.values[codes[start]] or ():
                rows_of.setdefault(value, []).append(rows[start:stop])
        room = BITMAP_BYTES_MAX // (8 * count_words(self._count) or 1)
        if len(rows_of) > min(VALUE_COUNT_MAX, room):
            return _Kind(pack(~applies), None)
        marked = {
            value: some_rows(np.concatenate(parts), self._count).bits for value, parts in rows_of.items()
        }
        return _Kind(pack(~applies), marked)

    def _read_on_sale(self, channel: str, now: datetime) -> RowBits:
        now_us = to_microseconds(now)
        kept = self._on_sale
        if kept is None or kept.channel != channel or not kept.start_us <= now_us < kept.stop_us:
            position = int(np.searchsorted(self._boundaries, now_us, side="right"))
            start_us, stop_us = self._boundaries[position - 1 : position + 1].tolist()
            kept = _OnSale(channel, start_us, stop_us, self._find_on_sale(channel, now_us))
            self._on_sale = kept
        return kept.rows

    def _find_on_sale(self, channel: str, now_us: int) -> RowBits:
        if not self._policy_start_us <= now_us < self._policy_stop_us:
            return np.zeros_like(self._sellable)
        timely = (self._start_us <= now_us) & (now_us < self._end_us) & (now_us < self._licence_until_us)
        rows = self._sellable & pack(timely)
        permitted = self._channels.find_any((channel,))
        return rows if permitted is None else rows & permitted


def _find_any(exempt: RowBits, rows_of: Mapping[Any, RowBits] | None, values: Values) -> RowBits | None:
    """Returns the rows with any of the values and the exempt ones; None where that is not known."""
    return None if rows_of is None else _unite(rows_of, values, exempt.copy())


def _find_none(exempt: RowBits, rows_of: Mapping[Any, RowBits] | None, values: Values) -> RowBits | None:
    """Returns the rows with none of the values and the exempt ones; None where that is not known."""
    return None if rows_of is None else ~_unite(rows_of, values, np.zeros_like(exempt))


def _unite(rows_of: Mapping[Any, RowBits], values: Values, rows: RowBits) -> RowBits:
    for value in values:
        if value in rows_of:
            rows |= rows_of[value]
    return rows


def _read_knowledge(product: Product) -> Sequence[tuple[str | None, int]]:
    """Returns each level of knowledge of the product's family that is enough; none where that is missing."""
    family = records.text(product, PRODUCT_FIELDS["family"])
    least = records.integer(product, PRODUCT_FIELDS["min_knowledge"])
    return () if least is None else [(family, level) for level in range(least, 4)]
