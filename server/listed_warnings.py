"""The warnings beside many listed products at once; the definition is `suitability.cautions.warnings`.

What a product warns everybody of is worked out once for the catalogue, what is said of the user once for a
list.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.columns import NO_LIMIT_ADMITS, Columns
from suitability.cautions import WARNINGS, warnings
from suitability.policy import Policy
from suitability.records import SCALE_LEVEL_MAX

_NAMES: Final = tuple(name for name, _ in WARNINGS)
_BITS: Final = {name: 1 << position for position, name in enumerate(_NAMES)}
_LISTS: Final = tuple(
    tuple(name for name in _NAMES if bits & _BITS[name]) for bits in range(1 << len(_NAMES))
)
_NEAR: Final = _BITS["W_NEAR_LIMIT"]
_FIRST: Final = _BITS["W_FIRST_AT_LEVEL"]
_OF_USER: Final = {"W_ASSESSMENT_EXPIRING", "W_ELDER", "W_ASSUMED_DATA"}
_ASKED_OF_USER: Final = tuple(entry for entry in WARNINGS if entry[0] in _OF_USER)
# A rated product that warns of nothing itself, so that what is left is said of the user.
_HARMLESS: Final = {"family": "FUND"}

_SCALE_STARTS: Final = {scale: 1 + 8 * place for place, scale in enumerate(sorted(SCALE_LEVEL_MAX))}
_UNRATED: Final = -1


@dataclass(frozen=True, slots=True)
class ListedWarnings:
    """What each product warns of; every array is [product_count].

    Attributes:
        always: the warnings that it gives to everybody, as bits.
        possible: those that it gives if they are said of the user, as bits.
        scores: the risk score; the largest number where it is unknown, the smallest where there is none.
        standings: a number for each level of each scale; 0 where it is unknown.
    """

    always: NDArray[np.uint8]
    possible: NDArray[np.uint8]
    scores: NDArray[np.int16]
    standings: NDArray[np.uint8]

    def find(
        self,
        policy: Policy,
        profile: Mapping[str, Any],
        now: datetime,
        risk_score_limit: int | None,
        rows: NDArray[np.int64],
        history_levels: Collection[tuple[str, int]],
    ) -> list[tuple[str, ...]]:
        """Returns the warnings that accompany each eligible row, in the definition's order.

        Args:
            policy: the policy in force.
            profile: the user's fields.
            now: decision_time.
            risk_score_limit: the limit that applies; None where the user's risk level is missing.
            rows: int64 [n].
            history_levels: (scale, effective level) of the products in the user's history.
        """
        said = warnings(profile, _HARMLESS, policy, now, asked=_ASKED_OF_USER)
        of_user = sum(_BITS[name] for name in said) | _FIRST
        held = self.always[rows] | (self.possible[rows] & np.uint8(of_user))  # [n]
        # The least score of at least nine tenths of the limit. Where there is no limit, every score is near.
        near_score = 0 if risk_score_limit is None else max(0, -(-9 * risk_score_limit // 10))
        held |= (self.scores[rows] >= near_score) * np.uint8(_NEAR)
        known = {_SCALE_STARTS[scale] + level for scale, level in history_levels}
        return [
            _LISTS[bits & ~_FIRST if standing in known else bits]
            for bits, standing in zip(held.tolist(), self.standings[rows].tolist(), strict=True)
        ]


def compile_warnings(columns: Columns) -> ListedWarnings:
    """Works out what each product warns of."""
    table = columns.records
    of_product = {
        "W_CAN_LOSE_CAPITAL": table["loss_class"] != 0,
        "W_ILLIQUID": columns.illiquid,
        "W_ASSUMED_DATA": columns.assumed,
    }
    always = sum(holds * np.uint8(_BITS[name]) for name, holds in of_product.items())
    of_financial = _BITS["W_ELDER"] | _BITS["W_ASSUMED_DATA"] | _FIRST
    possible = columns.financial * np.uint8(of_financial)
    possible |= columns.rated * np.uint8(_BITS["W_ASSESSMENT_EXPIRING"])
    score, level = table["risk_score"], table["level"]
    needed_scores = np.where(score < 0, NO_LIMIT_ADMITS, score)
    scales = np.asarray(columns.scales, np.object_)
    starts = sum((scales == scale) * np.uint8(start) for scale, start in _SCALE_STARTS.items())
    return ListedWarnings(
        always=np.where(columns.financial, always, 0).astype(np.uint8),
        possible=possible,
        scores=np.where(columns.rated, needed_scores, _UNRATED).astype(np.int16),
        standings=np.where(level >= 0, starts + level, 0).astype(np.uint8),
    )
