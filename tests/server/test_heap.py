"""One heap for all threads: what many of them allocate lies together."""

import subprocess
import sys

import pytest

_COUNT_HEAPS = """
import ctypes, sys, threading
from server.heap import keep_in_one_piece
if sys.argv[1] == "one":
    assert keep_in_one_piece()
ctypes.CDLL(None).malloc.restype = ctypes.c_void_p
heaps, together = set(), threading.Barrier(4)
def allocate():
    together.wait()
    place = ctypes.CDLL(None).malloc(5000)
    # A heap of a thread's own is aligned to 64 MiB, and begins there.
    heaps.add(place >> 26)
threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(heaps))
"""


@pytest.mark.parametrize(("kind", "one"), [("one", True), ("own", False)])
def test_threads_share_a_heap_only_where_they_are_told_to(kind: str, one: bool) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _COUNT_HEAPS, kind], check=True, capture_output=True, text=True, timeout=30
    )
    assert (int(ran.stdout) == 1) is one
