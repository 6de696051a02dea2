"""Finds the segment of a user: the nearest of several centroids of user vectors, in whole numbers.

Integers throughout, so that a segment can be found again, bit for bit, from a recorded user vector. A bundle
keeps them in `segments.json`; one without that file has no segments.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from index.errors import BundleFormatError
from index.manifest import SEGMENTS, strict_json
from index.reference import STEP_LIMIT

SEGMENT_COUNT_MAX: Final = 32
"""Segments are a label of metrics, whose number must stay small."""
METHODS: Final = ("k_means", "dbscan")

_FORMAT_VERSION: Final = 1
_USER_COUNT_MAX: Final = 10**9
_KEYS: Final = {"format_version", "method", "noise_share", "silhouettes", "segments"}
_ID_PATTERN: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True)
class Segments:
    """Groups of users, the largest first.

    Attributes:
        method: what made them, one of METHODS.
        segment_ids: what answers call them; they mean something within one bundle only.
        user_counts: how many of the users that they were made from are nearest to each.
        centroids: on the scale of user vectors, int32 [segments, dim].
        noise_share: share of those users whom DBSCAN put into no cluster; 0 for k-means.
        silhouettes: mean silhouette by number of segments, of those that were tried.
    """

    method: str
    segment_ids: tuple[str, ...]
    user_counts: tuple[int, ...]
    centroids: NDArray[np.int32]
    noise_share: float
    silhouettes: Mapping[int, float]
    _columns: NDArray[np.int64] = field(init=False, repr=False, compare=False)  # [dim, segments]
    _squares: NDArray[np.int64] = field(init=False, repr=False, compare=False)  # [segments]

    def __post_init__(self) -> None:
        wide = self.centroids.astype(np.int64)
        object.__setattr__(self, "_columns", np.ascontiguousarray(2 * wide.T))
        object.__setattr__(self, "_squares", (wide * wide).sum(axis=1))

    def assign(self, users: NDArray[np.int32]) -> NDArray[np.int64]:
        """Returns the place of each user's segment: the nearest centroid, of equally near ones the first.

        Of |user - centroid|^2 the user's own square is left out, which is the same for all centroids.

        Args:
            users: quantised user vectors, int32 [batch, dim].

        Returns:
            places in `segment_ids`, int64 [batch].
        """
        nearest: NDArray[np.int64] = np.argmin(self._squares - users.astype(np.int64) @ self._columns, axis=1)
        return nearest

    def describe(self) -> dict[str, Any]:
        """Returns everything but the centroids, for evaluation.json."""
        return {
            "method": self.method,
            "user_counts": dict(zip(self.segment_ids, self.user_counts, strict=True)),
            "noise_share": self.noise_share,
            "silhouettes": {str(count): value for count, value in sorted(self.silhouettes.items())},
        }

    def to_json(self) -> str:
        """Returns JSON text; `read_segments` gives back the same."""
        rows = zip(self.segment_ids, self.user_counts, self.centroids.tolist(), strict=True)
        body = {
            "format_version": _FORMAT_VERSION,
            "method": self.method,
            "noise_share": self.noise_share,
            "silhouettes": {str(count): value for count, value in sorted(self.silhouettes.items())},
            "segments": [
                {"segment_id": name, "user_count": count, "centroid": centroid}
                for name, count, centroid in rows
            ],
        }
        return json.dumps(body, indent=None, separators=(",", ":"), allow_nan=False)


def order_segments(
    method: str,
    users: NDArray[np.int32],
    centroids: NDArray[np.int32],
    *,
    noise_share: float = 0.0,
    silhouettes: Mapping[int, float] = MappingProxyType({}),
) -> Segments:
    """Makes segments of centroids: each with the users nearest to it, largest first, named s1, s2, ...

    A centroid that is no user's nearest, or is there twice, is left out: nobody would ever be in it.

    Args:
        method: what made the centroids.
        users: the users that they were made from, int32 [users, dim], at least one.
        centroids: int32 [any, dim], at least one.
        noise_share: as in Segments.
        silhouettes: as in Segments.
    """
    # Equal sizes are ordered by centroid, so that the order in which they were found says nothing.
    distinct = np.unique(centroids, axis=0)
    found = _name(method, distinct, np.zeros(len(distinct), np.int64), noise_share, silhouettes)
    counts = np.bincount(found.assign(users), minlength=len(distinct))
    order = np.argsort(-counts, kind="stable")
    order = order[counts[order] > 0]
    return _name(method, distinct[order], counts[order], noise_share, silhouettes)


def read_segments(content: bytes, dim: int) -> Segments:
    """Reads what `Segments.to_json` wrote.

    Args:
        content: the file.
        dim: the length of user vectors.

    Raises:
        BundleFormatError: it is anything else; the message names the field.
    """
    body = strict_json(content, SEGMENTS)
    version = body.get("format_version")
    if type(version) is not int or version != _FORMAT_VERSION:
        _refuse(f"format_version is {version!r:.80}; expected {_FORMAT_VERSION}")
    if body.keys() != _KEYS:
        _refuse(f"missing or unknown keys {sorted(body.keys() ^ _KEYS)}")
    if body["method"] not in METHODS:
        _refuse(f"method is {body['method']!r:.80}; expected one of {METHODS}")
    if not _is_number(body["noise_share"], 0.0, 1.0):
        _refuse(f"noise_share is {body['noise_share']!r:.80}; expected 0 to 1")
    rows = body["segments"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= SEGMENT_COUNT_MAX:
        _refuse(f"segments is {rows!r:.80}; expected a list of 1 to {SEGMENT_COUNT_MAX}")
    read = [_read_segment(place, row, dim) for place, row in enumerate(rows)]
    if len({name for name, _, _ in read}) < len(read):
        _refuse("segments: a segment_id is there twice")
    return Segments(
        method=body["method"],
        segment_ids=tuple(name for name, _, _ in read),
        user_counts=tuple(count for _, count, _ in read),
        centroids=np.array([centroid for _, _, centroid in read], np.int32),
        noise_share=float(body["noise_share"]),
        silhouettes=_read_silhouettes(body["silhouettes"]),
    )


def _name(
    method: str,
    centroids: NDArray[np.int32],
    counts: NDArray[np.int64],
    noise_share: float,
    silhouettes: Mapping[int, float],
) -> Segments:
    names = tuple(f"s{number}" for number in range(1, len(centroids) + 1))
    return Segments(method, names, tuple(counts.tolist()), centroids, noise_share, silhouettes)


def _read_segment(place: int, row: object, dim: int) -> tuple[str, int, Sequence[int]]:
    match row:
        case {"segment_id": str(name), "user_count": int(count), "centroid": list(centroid), **rest} if (
            not rest
            and _ID_PATTERN.fullmatch(name)
            and type(count) is int
            and 1 <= count <= _USER_COUNT_MAX
            and len(centroid) == dim
            and all(type(value) is int and abs(value) <= STEP_LIMIT for value in centroid)
        ):
            return name, count, centroid
    raise BundleFormatError(
        SEGMENTS,
        f"segments[{place}] is {row!r:.80}; expected a segment_id, a user_count of 1 or more and a centroid "
        f"of {dim} integers from -{STEP_LIMIT} to {STEP_LIMIT}",
    )


def _read_silhouettes(value: object) -> Mapping[int, float]:
    counts = [str(count) for count in range(2, SEGMENT_COUNT_MAX + 1)]
    if not isinstance(value, dict) or not all(
        name in counts and _is_number(mean, -1.0, 1.0) for name, mean in value.items()
    ):
        _refuse(f"silhouettes is {value!r:.80}; expected -1 to 1 by number of segments")
    return MappingProxyType({int(name): float(mean) for name, mean in value.items()})


def _is_number(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and low <= value <= high  # type: ignore[operator, arg-type]


def _refuse(problem: str) -> NoReturn:
    raise BundleFormatError(SEGMENTS, problem)
