"""The native kernel's only door: types, one error, and the name of the path that runs.

The definition of score and select is `index.reference`, that of the gate `suitability.evaluate`; tests
compare the kernel with them bit for bit.

Calls check their arrays and then read them without the GIL, so no other thread may write to one until the
call has returned: what was checked would hold no more, and the process may end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from server import _kernel
from server._kernel import Catalogue, KernelInputError, ScanItems

__all__ = [
    "CODES",
    "K_MAX",
    "LEVEL_CAP_NONE",
    "PREDICATES",
    "PRODUCT_LAYOUT",
    "SCAN_COUNT_MAX",
    "SCAN_DIM_MAX",
    "SCAN_PATHS",
    "USER_LAYOUT",
    "Catalogue",
    "KernelInputError",
    "ScanItems",
    "UserArguments",
    "available_paths",
    "count_codes",
    "gate",
    "rescore",
    "scan",
    "scan_path",
    "select",
]

K_MAX = _kernel.K_MAX
"""Largest k that the kernel takes."""
CODES = _kernel.CODES
"""Number and name of every code the kernel gives."""
PREDICATES = _kernel.PREDICATES
"""Numbers of the predicates that the kernel evaluates."""
PRODUCT_LAYOUT = _kernel.PRODUCT_LAYOUT
"""Name, offset and size of each field of a product's record."""
USER_LAYOUT = _kernel.USER_LAYOUT
"""Name, offset and size of each field of a user's record."""
SCAN_PATHS = _kernel.SCAN_PATHS
"""Names of the compiled paths of the scan, the fastest first; not every machine has all of them."""
SCAN_COUNT_MAX = _kernel.SCAN_COUNT_MAX
"""Largest count that the scan takes."""
SCAN_DIM_MAX = _kernel.SCAN_DIM_MAX
"""Longest vectors that the scan takes."""
LEVEL_CAP_NONE = _kernel.LEVEL_CAP_NONE
"""The level cap that no level exceeds."""

AUTO: Final = "auto"
"""Stands for the fastest path of the scan that this machine has."""

UserArguments = tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64]]
"""Users as the kernel takes them: records uint8 [u, size], sets uint64 [u, words], issuers held int64 [h, 2]
with number and room, and groups held int64 [g]."""


def available_paths() -> tuple[str, ...]:
    """Returns the paths of the scan that this machine has, the fastest first."""
    return _kernel.AVAILABLE_SCAN_PATHS


def scan_path(name: str = AUTO) -> str:
    """Returns the path of the scan that runs under this name: the same, or for "auto" the fastest available.

    Raises:
        KernelInputError: no path has this name, or this machine lacks it.
    """
    return _kernel.scan_path(name)


def scan(
    users: NDArray[np.int8],
    items: NDArray[np.int8],
    row_starts: NDArray[np.int64],
    row_stops: NDArray[np.int64],
    bitmaps: Sequence[NDArray[np.uint8] | None] | NDArray[np.uint8] | None = None,
    *,
    count: int,
    path: str = AUTO,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds the best rows of a range for each user of a batch: score descending, row ascending.

    What is scanned often is kept as `ScanItems`. Releases the GIL. A user's result depends neither on the
    path nor on the rest of the batch.

    Args:
        users: int8 [b, dim].
        items: int8 [n, dim], C-contiguous.
        row_starts: first row of each user's range, int64 [b].
        row_stops: one past its last row, int64 [b].
        bitmaps: one per user, uint8 [ceil(n / 8)] with row r at bit r % 8 of byte r // 8; None is all rows.
        count: number of rows wanted, 0 to SCAN_COUNT_MAX.
        path: one of `available_paths`, or "auto".

    Returns:
        Rows int64 [b, count] and their scores int64 [b, count]; a place without a row has row -1 and score 0.

    Raises:
        KernelInputError: an argument, which the message names, is not as it should be.
    """
    try:
        checked = [None] * len(users) if bitmaps is None else list(bitmaps)
        return _kernel.scan(users, items, row_starts, row_stops, checked, count, path)
    except TypeError as error:
        ranges = {"row_starts": row_starts, "row_stops": row_stops, "bitmaps": bitmaps}
        raise _not_arrays(users=users, items=items, **ranges, count=count, path=path) from error


def rescore(user: NDArray[np.int32], items: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Scores the given rows for one user, in the order given. Releases the GIL.

    Args:
        user: int32 [dim].
        items: int32 [n, dim], C-contiguous.
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


def select(
    scores: NDArray[np.int64], id_rank: NDArray[np.int64], *, k: int, rows: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Selects the positions of the best k: score descending, id_rank ascending. Releases the GIL.

    Args:
        scores: int64 [n].
        id_rank: int64 [n], distinct: the rank of each product_id; of every product where rows are given.
        k: 0 to K_MAX.
        rows: the row that each score is of, int64 [n], distinct: ranks are read only where scores are equal.

    Returns:
        positions, int64 [<= k], best first.

    Raises:
        KernelInputError: an array has the wrong dtype, shape or layout, or k is out of range.
    """
    try:
        return _kernel.select(scores, id_rank, k, rows)
    except TypeError as error:
        raise _not_arrays(scores=scores, id_rank=id_rank, k=k, rows=rows) from error


def gate(
    catalogue: Catalogue,
    users: UserArguments,
    *,
    halted: NDArray[np.uint8],
    level_cap: int,
    user_of_pair: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.uint64]:
    """Judges pairs of user and product. Everything is checked before the GIL is released.

    Args:
        catalogue: the products.
        users: the users.
        halted: uint8 [product_count]; not 0 where the product is halted.
        level_cap: the highest level that is let through.
        user_of_pair: int64 [p], each in [0, u).
        rows: product rows, int64 [p], each in [0, product_count); repeats are allowed.

    Returns:
        Masks uint64 [p, 2]: code n is bit n % 64 of word n // 64.

    Raises:
        KernelInputError: an argument, which the message names, is not as it should be.
    """
    try:
        return _kernel.gate(catalogue, *users, halted, level_cap, user_of_pair, rows)
    except TypeError as error:
        raise _not_arrays(halted=halted, level_cap=level_cap, user_of_pair=user_of_pair, rows=rows) from error


def count_codes(
    catalogue: Catalogue, users: UserArguments, *, halted: NDArray[np.uint8], level_cap: int
) -> NDArray[np.int64]:
    """Counts for one user, over the whole catalogue, the products that hold each code; see `gate`.

    Returns:
        int64 [codes + 1] by code number; number 0 counts the eligible products.

    Raises:
        KernelInputError: an argument, which the message names, is not as it should be.
    """
    try:
        return _kernel.count_codes(catalogue, *users, halted, level_cap)
    except TypeError as error:
        raise _not_arrays(halted=halted, level_cap=level_cap) from error


def _not_arrays(**arguments: object) -> KernelInputError:
    kinds = ", ".join(
        f"{name}: {getattr(value, 'dtype', type(value).__name__)}" for name, value in arguments.items()
    )
    return KernelInputError(f"expected plain NumPy arrays, and an int k, count or level_cap, got {kinds}")
