"""Draws what is searched: clustered items in ascending risk, users near the clusters, and what they may see.

A cluster has a risk of its own, so a risk limit takes whole clusters away and the best eligible items of many
users are not near them. That is what makes a filtered search hard, and what a catalogue looks like.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.item_vectors import find_int8_scale, to_int8
from index.reference import (
    item_scale_for,
    quantise,
    user_scale_for,
)
from server.scoring import Scorer

DIM: Final = 64
SHARES: Final = (0.01, 0.1, 0.5)
"""Eligible parts of the catalogue that are measured, beside all of it; a nested index has a tier for each."""
SHARE_BETWEEN: Final = 0.3
"""A prefix that ends inside a tier, as a request's own risk limit does."""

_NOISE: Final = (
    1.0  # Length of the offset from a cluster's centre, whose own length is 1: neighbours spread out.
)
_NORM_SPREAD: Final = 0.1  # Standard deviation of an item's log length.
_RISK_SPREAD: Final = 0.15  # That of an item's risk about its cluster's, which is between 0 and 1.

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Users:
    """Users as a tower gives them, and as they are quantised.

    Attributes:
        vectors: float32 [users, dim].
        codes: int32 [users, dim].
    """

    vectors: NDArray[np.float32]
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.vectors)

    def chunks(self, size: int) -> list["Users"]:
        """Returns the users in groups of one size; those that do not fill one are left out."""
        starts = range(0, len(self) - size + 1, size)
        return [Users(self.vectors[at : at + size], self.codes[at : at + size]) for at in starts]


@dataclass(frozen=True)
class Catalogue:
    """Items in ascending risk, in the forms that a bundle has, and users.

    Attributes:
        vectors: float32 [items, dim].
        int32: int32 [items, dim].
        int8: int8 [items, dim].
        users: whose searches are measured.
        tuning_users: others, for choosing how hard an index searches.
    """

    vectors: NDArray[np.float32]
    int32: NDArray[np.int32]
    int8: NDArray[np.int8]
    users: Users
    tuning_users: Users

    @property
    def count(self) -> int:
        """Returns the number of items."""
        return len(self.vectors)

    @cached_property
    def scorer(self) -> Scorer:
        """What a server scores candidates with; a row stands for the rank of its product's id."""
        return Scorer(self.int32, np.arange(self.count), user_scale=1.0, item_scale=1.0)


@dataclass(frozen=True)
class Filter:
    """What may be found.

    Attributes:
        kind: "all", "prefix" (a risk limit) or "scattered" (anything else, as a bitmap).
        share: eligible part of the catalogue.
        row_stop: one past the last row that may be found.
        marks: if not None, only these rows may be found, bool [items].
    """

    kind: str
    share: float
    row_stop: int
    marks: NDArray[np.bool_] | None = None

    @cached_property
    def eligible_count(self) -> int:
        """How many rows may be found."""
        return self.row_stop if self.marks is None else int(np.count_nonzero(self.marks))

    def allows(self, rows: Rows) -> NDArray[np.bool_]:
        """Tells of each row whether it may be found; -1 is none."""
        fits = (rows >= 0) & (rows < self.row_stop)
        return fits if self.marks is None else fits & self.marks[np.maximum(rows, 0)]


def draw_catalogue(count: int, *, user_count: int, tuning_count: int, seed: int) -> Catalogue:
    """Draws a catalogue; the same arguments give the same."""
    random = np.random.default_rng(seed)
    cluster_count = max(8, math.isqrt(count))
    centres = _unit(random.standard_normal((cluster_count, DIM), dtype=np.float32))
    cluster_risk = random.random(cluster_count, dtype=np.float32)
    cluster = random.integers(0, cluster_count, count)
    risk = cluster_risk[cluster] + _RISK_SPREAD * random.standard_normal(count, dtype=np.float32)
    cluster = cluster[np.argsort(risk, kind="stable")]
    vectors = _near(centres[cluster], random)
    vectors *= np.exp(_NORM_SPREAD * random.standard_normal((count, 1), dtype=np.float32))
    item_scale = item_scale_for(vectors)
    int32 = quantise(vectors, item_scale)
    drawn = _near(centres[random.integers(0, cluster_count, user_count + tuning_count)], random)
    codes = quantise(drawn, user_scale_for(drawn, unit_length=True))
    return Catalogue(
        vectors=vectors,
        int32=int32,
        int8=to_int8(int32, item_scale, find_int8_scale(int32, item_scale)),
        users=Users(drawn[:user_count], codes[:user_count]),
        tuning_users=Users(drawn[user_count:], codes[user_count:]),
    )


def prefix_stops(count: int) -> tuple[int, ...]:
    """Returns one past the last row of each tier, the whole catalogue last."""
    return (*(round(count * share) for share in SHARES), count)


def list_filters(count: int, seed: int) -> Iterator[Filter]:
    """Yields every filter: each share as a prefix and scattered, a prefix between two of them, and none."""
    random = np.random.default_rng(seed)
    for share, stop in zip(SHARES, prefix_stops(count), strict=False):
        yield Filter("prefix", share, stop)
        marks = np.zeros(count, np.bool_)
        marks[random.choice(count, stop, replace=False)] = True
        yield Filter("scattered", share, count, marks)
    yield Filter("prefix", SHARE_BETWEEN, round(count * SHARE_BETWEEN))
    yield Filter("all", 1.0, count)


def _near(centres: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Returns a vector of length 1 near each centre."""
    noise = random.standard_normal(centres.shape, dtype=np.float32)
    noise *= np.float32(_NOISE / math.sqrt(DIM))
    noise += centres
    return _unit(noise)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths
