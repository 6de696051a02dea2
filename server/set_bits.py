"""Sets as bits: what a product and a user may share is one common bit in a row of words.

Every distinct value in the catalogue has a bit, by kind of set; each kind has its own words. A user's value
that the catalogue does not know has no bit, so it is shared with no product.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.distinct import Distinct
from server.errors import SnapshotError

SET_KINDS: Final = ("channels", "jurisdictions", "currency", "objectives_y", "objectives_n", "needs_served")
"""The kinds in the kernel's order; each is named after the product's field."""
VALUE_COUNT_MAX: Final = 4096
"""Most distinct values of one kind."""

Words = NDArray[np.uint64]
_WORD_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class SetBits:
    """The sets of a catalogue.

    Attributes:
        words: uint64 [product_count, word_count].
        starts: first word of each kind, and the number of words, int64 [kinds + 1].
        bits: by kind, the bit of each value in a row of words.
    """

    words: Words
    starts: NDArray[np.int64]
    bits: Mapping[str, Mapping[str, int]]

    def encode(self, members: Mapping[str, Collection[str] | None]) -> Words:
        """Returns a user's members by kind as words, uint64 [word_count]; None has no member."""
        row = 0
        for kind, values in members.items():
            bits = self.bits[kind]
            for value in values or ():
                bit = bits.get(value)
                if bit is not None:
                    row |= 1 << bit
        return _words_of(row, int(self.starts[-1]))


def compile_sets(members: Mapping[str, Distinct]) -> SetBits:
    """Gives every value a bit.

    Args:
        members: by kind, the values of each product as a set, None where they are missing.

    Raises:
        SnapshotError: a kind has too many distinct values.
    """
    starts = np.zeros(len(SET_KINDS) + 1, np.int64)
    blocks, bits_by_kind = [], {}
    for position, kind in enumerate(SET_KINDS):
        sets = members[kind].map(lambda values: values or frozenset()).merge(lambda values: values)
        bits, word_count = _number_values(kind, sets.values)
        words = [_words_of(_sum_bits(bits[value] for value in values), word_count) for values in sets.values]
        blocks.append(np.array(words, np.uint64).reshape(len(words), word_count)[sets.codes])
        first_bit = int(starts[position]) * _WORD_BITS
        bits_by_kind[kind] = {value: first_bit + bit for value, bit in bits.items()}
        starts[position + 1] = starts[position] + word_count
    return SetBits(np.ascontiguousarray(np.concatenate(blocks, axis=1)), starts, bits_by_kind)


def _number_values(kind: str, sets: Iterable[frozenset[str]]) -> tuple[dict[str, int], int]:
    values = sorted(frozenset().union(*sets))
    if len(values) > VALUE_COUNT_MAX:
        raise SnapshotError(
            f"catalogue: {kind}: expected at most {VALUE_COUNT_MAX} distinct values, got {len(values)}"
        )
    return {value: bit for bit, value in enumerate(values)}, -(-len(values) // _WORD_BITS)


def _sum_bits(bits: Iterable[int]) -> int:
    return sum(1 << bit for bit in bits)


def _words_of(row: int, word_count: int) -> Words:
    return np.frombuffer(row.to_bytes(word_count * 8, "little"), "<u8").astype(np.uint64, copy=False)
