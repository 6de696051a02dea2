"""Memory in large pages, for arrays that are read row by row, each row in another place.

A machine remembers where too few pages of 4 KiB are to find every row of a large matrix at once. Where the
system has no large pages, the memory is as any other, and only speed differs.
"""

import contextlib
import math
import mmap
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

PAGE_BYTES: Final = 2 << 20
LINE_BYTES: Final = 64


def allocate(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Returns zeros, which start on a page."""
    wanted = np.dtype(dtype)
    count = math.prod(shape)
    if count * wanted.itemsize < PAGE_BYTES:
        return _align(np.zeros(count * wanted.itemsize + LINE_BYTES, np.uint8), LINE_BYTES, shape, wanted)
    # Shared memory, which is what mmap gives otherwise, has large pages only where the whole system is told.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, count * wanted.itemsize + PAGE_BYTES, flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        # A system that was built without large pages refuses the advice.
        with contextlib.suppress(OSError):
            memory.madvise(mmap.MADV_HUGEPAGE)
    return _align(np.frombuffer(memory, np.uint8), PAGE_BYTES, shape, wanted)


def copy(values: NDArray[Any]) -> NDArray[Any]:
    """Returns a read-only copy."""
    copied = allocate(values.shape, values.dtype)
    copied[...] = values
    copied.flags.writeable = False
    return copied


def _align(content: NDArray[np.uint8], step: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    start = -content.ctypes.data % step
    aligned: NDArray[Any] = content[start : start + math.prod(shape) * dtype.itemsize].view(dtype)
    return aligned.reshape(shape)
