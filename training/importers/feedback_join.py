"""Joins what users did to the answers that showed it to them, and lists every product that was shown."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from training.errors import SchemaError
from training.importers.feedback_log import FeedbackLog

pc: Any = pyarrow.compute  # The stubs of Arrow's compute functions lag the library.

IntArray = NDArray[np.int64]

ATTRIBUTION_DAYS: Final = 7  # An event later than this is not taken for the answer's doing.
CLOCK_SKEW_S: Final = 300  # A caller's clock may be so far behind the server's.
_SECOND_US: Final = 1_000_000
_DAY_US: Final = 86_400 * _SECOND_US
# What an exposure led to is the first of these that happened.
OUTCOMES: Final = (
    "complaint",
    "not_interested",
    "purchase",
    "enrol",
    "rating",
    "favourite",
    "comment",
    "dwell",
    "click",
    "search",
    "view",
    "impression",
)


class Match(StrEnum):
    """What became of an event when its answer was looked for."""

    MATCHED = "matched"
    WITHOUT_ANSWER = "without_answer"
    UNKNOWN_ANSWER = "unknown_answer"
    FOREIGN_USER = "foreign_user"
    BEFORE_ANSWER = "before_answer"
    LATE = "late"
    NOT_IN_LIST = "not_in_list"


@dataclass(frozen=True)
class Joined:
    """Holds exposures and how events were joined to them.

    Attributes:
        exposures: one row for each product of each answer, with what it led to.
        matches: of each event.
        exposure_row: of each event, int64 [events]; -1 where it was not joined.
        position_differs: how many events name another position than their product has in the answer.
    """

    exposures: pa.Table
    matches: tuple[Match, ...]
    exposure_row: IntArray
    position_differs: int

    def count(self) -> dict[str, int]:
        """Counts events by what became of them."""
        found = Counter(self.matches)
        return {match.value: found[match] for match in Match} | {"position_differs": self.position_differs}


def join_feedback(log: FeedbackLog) -> Joined:
    """Joins each event to its answer by answer id, user, product and time.

    Raises:
        SchemaError: an answer's products, scores and sources are not of one length.
    """
    exposures, first = _list_exposures(log.answers)
    events, answers = log.events, log.answers
    answer_row = _numpy(pc.index_in(events["answer_id"], value_set=answers["answer_id"].combine_chunks()))
    known = answer_row >= 0
    row = np.where(known, answer_row, 0)
    stated = _numpy(pc.fill_null(pc.greater(pc.utf8_length(events["answer_id"]), 0), False)).astype(bool)
    if not len(answers):
        matches = [Match.UNKNOWN_ANSWER if each else Match.WITHOUT_ANSWER for each in stated]
        return Joined(exposures, tuple(matches), np.full(len(events), -1), 0)
    rows: Any = pa.array(row)
    shown_to: Any = answers["user"].take(rows)
    same_user = _numpy(pc.equal(events["user"], shown_to)).astype(bool)
    age = _microseconds(events["event_time"]) - _microseconds(answers["decision_time"])[row]
    place = _find_places(exposures, first, events, row)
    tests = {
        Match.WITHOUT_ANSWER: ~stated,
        Match.UNKNOWN_ANSWER: ~known,
        Match.FOREIGN_USER: ~same_user,
        Match.BEFORE_ANSWER: age < -CLOCK_SKEW_S * _SECOND_US,
        Match.LATE: age > ATTRIBUTION_DAYS * _DAY_US,
        Match.NOT_IN_LIST: place < 0,
    }
    names = list(tests)
    code = np.select(list(tests.values()), range(len(names)), len(names))  # [events]
    place = np.where(code == len(names), place, -1)
    matches = [(*names, Match.MATCHED)[each] for each in code]
    joined = np.flatnonzero(place >= 0)
    named = _numpy(pc.fill_null(events["position"], 0))[joined]
    differs = (named > 0) & (named != exposures["position"].to_numpy()[place[joined]])
    return Joined(_add_outcomes(exposures, place, events), tuple(matches), place, int(differs.sum()))


def _list_exposures(answers: pa.Table) -> tuple[pa.Table, IntArray]:
    """Lists the products of all answers; returns beside them each answer's first row."""
    lists: Any = answers["product_ids"].combine_chunks()
    owner = pc.list_parent_indices(lists).to_numpy()
    size = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    for name in ("scores", "sources"):
        if not np.array_equal(_numpy(pc.fill_null(pc.list_value_length(answers[name]), -1)), size):
            raise SchemaError(f"answers: {name}: expected as many as product_ids in every answer")
    first = np.concatenate([[0], np.cumsum(size)[:-1]]).astype(np.int64)[: len(size)]
    about = ("answer_id", "decision_time", "bundle_version", "policy_hash", "overlay_sequence", "method")
    told = ("placement", "campaign", "experiments", "segment_id", "features", "personalised")
    columns: dict[str, Any] = {"user_id": answers["user"].take(pa.array(owner))}
    columns |= {
        "product_id": pc.list_flatten(lists),
        "position": pa.array((np.arange(len(owner)) - first[owner] + 1).astype(np.int32)),
        "score": pc.list_flatten(answers["scores"]),
        "source": pc.list_flatten(answers["sources"]),
    }
    columns |= {name: answers[name].take(pa.array(owner)) for name in (*about, *told)}
    return pa.table(columns).combine_chunks(), first


def _find_places(exposures: pa.Table, first: IntArray, events: pa.Table, answer_row: IntArray) -> IntArray:
    """Finds the exposure of each event's product in a given answer, int64 [events]; -1 for none."""
    products: Any = pc.unique(exposures["product_id"])
    shown = _numpy(pc.index_in(exposures["product_id"], value_set=products))
    wanted = _numpy(pc.index_in(events["product_id"], value_set=products))
    if not len(shown):
        return np.full(len(events), -1)
    owner = np.searchsorted(first, np.arange(len(shown)), side="right") - 1
    key = owner * len(products) + shown
    order = np.argsort(key, kind="stable")
    asked = answer_row * len(products) + wanted
    near = order[np.minimum(np.searchsorted(key, asked, sorter=order), len(order) - 1)]
    return np.where((wanted >= 0) & (key[near] == asked), near, -1)


def _add_outcomes(exposures: pa.Table, place: IntArray, events: pa.Table) -> pa.Table:
    """Adds what each exposure led to; null where no event names it."""
    rank = _numpy(pc.index_in(events["event_type"], value_set=pa.array(OUTCOMES)))
    joined = (place >= 0) & (rank >= 0)
    best = np.full(len(exposures), len(OUTCOMES))
    np.minimum.at(best, place[joined], rank[joined])
    outcome = pa.array((*OUTCOMES, None), pa.string()).take(pa.array(best))
    return exposures.append_column("outcome", outcome)


def _microseconds(column: Any) -> IntArray:
    times: IntArray = column.cast(pa.int64()).to_numpy()
    return times


def _numpy(column: Any) -> NDArray[Any]:
    """Turns a column into NumPy, null as -1."""
    found: Any = column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()
    if column.null_count:
        found = pc.fill_null(column, -1).to_numpy()
    return np.asarray(found)
