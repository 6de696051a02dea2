"""Names a matrix in the memory of the GPU, which whoever copied or computed it there keeps alive."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

FLOAT_BYTES = 4


@dataclass(frozen=True)
class DeviceMatrix:
    """A float32 matrix in the memory of the GPU, its rows one after the other.

    Attributes:
        pointer: address of the first value on the device.
        count: rows.
        dim: values of each.
        owner: what frees the memory when it goes.
    """

    pointer: int
    count: int
    dim: int
    owner: object

    def take(self, rows: Sequence[int]) -> DeviceMatrix | None:
        """Returns some of the rows without copying; None unless each follows the one before it."""
        if not rows or list(rows) != list(range(rows[0], rows[0] + len(rows))):
            return None
        if rows[0] < 0 or rows[-1] >= self.count:
            raise IndexError(f"rows [{rows[0]}, {rows[-1]}]; expected 0 to {self.count - 1}")
        return dataclasses.replace(
            self, pointer=self.pointer + rows[0] * self.dim * FLOAT_BYTES, count=len(rows)
        )
