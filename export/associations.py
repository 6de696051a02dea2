"""Mines the association rules of a data set's learning content, and says what a rule is worth to a score."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.associations import PAIR_COUNT_MIN, RULE_COUNT_MAX, Rules
from index.features import EVENT_TYPES
from index.reference import rank_ids
from suitability.ratings import is_learning
from training.associations import mine_rules
from training.examples import LearningData

TAKEN: Final = ("enrol", "purchase", "rating", "dwell", "comment")
"""What only who took a product does; who looked at it only is behind no rule."""
REACH: Final = 20
"""A rule of confidence 1 lifts a product by as much as lies between a user's best and this place."""


def make_rules(
    data: LearningData, user_vectors: NDArray[np.float32], item_vectors: NDArray[np.float32]
) -> Rules:
    """Mines rules between products of learning content.

    There are none about financial products: what others bought is no argument for what suits somebody.

    Args:
        data: the learning data.
        user_vectors: of the calibration users, float32 [users, dim]; their scores say what a boost is worth.
        item_vectors: of the products, in the order of the data, float32 [products, dim].
    """
    events, ids = data.interactions, [product["id"] for product in data.products]
    codes = [code for code, name in enumerate(EVENT_TYPES, start=1) if name in TAKEN]
    learning = np.array([is_learning(product) for product in data.products], np.bool_)
    mined = mine_rules(
        events,
        taken=np.isin(events.event_code, codes),
        allowed=learning,
        id_rank=rank_ids(ids),
        pair_count_min=PAIR_COUNT_MIN,
        rule_count_max=RULE_COUNT_MAX,
    )
    return Rules(
        antecedent_ids=tuple(ids[row] for row in mined.antecedents),
        consequent_ids=tuple(ids[row] for row in mined.consequents),
        pair_counts=mined.pair_counts.astype(np.int32),
        antecedent_counts=mined.antecedent_counts.astype(np.int32),
        consequent_counts=mined.consequent_counts.astype(np.int32),
        user_count=mined.user_count,
        weight=_measure_reach(user_vectors, item_vectors[learning]),
    )


def _measure_reach(users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
    """Returns the mean over users of how far their best score is above the REACHth, or the last there is."""
    if not len(items):
        return 0.0
    scores = np.sort(users.astype(np.float64) @ items.astype(np.float64).T, axis=1)  # [users, items]
    return float((scores[:, -1] - scores[:, -min(REACH, len(items))]).mean())
