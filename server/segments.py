"""Names the segment of a user, and stands in with one where the user tower gives nothing that can be used."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.features import Event
from index.segments import Segments
from server.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class StandIn:
    """The query in place of a user's, and the segment that it is of; none where no event is known."""

    vector: NDArray[np.int32]  # [dim]
    segment_id: str


def name_segments(
    segments: Segments | None, users: NDArray[np.int32], event_counts: Sequence[int]
) -> list[str]:
    """Names each user's segment; a user whose vector rests on a profile alone, or on nothing, has none.

    Args:
        segments: those of the bundle, None where it has none.
        users: quantised user vectors, int32 [batch, dim].
        event_counts: how many events each vector rests on, 0 where behaviour may not be used, [batch].
    """
    if segments is None:
        return [""] * len(users)
    places = segments.assign(users).tolist()
    return [
        segments.segment_ids[place] if count else ""
        for place, count in zip(places, event_counts, strict=True)
    ]


def stand_in(snapshot: Snapshot, history: Sequence[Event]) -> StandIn | None:
    """Takes the centroid of the segment that scores a history's products highest, of equal ones the first.

    A centroid is the mean of its users' vectors, so it ranks by their mean score: by what is popular in the
    segment. Without a known event the first segment is taken, the largest. None where there are no segments.
    """
    segments = snapshot.bundle.segments
    if segments is None:
        return None
    rows = [row for event in history if (row := snapshot.row_of.get(event.product_id)) is not None]
    known = np.array(sorted(set(rows)), np.int64)
    likings = [int(snapshot.scorer.score(centroid, known).sum()) for centroid in segments.centroids]
    place = likings.index(max(likings))
    return StandIn(segments.centroids[place], segments.segment_ids[place] if rows else "")
