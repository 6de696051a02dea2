"""What the compute thread does with a batch: features, tower, then rounds of retrieve, score and gate."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from index.associations import Suggestions
from index.device_matrix import DeviceMatrix
from index.features import encode_users
from server.associations import suggest
from server.clock import Clock
from server.diversity import WHOLE, count_pool
from server.errors import ModelOutputError
from server.family import Family
from server.gate import GateUser, Masks, find_eligible
from server.messages import StageTime, Subject
from server.overload.slot import NO_TURN, TakeTurn
from server.retrieval import Round, Rows
from server.row_bits import RowSet, all_rows, some_rows
from server.segments import name_segments, stand_in
from server.snapshot import Snapshot

ASSOCIATIONS: Final = "associations"
"""What a search is called that judged candidates named by association rules."""
WHOLE_COUNT_MAX: Final = 1000
"""Judging so many rows costs no more than asking the filter and searching once more."""

POPULAR_COUNT: Final = 400
POPULAR_GROWTH: Final = 4
"""Rows that a search by popularity looks at first, and how many times as many in each further round."""

Scores = NDArray[np.int64]
Vector = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Job:
    """One search.

    Attributes:
        family: what was served when the request began; it holds the snapshot's bundle under later policies.
        snapshot: what the request was planned with; its bundle is what the answer is from.
        subject: whom it is for.
        row_start: first row of the part of the catalogue asked for.
        row_stop: one past its last row.
        only_rows: if not None, these rows are the part asked for, whatever the range is.
        left_out_rows: rows that are not considered.
        like_row: if not None, this product's vector is the query in place of the user's.
        k: number of products wanted.
        risk_score_limit: the request's own limit.
        trade_off: of score and variety, as `server.diversity` has it.
        channel: sales channel of the caller; None for the server's own.
    """

    family: Family
    snapshot: Snapshot
    subject: Subject
    row_start: int
    row_stop: int
    only_rows: Rows | None
    left_out_rows: Rows
    like_row: int | None
    k: int
    risk_score_limit: int | None
    trade_off: int = WHOLE
    channel: str | None = None

    @property
    def by_popularity(self) -> bool:
        """Whether nothing about the user but what suits them may rank products."""
        return self.like_row is None and not self.subject.personalised

    @property
    def pool_count(self) -> int:
        """How many eligible products the search is to find, for the list to be chosen from."""
        return count_pool(self.k, self.trade_off)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything one search looked at, with a score and a verdict for each row.

    `snapshot` holds the version of the policy in force at the decision time, and is all that the answer uses.
    """

    snapshot: Snapshot
    user: GateUser
    rows: Rows  # [n], distinct
    scores: Scores  # [n]
    masks: Masks  # [n, 2]
    vector: Vector  # [dim]
    stages: tuple[StageTime, ...]
    batch_count: int
    round_count: int
    candidate_count: int
    rows_scanned_count: int
    retrievers: tuple[str, ...]  # What searched, each once.
    history_event_count: int
    history_unknown_count: int
    segment_id: str  # Empty where there is none.
    stood_in: bool  # Whether a segment's query stood in for the user's.
    suggested: Suggestions | None  # What is in `scores` beyond the vectors.


@dataclass(slots=True)
class _Progress:
    """One search under way."""

    job: Job
    user: GateUser
    vector: Vector
    left: RowSet  # Rows that may still be looked at.
    row_start: int  # No row before it may be,
    row_stop: int  # nor this one or any after it.
    suggested: Suggestions | None  # What rules add to the candidates and to their scores.
    rows: list[Rows] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    masks: list[Masks] = field(default_factory=list)
    round_count: int = 0
    candidate_count: int = 0
    rows_scanned_count: int = 0
    retrievers: list[str] = field(default_factory=list)
    eligible_count: int = 0
    done: bool = False
    retrieve_s: float = 0.0
    score_s: float = 0.0
    gate_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Embedded:
    """The queries of a batch, those of users also where the tower left them, and what making them took."""

    queries: list[Vector | ModelOutputError]
    on_device: DeviceMatrix | None
    event_counts: list[int]
    unknown_counts: list[int]
    segment_ids: list[str]
    stood_in: list[bool]
    features_s: float
    embed_s: float


