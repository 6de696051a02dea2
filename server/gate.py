"""The suitability gate over many pairs at once: the last word on every list.

The definition is `suitability.evaluate`, and the gate gives the same codes. What depends on the product alone
is compiled into records once per bundle and policy, what depends on the user alone once per request; the
kernel compares the two.
"""

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server import native
from server.columns import (
    MISSING,
    PRODUCT_DTYPE,
    Columns,
    compile_columns,
    from_microseconds,
    to_microseconds,
)
from server.errors import SnapshotError
from server.listed_warnings import compile_warnings
from server.patched_columns import patch_columns
from server.user_record import USER_DTYPE, UserArrays, compile_user, join_users
from suitability import codes, ratings, records, validity
from suitability.overlay import Overlay
from suitability.policy import Policy
from suitability.predicates.table import PREDICATES

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
# So many masks stay in the nearest cache once each of their bits is a byte, and a byte counts them.
_COUNTED_TOGETHER: Final = 255


@dataclass(frozen=True, slots=True)
class GateUser:
    """What one user, at one instant and through one channel, means for every product.

    Attributes:
        profile: the user's fields as suitability names them.
        now: decision_time.
        channel: sales channel.
        arrays: what the kernel reads of the user.
        risk_level: the user's tolerance; None where missing.
        risk_score_limit: the limit that applies; None where the risk level is missing.
        row_stop: no row from here on can be eligible; rows before it may be.
    """

    profile: Profile
    now: datetime
    channel: str
    arrays: UserArrays
    risk_level: int | None
    risk_score_limit: int | None
    row_stop: int


@dataclass(frozen=True, slots=True)
class _Live:
    """What an overlay makes of the catalogue."""

    overlay: Overlay | None
    halted: NDArray[np.uint8]  # [product_count]
    level_cap: int


