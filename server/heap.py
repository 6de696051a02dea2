"""Keeps the C library's heap in one piece, so that each thread's peak is not kept for that thread alone."""

import ctypes
from typing import Final

_ARENA_MAX: Final = -8
"""M_ARENA_MAX of glibc's <malloc.h>."""


def keep_in_one_piece() -> bool:
    """Lets all threads allocate from one heap; call it before there are any.

    By itself glibc gives each of them one of its own, up to eight for each core, and takes back only what is
    free at its end: what one thread has freed, another asks the system for.

    Returns:
        whether the C library took it; other libraries than glibc have one heap, or a way of their own.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    return tune is not None and tune(_ARENA_MAX, 1) == 1
