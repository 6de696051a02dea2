"""The suitability gate over many products at once: the last word on every list.

The definition is `suitability.evaluate`, and this module gives the same codes. What depends on the user alone
is asked of the definition itself, once per request; what depends on the product is compiled into columns once
per bundle and policy. The product side changes only when some window or licence opens or closes, so it is
kept until the next such instant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.columns import NEVER_US, compile_columns, from_microseconds, to_microseconds
from suitability import codes, ratings, records, validity
from suitability.policy import Policy
from suitability.policy_schema import parse_instant
from suitability.predicates.assessment import check_assessment
from suitability.predicates.pair import Pair
from suitability.predicates.user import check_user

Rows = NDArray[np.int64]
Masks = NDArray[np.uint64]
Profile = Mapping[str, Any]

# Each stands for a class of products where only the user matters: no window, no licence.
_CLASSES: Final[tuple[Mapping[str, Any], ...]] = (
    {"family": "COURSE"},
    {"family": "INS_PROTECTION", "scale": "CN5", "level_issuer": 1, "level_distributor": 1},
    {"family": "FUND"},
    {"family": "INS_LINKED"},
)
_LEARNING, _UNRATED, _INVESTMENT, _RATED_INSURANCE = range(4)


@dataclass(frozen=True, slots=True)
class GateUser:
    """What one user, at one instant and through one channel, means for every product.

    Attributes:
        profile: the user's fields as suitability names them.
        now: decision_time.
        channel: sales channel.
        user_bits: codes against every financial product, uint64 [2].
        assessment_bits: codes against every rated product, uint64 [2].
        risk_level: the user's tolerance; None where missing.
        risk_score_limit: the limit that applies; None where the risk level is missing.
        row_stop: no row from here on can be eligible; rows before it may be.
    """

    profile: Profile
    now: datetime
    channel: str
    user_bits: Masks
    assessment_bits: Masks
    risk_level: int | None
    risk_score_limit: int | None
    row_stop: int


@dataclass(frozen=True, slots=True)
class _ProductSide:
    """Masks from the products alone, right for this channel from `start_us` until before `stop_us`."""

    channel: str
    start_us: int
    stop_us: int
    masks: Masks  # [product_count, 2]


class Gate:
    """Judges (user, product) pairs under one policy.

    Safe between threads: all it ever changes is one kept value, replaced as a whole.
    """

    def __init__(self, products: Sequence[Mapping[str, Any]], policy: Policy) -> None:
        """Compiles the catalogue.

        Args:
            products: the bundle's products in row order, under suitability's field names.
            policy: the policy in force.
        """
        self.policy = policy
        self.columns = compile_columns(products, policy)
        columns = self.columns
        self._product_side: _ProductSide | None = None
        # The smallest limit that some row from here on needs: it never falls, so a limit cuts a prefix.
        self._needed_after = np.minimum.accumulate(columns.needed_limit[::-1])[::-1]  # [product_count]
        self._learning_stop = int(np.max(np.nonzero(~columns.financial)[0], initial=-1)) + 1
        self._class_of = np.select(
            [~columns.financial, ~columns.rated, ~columns.insurance],
            [_LEARNING, _UNRATED, _INVESTMENT],
            _RATED_INSURANCE,
        )
        start, stop = policy.values["effective_from"], policy.values["effective_to"]
        self._policy_start_us = to_microseconds(parse_instant(start))
        self._policy_stop_us = NEVER_US if stop is None else to_microseconds(parse_instant(stop))
        moments = [columns.sale_start_us, columns.sale_end_us, columns.licence_until_us]
        ends = np.array([self._policy_start_us, self._policy_stop_us, -NEVER_US, NEVER_US], np.int64)
        self._boundaries = np.unique(np.concatenate([*moments, ends]))

    def masks(
        self, profile: Profile, rows: Rows, now: datetime, channel: str, risk_score_limit: int | None
    ) -> Masks:
        """Judges one user against rows; see `admit` for the arguments and `judge` for the result."""
        return self.judge(self.admit(profile, now, channel, risk_score_limit), rows)

    def admit(self, profile: Profile, now: datetime, channel: str, risk_score_limit: int | None) -> GateUser:
        """Works out the user's side, once per request.

        Args:
            profile: the user's fields; without `pseudonym` the user is unknown.
            now: decision_time, aware.
            channel: sales channel.
            risk_score_limit: the request's own limit, 0 to 10000; it can only tighten.
        """
        pair = Pair(profile, _CLASSES[_INVESTMENT], self.policy, now, channel, risk_score_limit)
        user_code = check_user(pair) or ""
        assessment_code = check_assessment(pair) or ""
        limit = ratings.applied_risk_score_limit(profile, self.policy, risk_score_limit)
        return GateUser(
            profile=profile,
            now=now,
            channel=channel,
            user_bits=_bits(user_code),
            assessment_bits=_bits(assessment_code),
            risk_level=records.integer(profile, records.USER_FIELDS["risk_level"]),
            risk_score_limit=limit,
            row_stop=self._find_row_stop(user_code, assessment_code, limit),
        )

    def judge(self, user: GateUser, rows: Rows) -> Masks:
        """Judges the user against each row.

        Returns:
            uint64 [n, 2]; the bit of a code's number is set where the code holds, all zero means eligible.
        """
        columns = self.columns
        masks = self._read_product_side(user.channel, user.now)[rows]  # [n, 2]
        if user.user_bits.any():
            masks[columns.financial[rows]] |= user.user_bits
        if user.assessment_bits.any():
            masks[columns.rated[rows]] |= user.assessment_bits
        if user.risk_level is None or user.risk_score_limit is None:
            # Every rated product already holds USR_ASSESSMENT_MISSING, and no other needs a level.
            return masks
        masks[columns.over_tolerance[user.risk_level, rows]] |= _bits("MAT_LEVEL_OVER_TOLERANCE")
        # A score that no limit applies to is -1, and so is the limit that admits nothing.
        masks[columns.limited_score[rows] > user.risk_score_limit] |= _bits("MAT_RISK_SCORE_OVER_LIMIT")
        return masks

    def find_valid_until(self, user: GateUser, rows: Rows) -> list[datetime]:
        """Returns until when the eligible verdict on each row holds."""
        columns = self.columns
        user_end: dict[int, int] = {}
        ends = []
        for row in rows.tolist():
            kind = int(self._class_of[row])
            if kind not in user_end:
                end = validity.eligible_until(user.profile, _CLASSES[kind], self.policy, user.now)
                user_end[kind] = to_microseconds(end)
            end_us = min(user_end[kind], int(columns.sale_end_us[row]), int(columns.licence_until_us[row]))
            ends.append(from_microseconds(end_us))
        return ends

    def _find_row_stop(self, user_code: str, assessment_code: str, limit: int | None) -> int:
        if user_code:
            return self._learning_stop
        admitted = -1 if assessment_code or limit is None else limit
        return int(np.searchsorted(self._needed_after, admitted, side="right"))

    def _read_product_side(self, channel: str, now: datetime) -> Masks:
        now_us = to_microseconds(now)
        side = self._product_side
        if side is None or side.channel != channel or not side.start_us <= now_us < side.stop_us:
            position = int(np.searchsorted(self._boundaries, now_us, side="right"))
            start_us, stop_us = self._boundaries[position - 1], self._boundaries[position]
            masks = self._judge_products(channel, now_us)
            side = _ProductSide(channel, int(start_us), int(stop_us), masks)
            self._product_side = side
        return side.masks

    def _judge_products(self, channel: str, now_us: int) -> Masks:
        """Returns uint64 [product_count, 2]: the codes that no user changes."""
        columns = self.columns
        masks = np.zeros((len(columns.financial), 2), np.uint64)
        if not self._policy_start_us <= now_us < self._policy_stop_us:
            masks |= _bits("SYS_POLICY_NOT_EFFECTIVE")
        for codes_by_row in (columns.status_code, columns.level_code):
            for row, code in enumerate(codes_by_row):
                if code:
                    masks[row] |= _bits(code)
        open_now = (columns.sale_start_us <= now_us) & (now_us < columns.sale_end_us)
        masks[~columns.window_known] |= _bits("PRD_WINDOW_UNKNOWN")
        masks[columns.window_known & ~open_now] |= _bits("PRD_OUTSIDE_WINDOW")
        permitted = columns.channels.get(channel, np.zeros_like(columns.financial))
        expired = now_us >= columns.licence_until_us
        masks[~columns.channel_known] |= _bits("PRD_CHANNEL_UNKNOWN")
        masks[columns.channel_known & ~permitted] |= _bits("PRD_CHANNEL_NOT_PERMITTED")
        masks[columns.channel_known & permitted & expired] |= _bits("PRD_CHANNEL_LICENCE_EXPIRED")
        masks[columns.score_unknown] |= _bits("PRD_RISK_SCORE_UNKNOWN")
        masks.setflags(write=False)
        return masks


def read_codes(mask: NDArray[np.uint64]) -> tuple[str, ...]:
    """Returns the names of the codes in one pair's mask, uint64 [2], in predicate order."""
    number = int(mask[0]) | int(mask[1]) << 64
    return tuple(code.name for code in codes.in_order(codes.codes_of_mask(number)))


def count_codes(masks: Masks) -> list[tuple[str, int]]:
    """Counts the pairs that hold each code, over masks uint64 [n, 2]; codes in predicate order."""
    totals: dict[int, int] = {}
    for word in range(2):
        values, counts = np.unique(masks[:, word], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            for bit in range(value.bit_length()):
                if value >> bit & 1:
                    totals[word * 64 + bit] = totals.get(word * 64 + bit, 0) + count
    return [(codes.CODES_BY_NUMBER[number].name, totals[number]) for number in sorted(totals)]


def holds_code(masks: Masks, code: str) -> NDArray[np.bool_]:
    """Tells for each pair of masks uint64 [n, 2] whether the code holds."""
    holds: NDArray[np.bool_] = np.any(masks & _bits(code), axis=1)
    return holds


def _words(number: int) -> Masks:
    words = np.array([number & (2**64 - 1), number >> 64], np.uint64)  # [2]
    words.setflags(write=False)
    return words


_BITS: Final = {name: _words(codes.code_mask([name])) for name in codes.CODES} | {"": _words(0)}


def _bits(code: str) -> Masks:
    return _BITS[code]
