"""The path of each request after its fields were checked: user, search, list, answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from server import messages
from server.batching import Batcher, Call, Ticket
from server.clock import Clock
from server.errors import OverloadError, ProductUnknownError, ServerError
from server.gate import GateUser
from server.lists import build_list, count_withheld, judge_named
from server.messages import Domain, ResponseReason, Subject
from server.profiles import apply_holds, derive_pseudonym
from server.retrieval import Rows
from server.search import Found, Job, Searcher
from server.snapshot import Snapshot
from server.store import Store

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A query on its way through the compute thread."""

    query: messages.RecommendQuery
    subject: Subject
    ticket: Ticket[Job, Found]


class Pipeline:
    """Answers checked queries; called by many threads. Each request pins the snapshot once and keeps it."""

    def __init__(
        self, snapshot: Snapshot, store: Store | None, *, clock: Clock, channel: str, queue_limit: int
    ) -> None:
        """Starts the compute thread.

        Args:
            snapshot: what is served.
            store: the stored users, if any.
            clock: the decision clock.
            channel: the sales channel of every request.
            queue_limit: searches that may wait.
        """
        self.snapshot = snapshot
        self.clock = clock
        self._store = store
        self._channel = channel
        searcher = Searcher(clock, channel)
        self._batcher: Batcher[Job, Found] = Batcher(searcher.run, queue_limit=queue_limit)

    def recommend(
        self, queries: Sequence[messages.RecommendQuery | ServerError], call: Call
    ) -> list[messages.ListAnswer | Exception]:
        """Answers queries; each gets its own answer or error, in order. An error given is passed through."""
        snapshot = self.snapshot
        submitted = [
            query if isinstance(query, ServerError) else self._submit(snapshot, query, call)
            for query in queries
        ]
        return [entry if isinstance(entry, Exception) else self._answer(entry) for entry in submitted]

    def find_similar(self, query: messages.SimilarQuery, call: Call) -> messages.ListAnswer:
        """Answers SimilarProducts.

        Raises:
            ProductUnknownError: the bundle does not know the product.
        """
        snapshot = self.snapshot
        row = snapshot.row_of.get(query.product_id)
        if row is None:
            raise ProductUnknownError("product_id: the bundle does not know this product")
        subject = self._resolve(query.user)
        start, stop = _domain_rows(snapshot, query.domain)
        job = Job(
            snapshot=snapshot,
            subject=subject,
            row_start=start,
            row_stop=stop,
            only_rows=None,
            left_out_rows=np.array([row], np.int64),
            like_row=row,
            k=query.k,
            risk_score_limit=query.risk_score_limit,
        )
        found = self._run(job, call)
        products = build_list(snapshot, subject, found, query.k, query.risk_score_limit)
        return messages.ListAnswer(
            products=products,
            reasons=_explain(subject, len(products), query.k),
            withheld=count_withheld(snapshot, found, with_examples=False),
            decision=self._stamp(snapshot, found.user, query.request_id),
            trace=None,
        )

    def score(self, query: messages.NamedQuery, call: Call) -> messages.ScoreAnswer:
        """Answers ScoreProducts."""
        snapshot = self.snapshot
        subject = self._resolve(query.user)
        rows = _rows_of(snapshot, query.product_ids)
        job = Job(
            snapshot=snapshot,
            subject=subject,
            row_start=0,
            row_stop=0,
            only_rows=rows,
            left_out_rows=_NO_ROWS,
            like_row=None,
            k=len(rows),
            risk_score_limit=query.risk_score_limit,
        )
        found = self._run(job, call)
        products = build_list(snapshot, subject, found, len(rows), query.risk_score_limit)
        listed = {product.product_id for product in products}
        known = tuple(name for name in query.product_ids if name in snapshot.row_of)
        withheld = judge_named(
            snapshot,
            subject,
            found.user,
            tuple(name for name in known if name not in listed),
            user_initiated=False,
            risk_score_limit=query.risk_score_limit,
        )
        return messages.ScoreAnswer(
            products=products,
            withheld=withheld,
            unknown_product_ids=tuple(name for name in query.product_ids if name not in snapshot.row_of),
            decision=self._stamp(snapshot, found.user, query.request_id),
        )

    def check(self, query: messages.NamedQuery) -> messages.CheckAnswer:
        """Answers CheckEligibility."""
        snapshot = self.snapshot
        subject = self._resolve(query.user)
        user = snapshot.gate.admit(subject.profile, self.clock.now(), self._channel, query.risk_score_limit)
        verdicts = judge_named(
            snapshot,
            subject,
            user,
            query.product_ids,
            user_initiated=query.user_initiated,
            risk_score_limit=query.risk_score_limit,
        )
        return messages.CheckAnswer(products=verdicts, decision=self._stamp(snapshot, user, query.request_id))

    def close(self) -> None:
        """Computes what waits and ends the compute thread."""
        self._batcher.close()

    def _submit(
        self, snapshot: Snapshot, query: messages.RecommendQuery, call: Call
    ) -> _Submitted | Exception:
        try:
            subject = self._resolve(query.user)
            ticket = self._batcher.submit([_plan(snapshot, query, subject)], call)[0]
        except Exception as error:  # noqa: BLE001 - in a batch each request has its own error.
            return error
        return ticket if isinstance(ticket, OverloadError) else _Submitted(query, subject, ticket)

    def _answer(self, submitted: _Submitted) -> messages.ListAnswer | Exception:
        try:
            return self._list(submitted)
        except Exception as error:  # noqa: BLE001 - in a batch each request has its own error.
            return error

    def _list(self, submitted: _Submitted) -> messages.ListAnswer:
        query, subject, snapshot = submitted.query, submitted.subject, submitted.ticket.job.snapshot
        found = submitted.ticket.wait()
        start_s = time.perf_counter()
        products = build_list(snapshot, subject, found, query.k, query.risk_score_limit)
        selected = messages.StageTime("select", time.perf_counter() - start_s, len(products))
        reasons = _explain(subject, len(products), query.k)
        if subject.known and found.history_event_count == 0:
            reasons = (*reasons, ResponseReason.HISTORY_EMPTY)
        return messages.ListAnswer(
            products=products,
            reasons=reasons,
            withheld=count_withheld(snapshot, found, with_examples=query.include_trace),
            decision=self._stamp(snapshot, found.user, query.request_id),
            trace=_trace(submitted.ticket, found, selected) if query.include_trace else None,
        )

    def _run(self, job: Job, call: Call) -> Found:
        ticket = self._batcher.submit([job], call)[0]
        if isinstance(ticket, OverloadError):
            raise ticket
        return ticket.wait()

    def _resolve(self, user: messages.UserInput) -> Subject:
        """Finds the user: an inline profile under the stored holds, or the stored profile and history."""
        if user.profile is not None:
            stored = self._store.find_profile(user.user_id) if self._store is not None else None
            profile = dict(user.profile) if stored is None else apply_holds(user.profile, stored)
            profile["pseudonym"] = derive_pseudonym(user.user_id)
            return Subject(profile, user.history, (), known=True)
        found = self._store.find(user.user_id) if self._store is not None else None
        if found is None:
            return Subject({}, (), (), known=False)
        profile = {**found.profile, "pseudonym": derive_pseudonym(user.user_id)}
        if found.assumed_fields:
            profile["assumed"] = found.assumed_fields
        return Subject(profile, found.history, found.assumed_fields, known=True)

    def _stamp(self, snapshot: Snapshot, user: GateUser, request_id: str) -> messages.DecisionStamp:
        return messages.DecisionStamp(
            decision_time=user.now,
            system_clock=self.clock.system,
            bundle_version=snapshot.version,
            policy_hash=snapshot.policy.sha256,
            request_id=request_id,
        )


