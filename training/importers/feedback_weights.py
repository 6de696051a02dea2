"""Says how sure events show that a user likes a product: the confidence of each pair of a user and a product.

A pair counts as its events do together: fully once the user found the product without an answer of ours,
little where they only took what an answer showed, or only glanced at it, and not at all while the last word
is "not interested" or a complaint. What was shown and not taken is no event: like every product that a user
did not take, it is a negative of the softmax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

IntArray = NDArray[np.int64]

SHOWN: Final = 0.1
"""Confidence of a pair that only answers led to. Such events say what the model shows as much as what users
like: counted in full they teach it to go on as it does. `python -m benchmarks.loop` compares both."""
GLANCE: Final = 0.25
"""Confidence of a pair that was left soon after it was opened; a convention, not measured."""
GLANCE_S_MAX: Final = 10.0
REJECTIONS: Final = ("not_interested", "complaint")
_OPENING: Final = ("view", "search", "click", "dwell")


@dataclass(frozen=True)
class Signs:
    """Holds what users did with products, one entry per sign.

    Attributes:
        user, product: ids, text [signs].
        event_type: of the interactions, or one of REJECTIONS, text [signs].
        time: microseconds since 1970-01-01 UTC, int64 [signs].
        dwell_s: seconds of a dwell, float64 [signs]; anything for other types.
        shown: whether an answer led to it, bool [signs].
    """

    user: Any
    product: Any
    event_type: Any
    time: IntArray
    dwell_s: NDArray[np.float64]
    shown: NDArray[np.bool_]


def weigh_signs(signs: Signs) -> NDArray[np.float32]:
    """Weighs every sign by what its pair counts, float32 [signs], 0 to 1."""
    pair = _number_pairs(signs.user, signs.product)  # [signs]
    count = int(pair.max(initial=-1)) + 1
    rejection = _is_one_of(signs.event_type, REJECTIONS)
    never = np.iinfo(np.int64).min
    rejected, taken = np.full(count, never), np.full(count, never)
    np.maximum.at(rejected, pair[rejection], signs.time[rejection])
    np.maximum.at(taken, pair[~rejection], signs.time[~rejection])
    dwelt = _is_one_of(signs.event_type, ("dwell",))
    longest = np.full(count, -1.0)
    np.maximum.at(longest, pair[dwelt], signs.dwell_s[dwelt])
    opened_only = np.ones(count, np.bool_)
    opened_only[pair[~rejection & ~_is_one_of(signs.event_type, _OPENING)]] = False
    glance = opened_only & (longest >= 0) & (longest < GLANCE_S_MAX)
    shown_only = np.ones(count, np.bool_)
    shown_only[pair[~rejection & ~signs.shown]] = False
    confidence = np.where(glance, np.float32(GLANCE), np.float32(1.0))
    confidence[shown_only] *= np.float32(SHOWN)
    # At one time the rejection counts: events of a day are often dated alike.
    confidence[(rejected > never) & (rejected >= taken)] = 0.0
    return confidence[pair].astype(np.float32)


def _number_pairs(user: Any, product: Any) -> IntArray:
    users = _number(user)
    products = _number(product)
    numbers: IntArray = np.unique(users * (int(products.max(initial=0)) + 1) + products, return_inverse=True)[
        1
    ]
    return numbers


def _number(column: Any) -> IntArray:
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    numbers: IntArray = whole.dictionary_encode().indices.to_numpy().astype(np.int64)
    return numbers


def _is_one_of(column: Any, names: Sequence[str]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.asarray(pc.is_in(column, value_set=pa.array(names, pa.string())))
    return found