class Gate:
    """Judges (user, product) pairs under one policy and the overlay in force.

    Safe between threads: all it ever changes is the overlay, replaced as a whole.
    """

    def __init__(self, products: Sequence[Mapping[str, Any]], policy: Policy) -> None:
        """Compiles the catalogue.

        Args:
            products: the bundle's products in row order, under suitability's field names.
            policy: the policy in force.

        Raises:
            SnapshotError: the kernel is of another build, or a set has too many distinct values.
        """
        _require_agreement()
        self.policy = policy
        self._hold(compile_columns(products, policy))

    def patched(self, rows: Rows, products: Sequence[Mapping[str, Any]]) -> "Gate":
        """Returns a gate under the same policy and overlay in which some rows hold other products.

        Only these are compiled; what is copied of the others takes milliseconds for 100,000.

        Args:
            rows: int64 [n], distinct.
            products: what stands there now, [n]; see `patch_columns` for what may differ.
        """
        overlay, gate = self.overlay, copy.copy(self)
        gate._hold(patch_columns(self.columns, rows, products, self.policy))
        gate.set_overlay(overlay)
        return gate

    def _hold(self, columns: Columns) -> None:
        """Takes compiled columns and works out what follows from them; no overlay is in force yet."""
        self.columns, sets = columns, columns.sets
        self._catalogue = native.Catalogue(as_bytes(columns.records), sets.words, sets.starts)
        self._live = self._compile_live(None)
        self._warnings = compile_warnings(columns)
        self._ends = np.minimum(columns.records["sale_end_us"], columns.records["licence_until_us"])
        # The smallest limit that some row from here on needs: it never falls, so a limit cuts a prefix.
        self._needed_after = np.minimum.accumulate(columns.needed_limit[::-1])[::-1]  # [product_count]
        self._learning_stop = int(np.max(np.nonzero(~columns.financial)[0], initial=-1)) + 1
        self._class_of = np.select(
            [~columns.financial, ~columns.rated, ~columns.insurance],
            [_LEARNING, _UNRATED, _INVESTMENT],
            _RATED_INSURANCE,
        )

    @property
    def overlay(self) -> Overlay | None:
        """The overlay in force."""
        return self._live.overlay

    def set_overlay(self, overlay: Overlay | None) -> None:
        """Puts an overlay in place of the one before, for every verdict that starts from now on."""
        self._live = self._compile_live(overlay)

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
        arrays = compile_user(profile, self.columns, self.policy, now, channel, risk_score_limit)
        limit = ratings.applied_risk_score_limit(profile, self.policy, risk_score_limit)
        return GateUser(
            profile=profile,
            now=now,
            channel=channel,
            arrays=arrays,
            risk_level=records.integer(profile, records.USER_FIELDS["risk_level"]),
            risk_score_limit=limit,
            row_stop=self._find_row_stop(arrays, limit),
        )

    def judge(self, user: GateUser, rows: Rows) -> Masks:
        """Judges the user against each row, under the overlay that is in force when it starts.

        Returns:
            uint64 [n, 2]; the bit of a code's number is set where the code holds, all zero means eligible.
        """
        return self.judge_live(user, rows)[0]

    def judge_live(self, user: GateUser, rows: Rows) -> tuple[Masks, Overlay | None]:
        """Judges as `judge` does, and returns beside the masks the overlay that they were read under."""
        return self._judge(user.arrays, np.zeros(len(rows), np.int64), rows)

    def judge_many(self, users: Sequence[GateUser], user_of_pair: Rows, rows: Rows) -> Masks:
        """Judges pairs of many users; see `judge`.

        Args:
            users: the users.
            user_of_pair: position in `users`, int64 [p].
            rows: the product of each pair, int64 [p].

        Returns:
            uint64 [p, 2].
        """
        if not users:
            return np.zeros((0, 2), np.uint64)
        return self._judge(join_users([user.arrays for user in users]), user_of_pair, rows)[0]

    def count_codes(self, user: GateUser) -> list[tuple[str, int]]:
        """Counts the products of the whole catalogue that hold each code; codes in predicate order."""
        live = self._live
        counts = native.count_codes(
            self._catalogue, _user_arguments(user.arrays), halted=live.halted, level_cap=live.level_cap
        )
        return [
            (codes.CODES_BY_NUMBER[number].name, count)
            for number, count in enumerate(counts.tolist())
            if number and count
        ]

    def find_valid_until(self, user: GateUser, rows: Rows) -> list[datetime]:
        """Returns until when the eligible verdict on each row holds."""
        kinds = self._class_of[rows].tolist()
        by_kind = {
            kind: to_microseconds(
                validity.eligible_until(user.profile, _CLASSES[kind], self.policy, user.now)
            )
            for kind in set(kinds)
        }
        ends = [min(end, by_kind[kind]) for end, kind in zip(self._ends[rows].tolist(), kinds, strict=True)]
        # Most products of a list end together, and an instant costs more than looking one up.
        instants = {end: from_microseconds(end) for end in set(ends)}
        return [instants[end] for end in ends]

    def find_warnings(
        self, user: GateUser, rows: Rows, history_levels: Collection[tuple[str, int]]
    ) -> list[tuple[str, ...]]:
        """Returns the warnings that accompany each eligible row; see `server.listed_warnings`."""
        return self._warnings.find(
            self.policy, user.profile, user.now, user.risk_score_limit, rows, history_levels
        )

    def _judge(self, users: UserArrays, user_of_pair: Rows, rows: Rows) -> tuple[Masks, Overlay | None]:
        arguments = _user_arguments(users)
        # Read once and last: a halt that came in before this line counts for every pair.
        live = self._live
        masks = native.gate(
            self._catalogue,
            arguments,
            halted=live.halted,
            level_cap=live.level_cap,
            user_of_pair=user_of_pair,
            rows=rows,
        )
        return masks, live.overlay

    def _compile_live(self, overlay: Overlay | None) -> _Live:
        rules, columns = self.policy.values, self.columns
        products, issuers = frozenset(rules["halted_products"]), frozenset(rules["halted_issuers"])
        caps = [] if rules["level_cap"] is None else [rules["level_cap"]]
        if overlay is not None:
            products, issuers = products | overlay.halted_products, issuers | overlay.halted_issuers
            # An overlay outlives the policy it was made under: the tighter cap of the two holds.
            caps += [] if overlay.level_cap is None else [overlay.level_cap]
        numbers = [columns.issuers[name] for name in issuers if name in columns.issuers]
        halted = np.isin(columns.records["issuer"], numbers)
        halted[columns.find_rows(products)] = True
        return _Live(overlay, halted.astype(np.uint8), min(caps, default=native.LEVEL_CAP_NONE))

    def _find_row_stop(self, user: UserArrays, limit: int | None) -> int:
        if user.denied:
            return self._learning_stop
        admitted = limit if user.assessed and limit is not None else MISSING
        # As the array's own type: of any other a whole converted copy is searched.
        return int(self._needed_after.searchsorted(np.int16(admitted), side="right"))


