"""Mines association rules between two products: who took one also took the other, more often than all people.

All pairs are counted by one product of sparse matrices; a rule with more antecedents would name more of a
history than a reason needs. Sources: Agrawal, Imielinski and Swami 1993 (support, confidence), Brin et al.
1997 (lift).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from training.histories import IntArray, Interactions

PRODUCTS_PER_USER_MAX: Final = 200
"""A user's latest products count: the pairs that one user has would else be without a limit."""
RULES_PER_PRODUCT_MAX: Final = 20

_ANTECEDENTS_TOGETHER: Final = 256  # Of 100,000 products that is a matrix of 100 MB at most.


@dataclass(frozen=True)
class MinedRules:
    """Rules between rows of the catalogue, by antecedent, then confidence descending; arrays are [rules]."""

    antecedents: IntArray
    consequents: IntArray
    pair_counts: IntArray
    antecedent_counts: IntArray
    consequent_counts: IntArray
    user_count: int


def mine_rules(
    interactions: Interactions,
    *,
    taken: NDArray[np.bool_],
    allowed: NDArray[np.bool_],
    id_rank: IntArray,
    pair_count_min: int,
    rule_count_max: int,
) -> MinedRules:
    """Mines the rules of lift above 1, the most confident of each antecedent.

    Args:
        interactions: what users did.
        taken: which events show that a user took a product, bool [events].
        allowed: products that rules may be between, bool [products].
        id_rank: position of each product_id; of equally confident rules the first consequent is kept.
        pair_count_min: people who must have taken both.
        rule_count_max: of more rules those of the largest pair_count are kept.
    """
    users, items, counts = _pair_up(interactions, taken & allowed[interactions.item_row], pair_count_min)
    user_count = int(np.count_nonzero(np.bincount(users)))
    shape = (interactions.user_count, interactions.item_count)
    took = sparse.csr_array((np.ones(len(users), np.int32), (users, items)), shape=shape)
    first, then, pair = _count_pairs(took, pair_count_min)
    # Lift above 1, as whole numbers.
    more = pair * user_count > counts[first] * counts[then]
    first, then, pair = first[more], then[more], pair[more]
    # Within an antecedent, confidence descends with the count of the pair.
    order = np.lexsort((id_rank[then], -pair, first))
    first, then, pair = first[order], then[order], pair[order]
    place = np.arange(len(first)) - np.searchsorted(first, first)
    chosen = np.flatnonzero(place < RULES_PER_PRODUCT_MAX)
    if len(chosen) > rule_count_max:
        chosen = np.sort(chosen[np.argsort(-pair[chosen], kind="stable")[:rule_count_max]])
    first, then, pair = first[chosen], then[chosen], pair[chosen]
    return MinedRules(first, then, pair, counts[first], counts[then], user_count)


def _count_pairs(took: sparse.csr_array, count_min: int) -> tuple[IntArray, IntArray, IntArray]:
    """Counts the users of each pair of products that is common enough, of some antecedents at a time."""
    parts = []
    owners = took.T.tocsr()  # [products, users]
    for start in range(0, owners.shape[0], _ANTECEDENTS_TOGETHER):
        both = (owners[start : start + _ANTECEDENTS_TOGETHER] @ took).tocoo()  # [antecedents, products]
        first = both.row.astype(np.int64) + start
        kept = (both.data >= count_min) & (first != both.col)
        parts.append(
            np.stack([first[kept], both.col[kept].astype(np.int64), both.data[kept].astype(np.int64)])
        )
    first, then, pair = np.concatenate([np.empty((3, 0), np.int64), *parts], axis=1)
    return first, then, pair


def _pair_up(
    interactions: Interactions, taken: NDArray[np.bool_], count_min: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Returns distinct (user, product) pairs, the latest of each user, and how many users each product has.

    Products of fewer users than `count_min` are in no rule, and are left out first.
    """
    # Events are sorted by user and time, so that the last of a pair comes first when they are turned round.
    users, items = interactions.user_row[taken][::-1], interactions.item_row[taken][::-1]
    _, firsts = np.unique(users * interactions.item_count + items, return_index=True)
    firsts.sort()
    users, items = users[firsts], items[firsts]
    owners = np.bincount(items, minlength=interactions.item_count)
    common = owners[items] >= count_min
    users, items = users[common], items[common]
    # Users descend here, so a user's place is how far the pair is from the first of that user.
    place = np.arange(len(users)) - np.searchsorted(-users, -users)
    latest = place < PRODUCTS_PER_USER_MAX
    users, items = users[latest], items[latest]
    return users, items, np.bincount(items, minlength=interactions.item_count)
