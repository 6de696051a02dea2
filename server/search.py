"""What the compute thread does with a batch: features, tower, then rounds of retrieve, score and gate."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from index.features import encode_users
from server.clock import Clock
from server.errors import ModelOutputError
from server.gate import GateUser, Masks
from server.messages import StageTime, Subject
from server.retrieval import Round, Rows
from server.snapshot import Snapshot

Scores = NDArray[np.int64]
Vector = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Job:
    """One search.

    Attributes:
        snapshot: what the request was planned with; its bundle is what the answer is from.
        subject: whom it is for.
        row_start: first row of the part of the catalogue asked for.
        row_stop: one past its last row.
        only_rows: if not None, exactly these rows are looked at, all of them.
        left_out_rows: rows that are not considered.
        like_row: if not None, this product's vector is the query in place of the user's.
        k: number of products wanted.
        risk_score_limit: the request's own limit.
    """

    snapshot: Snapshot
    subject: Subject
    row_start: int
    row_stop: int
    only_rows: Rows | None
    left_out_rows: Rows
    like_row: int | None
    k: int
    risk_score_limit: int | None


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
    history_event_count: int
    history_unknown_count: int


@dataclass(slots=True)
class _Progress:
    """One search under way."""

    job: Job
    user: GateUser
    vector: Vector
    left: NDArray[np.bool_]  # [product_count]; rows that may still be looked at
    rows: list[Rows] = field(default_factory=list)
    scores: list[Scores] = field(default_factory=list)
    masks: list[Masks] = field(default_factory=list)
    round_count: int = 0
    candidate_count: int = 0
    eligible_count: int = 0
    done: bool = False
    retrieve_s: float = 0.0
    score_s: float = 0.0
    gate_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Embedded:
    """The queries of a batch, and what making them took."""

    queries: list[Vector | ModelOutputError]
    event_counts: list[int]
    unknown_counts: list[int]
    features_s: float
    embed_s: float


class Searcher:
    """Answers batches, each job over its own bundle. One thread calls it."""

    def __init__(self, clock: Clock, channel: str, renew: Callable[[Snapshot, datetime], Snapshot]) -> None:
        """Keeps what every batch needs.

        Args:
            clock: the decision clock.
            channel: the sales channel of every request.
            renew: gives a snapshot's bundle under the policy in force at an instant.
        """
        self._clock = clock
        self._channel = channel
        self._renew = renew

    def run(self, jobs: Sequence[Job]) -> list[Found | Exception]:
        """Searches for every job; all of them are decided for one instant.

        Returns:
            per job, in order, what was found, or the error of that job alone.
        """
        now = self._clock.now()
        # A version that took over while a request waited decides it: the instant is later than the plan.
        snapshots = [self._renew(job.snapshot, now) for job in jobs]
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
        embedded = _embed(snapshot, jobs, now)
        searches: dict[int, _Progress] = {}
        for position, (job, query) in enumerate(zip(jobs, embedded.queries, strict=True)):
            if isinstance(query, ModelOutputError):
                continue
            user = snapshot.gate.admit(job.subject.profile, now, self._channel, job.risk_score_limit)
            left = np.ones(snapshot.bundle.products.count, np.bool_)
            left[job.left_out_rows] = False
            searches[position] = _Progress(job, user, query, left)
        _search(snapshot, list(searches.values()))
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
        [job.subject.profile for job in jobs],
        [job.subject.history for job in jobs],
        now,
    )
    encoded_s = time.perf_counter()
    vectors = snapshot.encoder.embed(inputs.feed())  # [batch, dim]
    finite: NDArray[np.bool_] = np.all(np.isfinite(vectors), axis=1)  # [batch]
    # NaN must not reach the neighbours' arithmetic; its own row is answered with an error.
    queries = snapshot.scorer.quantise(np.where(finite[:, np.newaxis], vectors, 0.0))
    chosen: list[Vector | ModelOutputError] = []
    for position, job in enumerate(jobs):
        if job.like_row is not None:
            chosen.append(snapshot.scorer.query_for_row(job.like_row))
        elif finite[position]:
            chosen.append(queries[position])
        else:
            chosen.append(ModelOutputError("the user tower gave NaN or infinity"))
    return _Embedded(
        queries=chosen,
        event_counts=(inputs.history_token > 0).sum(axis=1).tolist(),
        unknown_counts=inputs.unknown_count.tolist(),
        features_s=encoded_s - start_s,
        embed_s=time.perf_counter() - encoded_s,
    )


def _search(snapshot: Snapshot, searches: list[_Progress]) -> None:
    """Runs rounds until every search has k eligible rows or nothing left to look at."""
    pending = searches
    while pending:
        together: dict[Round, list[_Progress]] = {}
        for search in pending:
            if search.job.only_rows is not None:
                _look(snapshot, search, search.job.only_rows)
                search.done = True
                continue
            together.setdefault(_plan_round(snapshot, search), []).append(search)
        for planned, group in together.items():
            _run_round(snapshot, planned, group)
        pending = [search for search in pending if not search.done]


def _plan_round(snapshot: Snapshot, search: _Progress) -> Round:
    job = search.job
    if search.round_count == 0:
        return snapshot.retriever.plan_first(job.row_start, job.row_stop, job.k)
    start_s = time.perf_counter()
    if search.round_count == 1:
        user = search.user
        search.left &= snapshot.filter.allow(user.profile, user.now, user.channel, job.risk_score_limit)
        search.left[: job.row_start] = False
        search.left[min(job.row_stop, user.row_stop) :] = False
    planned = snapshot.retriever.plan_next(search.left, job.k, search.round_count)
    search.retrieve_s += time.perf_counter() - start_s
    return planned


def _run_round(snapshot: Snapshot, planned: Round, group: list[_Progress]) -> None:
    start_s = time.perf_counter()
    found = snapshot.retriever.search(np.stack([search.vector for search in group]), planned)
    elapsed_s = time.perf_counter() - start_s
    for search, rows in zip(group, found, strict=True):
        search.retrieve_s += elapsed_s
        _look(snapshot, search, rows)
        search.done = planned.exhaustive or search.eligible_count >= search.job.k


def _look(snapshot: Snapshot, search: _Progress, rows: Rows) -> None:
    """Scores and judges the rows that this search has not looked at yet."""
    fresh = rows[search.left[rows]]
    search.left[fresh] = False
    search.round_count += 1
    search.candidate_count += len(rows)
    start_s = time.perf_counter()
    scores = snapshot.scorer.score(search.vector, fresh)
    scored_s = time.perf_counter()
    masks = snapshot.gate.judge(search.user, fresh)
    search.score_s += scored_s - start_s
    search.gate_s += time.perf_counter() - scored_s
    search.rows.append(fresh)
    search.scores.append(scores)
    search.masks.append(masks)
    search.eligible_count += len(fresh) - int(np.count_nonzero(masks.any(axis=1)))


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
        history_event_count=embedded.event_counts[position],
        history_unknown_count=embedded.unknown_counts[position],
    )


def _join(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
