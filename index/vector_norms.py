"""Finds item vectors so long that they would win every list: whoever made them would decide what is shown.

Ordinary popularity passes: in the demonstrations, under either model, the longest vector is at most 1.1 times
the 99th percentile and 2.1 times the median. Zero vectors are allowed and do not count: matrix factorisation
gives one to each product that nobody touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

NORM_RATIO_MAX = 10.0
"""How many times the 99th percentile of the norms a vector may be long. Finds a few products."""
MEDIAN_RATIO_MAX = 100.0
"""How many times the median. Finds the products of an issuer with so many that they are the percentile."""

_NAMED_COUNT_MAX = 3


def measure_norms(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the Euclidean length of each row of numbers [n, dim]."""
    norms: NDArray[np.float64] = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
    return norms


def describe_overlong(norms: NDArray[np.float64], product_ids: Sequence[str]) -> str | None:
    """Says which vectors are too long and what was expected, or returns None where none is.

    Args:
        norms: Euclidean lengths, float64 [n], finite.
        product_ids: id of each row.
    """
    counted = norms[norms > 0]
    if counted.size == 0:
        return None
    # The lower of two neighbours, so that in a small catalogue the longest vector is not its own measure.
    high = float(np.percentile(counted, 99, method="lower"))
    median = float(np.median(counted))
    limit = min(NORM_RATIO_MAX * high, MEDIAN_RATIO_MAX * median)
    rows = np.flatnonzero(norms > limit)
    if rows.size == 0:
        return None
    longest = rows[np.argsort(-norms[rows], kind="stable")][:_NAMED_COUNT_MAX]
    named = ", ".join(f"{product_ids[row]!r} has norm {norms[row]:.6g}" for row in longest)
    more = f" and {rows.size - len(longest)} more" if rows.size > len(longest) else ""
    return (
        f"{rows.size} of {norms.size} vectors are too long: {named}{more}; expected at most {limit:.6g}, "
        f"{NORM_RATIO_MAX:.0f} times the 99th percentile {high:.6g} and {MEDIAN_RATIO_MAX:.0f} times the "
        f"median {median:.6g}"
    )