class Searcher:
    """Answers batches, each job over its own bundle. One thread calls it."""

    def __init__(self, clock: Clock, channel: str) -> None:
        """Keeps what every batch needs.

        Args:
            clock: the decision clock.
            channel: the sales channel of jobs that name none.
        """
        self._clock, self._channel = clock, channel
        self.take_turn: TakeTurn = NO_TURN

    def run(self, jobs: Sequence[Job]) -> list[Found | Exception]:
        """Searches for every job; all of them are decided for one instant.

        Returns:
            per job, in order, what was found, or the error of that job alone.
        """
        now = self._clock.now()
        # A version that took over while a request waited decides it: the instant is later than the plan.
        snapshots = [job.family.renew(job.snapshot, now) for job in jobs]
        positions: dict[int, list[int]] = {}
        for position, snapshot in enumerate(snapshots):
            positions.setdefault(id(snapshot), []).append(position)
        outcomes: dict[int, Found | Exception] = {}
        for group in positions.values():
            answers = self._run_group(snapshots[group[0]], [jobs[position] for position in group], now)
            outcomes.update(zip(group, answers, strict=True))
        return [outcomes[position] for position in range(len(jobs))]

    def _run_group(self, snapshot: Snapshot, jobs: Sequence[Job], now: datetime) -> list[Found | Exception]:
        """Searches for jobs over one snapshot."""
        searches: dict[int, _Progress] = {}
        with self.take_turn():
            embedded = _embed(snapshot, jobs, now)
            for position, (job, query) in enumerate(zip(jobs, embedded.queries, strict=True)):
                if isinstance(query, ModelOutputError):
                    continue
                channel = job.channel or self._channel
                user = snapshot.gate.admit(job.subject.profile, now, channel, job.risk_score_limit)
                known = job.like_row is None and job.subject.personalised and not embedded.stood_in[position]
                suggested = suggest(snapshot, job.subject.history) if known else None
                searches[position] = _begin(job, user, query, suggested, snapshot.bundle.products.count)
        _search(snapshot, searches, embedded.on_device)
        return [
            query
            if isinstance(query, ModelOutputError)
            else _finish(snapshot, searches[position], embedded, position, len(jobs))
            for position, query in enumerate(embedded.queries)
        ]


def _embed(snapshot: Snapshot, jobs: Sequence[Job], now: datetime) -> _Embedded:
    start_s = time.perf_counter()
    bundle = snapshot.bundle
    inputs = encode_users(
        bundle.features,
        bundle.vocabulary,
        [job.subject.profile if job.subject.personalised else {} for job in jobs],
        [job.subject.history for job in jobs],
        now,
    )
    encoded_s = time.perf_counter()
    vectors, on_device = snapshot.encoder.embed_in_place(inputs.feed())  # [batch, dim]
    finite: NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)  # [batch]
    if not finite.all():
        # NaN must not reach the neighbours' arithmetic; its own row is answered with an error.
        vectors = np.where(finite[:, np.newaxis], vectors, np.float32(0.0))
    queries = snapshot.scorer.quantise(vectors)
    event_counts: list[int] = (inputs.history_token > 0).sum(axis=1).tolist()
    counted = [count * job.subject.personalised for count, job in zip(event_counts, jobs, strict=True)]
    segment_ids = name_segments(bundle.segments, queries, counted)
    stood_in = [False] * len(jobs)
    chosen: list[Vector | ModelOutputError] = []
    for position, job in enumerate(jobs):
        if job.like_row is not None:
            chosen.append(snapshot.scorer.query_for_row(job.like_row))
        elif job.by_popularity:
            chosen.append(snapshot.scorer.query_for_popularity())
        elif finite[position]:
            chosen.append(queries[position])
        elif (
            other := stand_in(snapshot, job.subject.history if job.subject.personalised else ())
        ) is not None:
            chosen.append(other.vector)
            segment_ids[position], stood_in[position] = other.segment_id, True
        else:
            chosen.append(ModelOutputError("the user tower gave NaN or infinity"))
    return _Embedded(
        queries=chosen,
        # Elsewhere than in `chosen` stand-ins are not.
        on_device=None if any(stood_in) else on_device,
        event_counts=event_counts,
        unknown_counts=inputs.unknown_count.tolist(),
        segment_ids=segment_ids,
        stood_in=stood_in,
        features_s=encoded_s - start_s,
        embed_s=time.perf_counter() - encoded_s,
    )


def _begin(
    job: Job, user: GateUser, vector: Vector, suggested: Suggestions | None, row_count: int
) -> _Progress:
    if job.only_rows is None:
        left = all_rows(row_count)
        row_start, row_stop = job.row_start, job.row_stop
    else:
        left = some_rows(job.only_rows, row_count)
        row_start = int(job.only_rows.min(initial=row_count))
        row_stop = int(job.only_rows.max(initial=row_start - 1)) + 1
    left.drop(job.left_out_rows)
    return _Progress(job, user, vector, left, row_start, row_stop, suggested)


def _search(snapshot: Snapshot, searches: Mapping[int, _Progress], on_device: DeviceMatrix | None) -> None:
    """Runs rounds until every search, by its place in the batch, has enough eligible rows or seen all."""
    retriever = snapshot.retriever
    for search in searches.values():
        if search.job.by_popularity:
            _search_popular(snapshot, search)
    pending = {place: search for place, search in searches.items() if not search.done}
    if any(search.job.like_row is not None for search in pending.values()):
        on_device = None  # What is searched for are not only the tower's vectors.
    while pending:
        rounds = [_plan_round(snapshot, search) for search in pending.values()]
        start_s = time.perf_counter()
        queries = np.stack([search.vector for search in pending.values()])
        taken = None if on_device is None else on_device.take(list(pending))
        found = retriever.search(queries, rounds, taken)
        elapsed_s = time.perf_counter() - start_s
        for search, planned, rows in zip(pending.values(), rounds, found, strict=True):
            search.retrieve_s += elapsed_s
            name, scanned_count = retriever.describe(planned)
            search.rows_scanned_count += scanned_count
            if name not in search.retrievers:
                search.retrievers.append(name)
            _look(snapshot, search, rows, planned.sure_count, exhaustive=planned.exhaustive)
        pending = {place: search for place, search in pending.items() if not search.done}


