from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

AVAILABLE_SCAN_PATHS: tuple[str, ...]
CODES: tuple[tuple[int, str], ...]
K_MAX: int
LEVEL_CAP_NONE: int
PREDICATES: tuple[int, ...]
PRODUCT_LAYOUT: tuple[tuple[str, int, int], ...]
SCAN_COUNT_MAX: int
SCAN_DIM_MAX: int
SCAN_PATHS: tuple[str, ...]
USER_LAYOUT: tuple[tuple[str, int, int], ...]

class KernelInputError(ValueError): ...

class Catalogue:
    def __init__(
        self, products: NDArray[np.uint8], sets: NDArray[np.uint64], set_starts: NDArray[np.int64]
    ) -> None: ...

def rescore(
    user: NDArray[np.int32], items: NDArray[np.int32], rows: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def select(
    scores: NDArray[np.int64], id_rank: NDArray[np.int64], k: int, rows: NDArray[np.int64] | None = None
) -> NDArray[np.int64]: ...
def gate(
    catalogue: Catalogue,
    users: NDArray[np.uint8],
    user_sets: NDArray[np.uint64],
    held_issuers: NDArray[np.int64],
    held_groups: NDArray[np.int64],
    halted: NDArray[np.uint8],
    level_cap: int,
    user_of_pair: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> NDArray[np.uint64]: ...
def count_codes(
    catalogue: Catalogue,
    users: NDArray[np.uint8],
    user_sets: NDArray[np.uint64],
    held_issuers: NDArray[np.int64],
    held_groups: NDArray[np.int64],
    halted: NDArray[np.uint8],
    level_cap: int,
) -> NDArray[np.int64]: ...
def scan(
    users: NDArray[np.int8],
    items: NDArray[np.int8],
    row_starts: NDArray[np.int64],
    row_stops: NDArray[np.int64],
    bitmaps: Sequence[NDArray[np.uint8] | None],
    count: int,
    path: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...

class ScanItems:
    def __init__(self, items: NDArray[np.int8], path: str) -> None: ...
    @property
    def packed_size(self) -> int: ...
    def pack(self, packed: NDArray[np.uint8]) -> None: ...
    def scan(
        self,
        queries: NDArray[np.int32],
        row_starts: Sequence[int],
        row_stops: Sequence[int],
        bitmaps: Sequence[bytes | None],
        counts: Sequence[int],
    ) -> list[NDArray[np.int64]]: ...

def scan_path(name: str) -> str: ...