def _plan(snapshot: Snapshot, query: messages.RecommendQuery, subject: Subject) -> Job:
    start, stop = _domain_rows(snapshot, query.domain)
    left_out = list(query.exclude_product_ids)
    if not query.allow_seen:
        left_out.extend(event.product_id for event in subject.history)
    only_rows = None
    if query.include_product_ids:
        named = np.unique(_rows_of(snapshot, query.include_product_ids))
        only_rows = named[(named >= start) & (named < stop)]
    return Job(
        snapshot=snapshot,
        subject=subject,
        row_start=start,
        row_stop=stop,
        only_rows=only_rows,
        left_out_rows=_rows_of(snapshot, left_out),
        like_row=None,
        k=query.k,
        risk_score_limit=query.risk_score_limit,
    )


def _domain_rows(snapshot: Snapshot, domain: Domain) -> tuple[int, int]:
    learning_count, row_count = snapshot.bundle.learning_count, snapshot.bundle.products.count
    if domain is Domain.LEARNING:
        return 0, learning_count
    return (learning_count if domain is Domain.FINANCIAL else 0), row_count


def _rows_of(snapshot: Snapshot, product_ids: Sequence[str]) -> Rows:
    row_of = snapshot.row_of
    return np.array([row_of[name] for name in product_ids if name in row_of], dtype=np.int64)


def _trace(ticket: Ticket[Job, Found], found: Found, selected: messages.StageTime) -> messages.TraceDetail:
    return messages.TraceDetail(
        stages=(messages.StageTime("queue", ticket.queued_s), *found.stages, selected),
        batch_count=found.batch_count,
        search_round_count=found.round_count,
        candidate_count=found.candidate_count,
        removed_count=int(np.count_nonzero(found.masks.any(axis=1))),
        history_event_count=found.history_event_count,
        history_unknown_count=found.history_unknown_count,
        retriever=ticket.job.snapshot.retriever.name,
        provider=ticket.job.snapshot.encoder.provider,
    )


def _explain(subject: Subject, listed_count: int, k: int) -> tuple[ResponseReason, ...]:
    reasons = []
    if listed_count == 0:
        reasons.append(ResponseReason.NOTHING_ELIGIBLE)
    elif listed_count < k:
        reasons.append(ResponseReason.FEWER_ELIGIBLE_THAN_K)
    if not subject.known:
        reasons.append(ResponseReason.USER_UNKNOWN)
    return tuple(reasons)
