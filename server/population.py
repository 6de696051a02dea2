"""Judges a whole population with the gate, for a policy's simulation.

The entry point `gate` in the group `prudence.judges` names this module's function: suitability imports
nothing of ours, so the fast judge goes to it and not it to the judge.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.gate import Gate
from suitability.policy import Policy


def judge(
    chunks: Iterable[Sequence[Mapping[str, Any]]],
    products: Sequence[Mapping[str, Any]],
    policy: Policy,
    now: datetime,
    channel: str,
) -> Iterator[NDArray[np.uint64]]:
    """Judges every user of every chunk against every product, without a limit of a request's own.

    Args:
        chunks: profiles, as many at a time as fit into memory together with their masks.
        products: the catalogue; its order is the order of the masks.
        policy: the policy.
        now: decision_time, aware.
        channel: sales channel.

    Yields:
        For each chunk, uint64 [profiles, product_count, 2]: the bits of the codes against each pair.
    """
    gate = Gate(products, policy)
    count = len(products)
    for profiles in chunks:
        users = [gate.admit(profile, now, channel, None) for profile in profiles]
        user_of_pair, rows = np.divmod(np.arange(len(users) * count, dtype=np.int64), count)
        yield gate.judge_many(users, user_of_pair, rows).reshape(len(users), count, 2)
