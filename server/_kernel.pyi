import numpy as np
from numpy.typing import NDArray

K_MAX: int

class KernelInputError(ValueError): ...

def rescore(
    user: NDArray[np.int16], items: NDArray[np.int16], rows: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def rescore_select(
    user: NDArray[np.int16],
    items: NDArray[np.int16],
    rows: NDArray[np.int64],
    id_rank: NDArray[np.int64],
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def path() -> str: ...
