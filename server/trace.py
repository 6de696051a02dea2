"""Says how an answer came about, for a request that asks."""

from collections.abc import Sequence

import numpy as np

from server.gate import find_eligible
from server.messages import StageTime, TraceDetail
from server.search import Found


def describe_search(found: Found, before: Sequence[StageTime], selected: StageTime) -> TraceDetail:
    """Returns the stages of an answer in order, and what its search looked at.

    Args:
        found: the search.
        before: stages before it.
        selected: the stage after it.
    """
    return TraceDetail(
        stages=(*before, *found.stages, selected),
        batch_count=found.batch_count,
        search_round_count=found.round_count,
        candidate_count=found.candidate_count,
        removed_count=len(found.masks) - int(np.count_nonzero(find_eligible(found.masks))),
        history_event_count=found.history_event_count,
        history_unknown_count=found.history_unknown_count,
        rows_scanned_count=found.rows_scanned_count,
        retriever=", ".join(found.retrievers),
        provider=found.snapshot.encoder.provider,
    )