def find_eligible(masks: Masks) -> NDArray[np.bool_]:
    """Tells for each pair of masks uint64 [n, 2] whether no code holds."""
    # A third of what `any` takes for a short list.
    eligible: NDArray[np.bool_] = (masks[:, 0] | masks[:, 1]) == 0
    return eligible


def read_codes(mask: NDArray[np.uint64]) -> tuple[str, ...]:
    """Returns the names of the codes in one pair's mask, uint64 [2], in predicate order."""
    number = int(mask[0]) | int(mask[1]) << 64
    return tuple(code.name for code in codes.in_order(codes.codes_of_mask(number)))


def count_codes(masks: Masks) -> list[tuple[str, int]]:
    """Counts the pairs that hold each code, over masks uint64 [n, 2]; codes in predicate order."""
    totals = np.zeros(masks.shape[1] * 64, np.int64)
    for start in range(0, len(masks), _COUNTED_TOGETHER):
        part = masks[start : start + _COUNTED_TOGETHER].view(np.uint8)
        totals += np.unpackbits(part, axis=1, bitorder="little").sum(axis=0, dtype=np.uint8)
    numbers = np.flatnonzero(totals).tolist()
    return [(codes.CODES_BY_NUMBER[number].name, int(totals[number])) for number in numbers]


def holds_code(masks: Masks, code: str) -> NDArray[np.bool_]:
    """Tells for each pair of masks uint64 [n, 2] whether the code holds."""
    word, bit = divmod(codes.CODES[code].number, 64)
    holds: NDArray[np.bool_] = (masks[:, word] >> np.uint64(bit) & np.uint64(1)).astype(np.bool_)
    return holds


def as_bytes(table: NDArray[np.void]) -> NDArray[np.uint8]:
    """Returns the bytes of records, uint8 [n, size of a record], without a copy."""
    return table.view(np.uint8).reshape(len(table), table.dtype.itemsize)


def _user_arguments(users: UserArrays) -> native.UserArguments:
    return as_bytes(users.records), users.sets, users.held_issuers, users.held_groups


def _require_agreement() -> None:
    """Refuses a kernel that reads other records than are written, or judges by other predicates."""
    for name, dtype, layout in (
        ("product", PRODUCT_DTYPE, native.PRODUCT_LAYOUT),
        ("user", USER_DTYPE, native.USER_LAYOUT),
    ):
        assert dtype.fields is not None
        written = tuple((field, value[1], value[0].itemsize) for field, value in dtype.fields.items())
        if written != layout:
            raise SnapshotError(f"kernel: expected the layout of a {name} that Python writes, got another")
    defined = tuple(predicate.number for predicate in PREDICATES)
    if defined != native.PREDICATES:
        raise SnapshotError(f"kernel: expected the predicates {defined}, got {native.PREDICATES}")