def _plan_round(snapshot: Snapshot, search: _Progress) -> Round:
    start_s = time.perf_counter()
    job, user, retriever = search.job, search.user, snapshot.retriever
    if search.round_count == 0:
        planned = retriever.plan_first(search.row_start, search.row_stop, job.pool_count, search.left)
    elif (row_stop := min(search.row_stop, user.row_stop)) - search.row_start <= WHOLE_COUNT_MAX:
        planned = retriever.plan_last(search.row_start, row_stop, search.left)
    else:
        if search.round_count == 1:
            search.left.cut(snapshot.filter.allow(user.profile, user.arrays, user.now, user.channel))
        planned = retriever.plan_next(
            search.row_start, row_stop, search.left, job.pool_count, search.round_count
        )
    search.retrieve_s += time.perf_counter() - start_s
    return planned


def _search_popular(snapshot: Snapshot, search: _Progress) -> None:
    """Looks at rows in the order of popularity, which is that of their scores, until there are enough."""
    order = snapshot.scorer.rows_by_popularity
    start, wanted, row_stop = 0, POPULAR_COUNT, search.row_stop
    while not search.done:
        start_s = time.perf_counter()
        part = order[start : start + wanted]
        rows = part[(part >= search.row_start) & (part < row_stop)]
        rows = rows[search.left.holds(rows)]
        search.retrieve_s += time.perf_counter() - start_s
        search.rows_scanned_count += len(part)
        start, wanted = start + len(part), wanted * POPULAR_GROWTH
        _look(snapshot, search, rows, len(rows), exhaustive=start >= len(order))
        if search.round_count == 1 and not search.done:
            # From here on nobody has to be told what the rules took away.
            user = search.user
            row_stop = min(row_stop, user.row_stop)
            search.left.cut(snapshot.filter.allow(user.profile, user.arrays, user.now, user.channel))
    search.retrievers.append("popularity")


def _look(snapshot: Snapshot, search: _Progress, rows: Rows, sure_count: int, *, exhaustive: bool) -> None:
    """Scores and judges the rows that this search has not looked at yet, and decides whether it is done.

    Args:
        snapshot: what the search is over.
        search: the search.
        rows: the rows found, best first where their order matters.
        sure_count: how many of the first ones score higher than every row that was not found.
        exhaustive: whether no further round could find more.
    """
    is_fresh = search.left.take(rows)
    fresh = rows[is_fresh]
    search.candidate_count += len(rows)
    if search.suggested is not None and search.round_count == 0:
        # With all of them looked at, what is left has no boost: the best found so far are the best.
        beside = search.suggested.within(search.row_start, search.row_stop)
        beside = beside[search.left.take(beside)]
        fresh = np.concatenate([fresh, beside])
        search.candidate_count += len(beside)
        search.retrievers.append(ASSOCIATIONS)
    search.round_count += 1
    start_s = time.perf_counter()
    scores = snapshot.scorer.score(search.vector, fresh)
    if search.suggested is not None:
        scores = scores + search.suggested.boost(fresh)
    scored_s = time.perf_counter()
    masks = snapshot.gate.judge(search.user, fresh)
    search.score_s += scored_s - start_s
    search.gate_s += time.perf_counter() - scored_s
    search.rows.append(fresh)
    search.scores.append(scores)
    search.masks.append(masks)
    eligible = find_eligible(masks)  # [fresh]
    sure_count = int(np.count_nonzero(is_fresh[:sure_count]))
    sure_eligible_count = search.eligible_count + int(np.count_nonzero(eligible[:sure_count]))
    search.eligible_count += int(np.count_nonzero(eligible))
    search.done = exhaustive or sure_eligible_count >= search.job.pool_count


def _finish(
    snapshot: Snapshot, search: _Progress, embedded: _Embedded, position: int, batch_count: int
) -> Found:
    rows = _join(search.rows)
    return Found(
        snapshot=snapshot,
        user=search.user,
        rows=rows,
        scores=_join(search.scores),
        masks=search.masks[0] if len(search.masks) == 1 else np.concatenate(search.masks),
        vector=search.vector,
        stages=(
            StageTime("features", embedded.features_s),
            StageTime("embed", embedded.embed_s),
            StageTime("retrieve", search.retrieve_s, search.candidate_count),
            StageTime("score", search.score_s, len(rows)),
            StageTime("gate", search.gate_s, search.eligible_count),
        ),
        batch_count=batch_count,
        round_count=search.round_count,
        candidate_count=search.candidate_count,
        rows_scanned_count=search.rows_scanned_count,
        retrievers=tuple(search.retrievers),
        history_event_count=embedded.event_counts[position],
        history_unknown_count=embedded.unknown_counts[position],
        segment_id=embedded.segment_ids[position],
        stood_in=embedded.stood_in[position],
        suggested=search.suggested,
    )


def _join(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
