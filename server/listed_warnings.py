"""The warnings beside many listed products at once; the definition is `suitability.cautions.warnings`."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.columns import Columns
from suitability.cautions import WARNINGS, warnings
from suitability.policy import Policy

_NAMES: Final = tuple(name for name, _ in WARNINGS)
# A rated product that warns of nothing itself, so that what is left is said of the user.
_HARMLESS: Final = {"family": "FUND", "loss_class": 0, "min_horizon_months": 0, "risk_score": 0}


def find_warnings(
    columns: Columns,
    policy: Policy,
    profile: Mapping[str, Any],
    now: datetime,
    risk_score_limit: int | None,
    rows: NDArray[np.int64],
    history_levels: Collection[tuple[str, int]],
) -> list[tuple[str, ...]]:
    """Returns the warnings that accompany each eligible row, in the definition's order.

    Args:
        columns: the catalogue.
        policy: the policy in force.
        profile: the user's fields.
        now: decision_time.
        risk_score_limit: the limit that applies; None where the user's risk level is missing.
        rows: int64 [n].
        history_levels: (scale, effective level) of the products in the user's history.
    """
    of_user = warnings(profile, _HARMLESS, policy, now)
    table = columns.records
    rated = columns.rated[rows]
    score = table["risk_score"][rows].astype(np.int64)
    limit = -1 if risk_score_limit is None else risk_score_limit
    known = [(columns.scales[row], columns.levels[row]) in history_levels for row in rows.tolist()]
    holds = {
        # A score that is unknown counts as near, and so does every score where there is no limit.
        "W_NEAR_LIMIT": rated & ((score < 0) | (score * 10 >= limit * 9)),
        "W_ASSESSMENT_EXPIRING": rated & ("W_ASSESSMENT_EXPIRING" in of_user),
        "W_ELDER": np.full(len(rows), "W_ELDER" in of_user),
        "W_FIRST_AT_LEVEL": ~np.array(known, np.bool_),
        "W_CAN_LOSE_CAPITAL": table["loss_class"][rows] != 0,
        "W_ILLIQUID": columns.illiquid[rows],
        "W_ASSUMED_DATA": columns.assumed[rows] | ("W_ASSUMED_DATA" in of_user),
    }
    financial = columns.financial[rows]
    by_row = np.stack([holds[name] & financial for name in _NAMES], axis=1)  # [n, warnings]
    return [tuple(name for name, held in zip(_NAMES, row, strict=True) if held) for row in by_row.tolist()]
