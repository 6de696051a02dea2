"""Examples of the two towers: a user at one time, with several targets that come next.

Encoding a history costs more than scoring a product, so targets that follow each other share one history: the
user's events not later than the earliest of them, without their products. Where a source knows no order, all
times are equal and the history is everything else that the user did.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.histories import Histories, IntArray, Interactions, Targets, cut_window

# A block takes at most this part of its user's targets, so that most of what a user did is left as history.
_SHARE: Final = 3
_TARGET_LIMIT: Final = 16


@dataclass(frozen=True)
class Blocks:
    """Holds blocks of targets; the targets of block b are target_row[offset[b]:offset[b + 1]]."""

    target_row: IntArray  # [targets], positions in `Targets`, of each block the earliest first
    offset: IntArray  # [blocks + 1], from 0 to the number of targets

    def __len__(self) -> int:
        """Counts the targets."""
        return len(self.target_row)

    @property
    def first_row(self) -> IntArray:
        """Lists each block's earliest target, int64 [blocks]."""
        return self.target_row[self.offset[:-1]]

    @property
    def block(self) -> IntArray:
        """Names the block of each target, int64 [targets]."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    def split(self, block_count: int, rng: np.random.Generator) -> Iterator["Blocks"]:
        """Deals the blocks into batches of `block_count`, in random order."""
        order = rng.permutation(len(self.offset) - 1)
        for start in range(0, len(order), block_count):
            yield self.take(order[start : start + block_count])[0]

    def take(self, chosen: IntArray) -> tuple["Blocks", IntArray]:
        """Takes some blocks; returns beside them where among all targets theirs were, int64 [targets]."""
        size = np.diff(self.offset)[chosen]
        offset = np.concatenate([[0], np.cumsum(size)])
        place = np.arange(offset[-1]) + np.repeat(self.offset[chosen] - offset[:-1], size)
        return Blocks(self.target_row[place], offset), place


def draw_blocks(targets: Targets, rng: np.random.Generator) -> Blocks:
    """Cuts every user's targets into blocks: in order of time, at random within one time.

    A user's first block has a random length, so that from epoch to epoch the cuts fall elsewhere.
    """
    count = len(targets.user_row)
    order = np.lexsort((rng.random(count), targets.event_time, targets.user_row))
    user_row = targets.user_row[order]
    is_first = np.ones(count, np.bool_)
    is_first[1:] = user_row[1:] != user_row[:-1]
    start = np.flatnonzero(is_first)  # [users]
    length = np.diff(np.append(start, count))
    size = np.clip(-(-length // _SHARE), 1, _TARGET_LIMIT)
    phase = rng.integers(0, size)
    owner = np.cumsum(is_first) - 1  # [targets]
    place = np.arange(count) - start[owner]
    cut = is_first | ((place + phase[owner]) % size[owner] == 0)
    return Blocks(order, np.append(np.flatnonzero(cut), count))


def cut_block_histories(
    interactions: Interactions, targets: Targets, blocks: Blocks, row_tokens: IntArray
) -> Histories:
    """Cuts one history per block, as `cut_histories` does, without the products of all its targets."""
    size = np.diff(blocks.offset)
    product = np.full((len(size), int(size.max(initial=1))), -1, np.int64)  # [blocks, targets of a block]
    place = np.arange(len(blocks)) - np.repeat(blocks.offset[:-1], size)
    product[blocks.block, place] = targets.item_row[blocks.target_row]
    own_count = np.bincount(blocks.block, targets.own_count[blocks.target_row], len(size))
    first = blocks.first_row
    return cut_window(
        interactions,
        user_row=targets.user_row[first],
        end=targets.history_end[first],
        now=targets.event_time[first],
        left_out=product,
        left_out_count=own_count.astype(np.int64),
        row_tokens=row_tokens,
    )
