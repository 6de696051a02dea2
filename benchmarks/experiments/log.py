"""Reads a feedback log and ties each event to the answer that caused it; what ties to none is counted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from server.errors import FeedbackStateError
from server.feedback.parts import ANSWERS_FOLDER, EVENTS_FOLDER, list_current

Codes = NDArray[np.int64]

DAY_US: Final = 86_400_000_000
CONVERSIONS: Final = ("enrol", "purchase")
"""Types of events that are a sale."""
LISTED: Final = ("Recommend", "SimilarProducts")
"""Methods whose answers show products to people."""

_ANSWER_COLUMNS: Final = (
    *("answer_id", "user", "method", "decision_time", "placement", "campaign", "experiments"),
    *("product_ids", "withheld", "latency_us"),
)
_EVENT_COLUMNS: Final = ("user", "product_id", "event_type", "event_time", "answer_id", "revenue_minor")


@dataclass(frozen=True)
class Pairs:
    """Products of answers: a row for each, distinct."""

    answer: Codes  # [n], rows of the answers
    product: Codes  # [n]


@dataclass(frozen=True)
class Events:
    """Events that belong to an answer, in the order of the log.

    Attributes:
        answer: row of the answer, int64 [n].
        product: code of the product, int64 [n].
        kind: type of event, text [n].
        time_us: when, microseconds since 1970, int64 [n].
        revenue: minor units, 0 where none is stated, float64 [n].
    """

    answer: Codes
    product: Codes
    kind: NDArray[np.str_]
    time_us: Codes
    revenue: NDArray[np.float64]


@dataclass(frozen=True)
class Log:
    """A feedback log: answers that showed products, and what came of them.

    Attributes:
        answers: the answers, as they were logged.
        user: code of each answer's user, int64 [answers].
        time_us: decision time of each, int64 [answers].
        shown: the products of the answers.
        product_count: how many different products were shown.
        events: events that belong to an answer.
        unmatched: how many events belong to none, by the reason.
        nameless_count: how many answers went to users whom the store does not know; they are left out.
        impressions_logged: whether events say what was seen; if not, what was answered counts as seen.
    """

    answers: pa.Table
    user: Codes
    time_us: Codes
    shown: Pairs
    product_count: int
    events: Events
    unmatched: Mapping[str, int]
    nameless_count: int
    impressions_logged: bool

    @property
    def end_us(self) -> int:
        """The last instant that the log speaks of."""
        return int(self.time_us.max())

    def seen(self, chosen: NDArray[np.bool_] | None = None) -> Pairs:
        """Returns what was seen: impressions and whatever was acted on, or else all that was answered.

        Args:
            chosen: the events that count; None for all.
        """
        if not self.impressions_logged:
            return self.shown
        return self.distinct(np.ones(len(self.events.kind), np.bool_) if chosen is None else chosen)

    def distinct(self, chosen: NDArray[np.bool_]) -> Pairs:
        """Returns the products of answers that any of the chosen events is about."""
        keys = np.unique(self.events.answer[chosen] * self.product_count + self.events.product[chosen])
        return Pairs(keys // self.product_count, keys % self.product_count)

    def is_kind(self, *kinds: str) -> NDArray[np.bool_]:
        """Tells for each event whether it is of one of these types."""
        return np.isin(self.events.kind, kinds)


def read_log(folder: Path) -> Log:
    """Reads the Parquet files of a feedback log.

    Raises:
        BenchmarkInputError: files or columns are missing, or no answer showed anything to anybody.
    """
    answers = _read(folder / ANSWERS_FOLDER, _ANSWER_COLUMNS)
    answers = answers.filter(pc.is_in(answers["method"], value_set=pa.array(LISTED)))
    # Users whom the store does not know have no pseudonym in the log: nobody can say who is one person.
    known = pc.not_equal(answers["user"], pa.scalar(""))
    nameless_count = answers.num_rows - int(np.count_nonzero(known.to_numpy()))
    answers = answers.filter(known).combine_chunks()
    if not answers.num_rows:
        raise BenchmarkInputError(
            f"{folder}: expected answers of {' or '.join(LISTED)} to known users, got none"
        )
    events = _read(folder / EVENTS_FOLDER, _EVENT_COLUMNS)
    shown_ids = pc.list_flatten(answers["product_ids"])
    products = pc.unique(shown_ids)
    shown = Pairs(
        _whole(pc.list_parent_indices(answers["product_ids"])), _whole(pc.index_in(shown_ids, products))
    )
    users = pc.unique(answers["user"])
    user = _whole(pc.index_in(answers["user"], users))
    matched, unmatched = _attribute(answers, user, users, products, shown, events)
    return Log(
        answers=answers,
        user=user,
        time_us=_times(answers["decision_time"]),
        shown=shown,
        product_count=len(products),
        events=matched,
        unmatched=unmatched,
        nameless_count=nameless_count,
        impressions_logged=bool(np.any(matched.kind == "impression")),
    )


def _attribute(
    answers: pa.Table, user: Codes, users: Any, products: Any, shown: Pairs, events: pa.Table
) -> tuple[Events, dict[str, int]]:
    """Finds each event's answer; it must be its user's, and have shown its product."""
    answer = _find(events["answer_id"], answers["answer_id"].combine_chunks())
    product, of_user = _find(events["product_id"], products), _find(events["user"], users)
    named = pc.is_valid(events["answer_id"]).to_numpy(zero_copy_only=False)
    keys = answer * len(products) + product
    held = (product >= 0) & np.isin(keys, shown.answer * len(products) + shown.product)
    reasons = {
        "names no answer": ~named,
        "names an answer that is not in the log": answer < 0,
        "names the answer of another user": user[answer] != of_user,
        "names an answer without its product": ~held,
    }
    left = np.ones(events.num_rows, np.bool_)
    counts = {}
    for reason, holds in reasons.items():
        counts[reason] = int(np.count_nonzero(left & holds))
        left &= ~holds
    matched = Events(
        answer=answer[left],
        product=product[left],
        kind=np.array(events["event_type"].to_pylist(), np.str_)[left],
        time_us=_times(events["event_time"])[left],
        revenue=_fill(events["revenue_minor"], 0)[left].astype(np.float64),
    )
    return matched, counts


def _read(folder: Path, columns: Sequence[str]) -> pa.Table:
    try:
        paths = list_current(folder)
        if not paths:
            raise BenchmarkInputError(
                f"{folder}: expected part-*.parquet, got none; `python -m server compact LOG` makes them"
            )
        parts = [pq.read_table(path, columns=list(columns)) for path in paths]
        return pa.concat_tables(parts).combine_chunks()
    except (pa.ArrowException, OSError, FeedbackStateError) as error:
        raise BenchmarkInputError(f"{folder}: {error}") from error


def _find(column: Any, values: Any) -> Codes:
    """Returns the position of each value among others, -1 where it is not there."""
    return _fill(pc.index_in(column, values), -1)


def _fill(column: Any, value: int) -> Codes:
    return _whole(column.fill_null(value))


def _whole(column: Any) -> Codes:
    codes: Codes = column.to_numpy().astype(np.int64)
    return codes


def _times(column: Any) -> Codes:
    return _whole(column.cast(pa.int64()))
