"""Memory in large pages holds what any other does."""

import errno
import mmap

import numpy as np
import pytest

from server.large_pages import LINE_BYTES, PAGE_BYTES, allocate, copy


@pytest.mark.parametrize(
    "shape", [(0,), (1,), (7, 3), (5, 0), (PAGE_BYTES // 2 - 1,), (PAGE_BYTES // 2 + 1, 3)]
)
def test_memory_is_zero_aligned_and_as_large_as_asked_for(shape: tuple[int, ...]) -> None:
    values = allocate(shape, np.int16)
    assert values.shape == shape
    assert values.dtype == np.int16
    assert not values.any()
    # Where nothing is held, NumPy gives any address.
    step = PAGE_BYTES if values.nbytes >= PAGE_BYTES else LINE_BYTES if values.size else 1
    assert values.ctypes.data % step == 0
    values[...] = -1


@pytest.mark.parametrize("count", [0, 5, 50_000])
def test_a_copy_is_equal_and_read_only(count: int) -> None:
    values = np.arange(count * 64, dtype=np.int32).reshape(count, 64)
    copied = copy(values)
    np.testing.assert_array_equal(copied, values)
    assert not copied.flags.writeable
    assert not np.shares_memory(copied, values)


class WithoutLargePages(mmap.mmap):
    """Imitates memory of a system that was built without large pages."""

    def madvise(self, *_arguments: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def test_a_system_without_large_pages_gives_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.large_pages.mmap.mmap", WithoutLargePages)
    values = allocate((PAGE_BYTES, 3), np.int16)
    assert not values.any()
