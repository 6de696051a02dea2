"""Sums up what each user of an experiment did, over the same number of days from their first answer on.

The user is the unit that was drawn, so that users are what may be counted as independent; answers of one user
are not. Everybody is looked at for as long as everybody else: who came too late for that is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.experiments.log import CONVERSIONS, DAY_US, Codes, Log, Pairs

FloatArray = NDArray[np.float64]
REMOVED = "removed:"
"""Prefix of the columns that count what a reason code removed."""


@dataclass(frozen=True)
class Outcomes:
    """The users of one variant, in the order in which they came.

    Attributes:
        first_us: when each got the first answer, int64 [users].
        columns: by name a figure per user, float64 [users]: answers, filled, seen, clicks, converted,
            conversions, revenue, and removed:CODE for each reason code and removed:all.
        latency_us: of each answer, float64 [answers].
        latency_user: whose answer it was, a position in the other arrays, int64 [answers].
        shown: who was shown what; `answer` is a position of a user, distinct.
    """

    first_us: Codes
    columns: Mapping[str, FloatArray]
    latency_us: FloatArray
    latency_user: Codes
    shown: Pairs

    @property
    def user_count(self) -> int:
        """How many users."""
        return len(self.first_us)


@dataclass(frozen=True)
class Exposed:
    """Everybody who took part in an experiment.

    Attributes:
        variants: outcomes by variant.
        user_counts: how many users each variant had, those who came too late included.
        several_count: users who were seen under several variants; they are in no variant here.
        late_count: users who came too late to be looked at for the whole window.
    """

    variants: Mapping[str, Outcomes]
    user_counts: Mapping[str, int]
    several_count: int
    late_count: int


def sum_up(log: Log, experiment: str, *, window_days: int) -> Exposed:
    """Sums up an experiment.

    Args:
        log: the feedback log.
        experiment: its name.
        window_days: days from the first answer on for which a user is looked at.

    Raises:
        BenchmarkInputError: no answer names the experiment.
    """
    rows, variant, names = _find_variants(log, experiment)
    user_total = int(log.user.max()) + 1
    of_user = np.full(user_total, -1, np.int64)
    of_user[log.user[rows]] = variant
    several = np.zeros(user_total, np.bool_)
    several[log.user[rows[of_user[log.user[rows]] != variant]]] = True
    first_us = np.full(user_total, np.iinfo(np.int64).max)
    np.minimum.at(first_us, log.user[rows], log.time_us[rows])
    taking_part = (of_user >= 0) & ~several
    window_us = window_days * DAY_US
    whole = taking_part & (first_us <= log.end_us - window_us)
    within = np.zeros(log.answers.num_rows, np.bool_)
    within[rows] = whole[log.user[rows]] & (log.time_us[rows] < first_us[log.user[rows]] + window_us)
    # An event counts if its answer does, and if it came inside the window, too.
    events_within = within[log.events.answer]
    events_within &= log.events.time_us < first_us[log.user[log.events.answer]] + window_us
    table = _columns(log, within, events_within, user_total)
    return Exposed(
        variants={
            name: _select(log, np.flatnonzero(whole & (of_user == code)), first_us, table, within)
            for code, name in enumerate(names)
        },
        user_counts={
            name: int(np.count_nonzero(taking_part & (of_user == code))) for code, name in enumerate(names)
        },
        several_count=int(np.count_nonzero(several)),
        late_count=int(np.count_nonzero(taking_part & ~whole)),
    )


def _find_variants(log: Log, experiment: str) -> tuple[Codes, Codes, list[str]]:
    """Returns the answers of an experiment, the code of each one's variant, and the variants by code."""
    column = log.answers["experiments"]
    drawn = pc.list_flatten(column)
    chosen = pc.equal(pc.struct_field(drawn, "experiment"), pa.scalar(experiment)).to_numpy(
        zero_copy_only=False
    )
    if not chosen.any():
        raise BenchmarkInputError(f"experiment {experiment}: no answer of the log names it")
    rows = pc.list_parent_indices(column).to_numpy().astype(np.int64)[chosen]
    labels = np.array(pc.struct_field(drawn, "variant").to_pylist(), np.str_)[chosen]
    names, codes = np.unique(labels, return_inverse=True)
    return rows, codes.astype(np.int64), names.tolist()


def _columns(
    log: Log, within: NDArray[np.bool_], events_within: NDArray[np.bool_], user_total: int
) -> dict[str, FloatArray]:
    """Counts per user, over the answers and events that count."""

    def count(users: Codes, weights: FloatArray | None = None) -> FloatArray:
        return np.bincount(users, weights, minlength=user_total).astype(np.float64)

    def count_pairs(pairs: Pairs) -> FloatArray:
        return count(log.user[pairs.answer[within[pairs.answer]]])

    event_user = log.user[log.events.answer]
    clicks = log.distinct(log.is_kind("click") & events_within)
    sales = log.is_kind(*CONVERSIONS) & events_within
    product_count = np.bincount(log.shown.answer, minlength=log.answers.num_rows)
    columns = {
        "answers": count(log.user[within]),
        "filled": count(log.user[within & (product_count > 0)]),
        "seen": count_pairs(log.seen(events_within)),
        "clicks": count_pairs(clicks),
        "conversions": count_pairs(log.distinct(sales)),
        "revenue": count(event_user[events_within], log.events.revenue[events_within]),
    }
    columns["converted"] = (columns["conversions"] > 0).astype(np.float64)
    return columns | _count_removed(log, within, user_total)


def _count_removed(log: Log, within: NDArray[np.bool_], user_total: int) -> dict[str, FloatArray]:
    column = log.answers["withheld"]
    answer = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    removed = pc.list_flatten(column)
    codes = np.array(pc.struct_field(removed, "code").to_pylist(), np.str_)
    counts = pc.struct_field(removed, "count").to_numpy().astype(np.float64)
    kept = within[answer]
    found: dict[str, FloatArray] = {}
    for code in ["all", *np.unique(codes[kept]).tolist()]:
        chosen = kept if code == "all" else kept & (codes == code)
        found[f"{REMOVED}{code}"] = np.bincount(
            log.user[answer[chosen]], counts[chosen], minlength=user_total
        ).astype(np.float64)
    return found


def _select(
    log: Log, users: Codes, first_us: Codes, table: Mapping[str, FloatArray], within: NDArray[np.bool_]
) -> Outcomes:
    users = users[np.argsort(first_us[users], kind="stable")]
    position = np.full(int(log.user.max()) + 1, -1, np.int64)
    position[users] = np.arange(len(users))
    own = within & (position[log.user] >= 0)
    latency = pc.fill_null(pc.cast(log.answers["latency_us"], "double"), float("nan")).to_numpy()
    timed = own & np.isfinite(latency)
    shown = own[log.shown.answer]
    keys = np.unique(
        position[log.user[log.shown.answer[shown]]] * log.product_count + log.shown.product[shown]
    )
    return Outcomes(
        first_us=first_us[users],
        columns={name: values[users] for name, values in table.items()},
        latency_us=latency[timed],
        latency_user=position[log.user[timed]],
        shown=Pairs(keys // log.product_count, keys % log.product_count),
    )
