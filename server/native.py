"""The native kernel's only door: types, one error, and the name of the path that runs.

The definition of both functions is `index.reference`; tests compare the two bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from server import _kernel
from server._kernel import KernelInputError

__all__ = ["K_MAX", "KernelInputError", "kernel_path", "rescore", "select"]

K_MAX = _kernel.K_MAX
"""Largest k that the kernel takes."""


def kernel_path() -> str:
    """Returns which code path of the kernel runs on this machine, for the start-up line."""
    return _kernel.path()


def rescore(user: NDArray[np.int16], items: NDArray[np.int16], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scores the given rows for one user, in the order given. Releases the GIL.

    Args:
        user: int16 [dim].
        items: int16 [n, dim], C-contiguous.
        rows: item rows, int64 [m], each in [0, n); repeats are allowed.

    Returns:
        int64 [m].

    Raises:
        KernelInputError: an array has the wrong dtype, shape or layout, or a row is out of range.
    """
    try:
        return _kernel.rescore(user, items, rows)
    except TypeError as error:
        raise _not_arrays(user=user, items=items, rows=rows) from error


def select(scores: NDArray[np.int64], id_rank: NDArray[np.int64], *, k: int) -> NDArray[np.int64]:
    """Selects the positions of the best k: score descending, id_rank ascending. Releases the GIL.

    Args:
        scores: int64 [n].
        id_rank: int64 [n], distinct: the rank of each product_id.
        k: 0 to K_MAX.

    Returns:
        positions, int64 [<= k], best first.

    Raises:
        KernelInputError: an array has the wrong dtype, shape or layout, or k is out of range.
    """
    try:
        return _kernel.select(scores, id_rank, k)
    except TypeError as error:
        raise _not_arrays(scores=scores, id_rank=id_rank, k=k) from error


def _not_arrays(**arguments: object) -> KernelInputError:
    kinds = ", ".join(
        f"{name}: {getattr(value, 'dtype', type(value).__name__)}" for name, value in arguments.items()
    )
    return KernelInputError(f"expected plain NumPy arrays of int16 or int64 and an int k, got {kinds}")
