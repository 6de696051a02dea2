"""The path of each request after its fields were checked: user, search, list, answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from server import messages
from server.active_policy import ActivePolicy
from server.batch_queue import Call, Ticket
from server.batching import Batcher
from server.clock import Clock
from server.current_call import note_bundle, note_stages
from server.errors import ModelOutputError, OverloadError, ProductUnknownError, ServerError
from server.experiments.assignment import NO_EXPERIMENT, Assignment
from server.family import Family
from server.feedback.answers import AnswerLog, AnswerT, GivenAnswer, Query
from server.gate import GateUser, find_eligible
from server.identity.admission import current_caller
from server.lists import (
    LastVerdict,
    Listing,
    build_list,
    count_withheld,
    count_withheld_in,
    explain_named,
    judge_last,
)
from server.messages import Domain, ResponseReason, Subject
from server.recall_monitor import RecallMonitor
from server.retrieval import Rows
from server.search import Found, Job, Searcher
from server.snapshot import Snapshot
from server.telemetry import Metrics
from server.trace import describe_search
from server.users.directory import Directory

SEARCH_AGAIN_COUNT_MAX: Final = 2
"""How often a search is repeated because a halt took products out of its list."""

_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A query on its way through the compute thread."""

    query: messages.RecommendQuery
    ticket: Ticket[Job, Found]
    user_s: float  # What finding the user took.
    experiments: tuple[messages.ExperimentVariant, ...]


class _Pinned(NamedTuple):
    """What a request is planned with."""

    family: Family
    snapshot: Snapshot
    assignment: Assignment


class Pipeline:
    """Answers checked queries; called by many threads. Each request has one snapshot, that of its instant."""

    def __init__(
        self,
        active: ActivePolicy,
        users: Directory,
        *,
        clock: Clock,
        channel: str,
        queue_limit: int,
        monitor: RecallMonitor | None = None,
        metrics: Metrics | None = None,
        answers: AnswerLog | None = None,
    ) -> None:
        """Starts the compute thread.

        Args:
            active: gives each request the snapshot under the policy in force.
            users: finds whom a request is for.
            clock: the decision clock.
            channel: the sales channel of callers that have none of their own.
            queue_limit: searches that may wait.
            monitor: measures the recall of lists; None for nobody.
            metrics: counts searches and answers; None where nobody reads the count.
            answers: logs lists; None where no log is kept.
        """
        self.active = active
        self.clock = clock
        self._users = users
        self._channel = channel
        self._monitor = monitor
        self._metrics = metrics
        self._answers = answers
        self.searcher = Searcher(clock, channel)
        self.batcher: Batcher[Job, Found] = Batcher(
            self.searcher.run,
            queue_limit=queue_limit,
            observe=None if metrics is None else metrics.overload.observe,
        )

    def recommend(
        self, queries: Sequence[messages.RecommendQuery | ServerError], call: Call
    ) -> list[messages.ListAnswer | Exception]:
        """Answers queries; each gets its own answer or error, in order. An error given is passed through."""
        family = self.active.family  # One for all of them: no swap parts a batch.
        submitted = [
            query if isinstance(query, ServerError) else self._submit(query, call, family)
            for query in queries
        ]
        return [entry if isinstance(entry, Exception) else self._answer(entry) for entry in submitted]

    def find_similar(self, query: messages.SimilarQuery, call: Call) -> messages.ListAnswer:
        """Answers SimilarProducts.

        Raises:
            ProductUnknownError: the bundle does not know the product.
        """
        since_s = time.monotonic()
        subject = call.slot.aside(self._users.resolve, query.user)
        family, snapshot, assignment = self._pin(subject, self.active.family)
        row = snapshot.row_of.get(query.product_id)
        if row is None:
            raise ProductUnknownError("product_id: the bundle does not know this product")
        start, stop = _domain_rows(snapshot, query.domain)
        job = Job(
            family=family,
            snapshot=snapshot,
            subject=subject,
            row_start=start,
            row_stop=stop,
            only_rows=None,
            left_out_rows=_rows_of(snapshot, [query.product_id, *subject.hidden_product_ids]),
            like_row=row,
            k=query.k,
            risk_score_limit=query.risk_score_limit,
            channel=current_caller().channel,
        )
        found, listing = self._list(job, self._run(job, call), call)
        answer = messages.ListAnswer(
            products=listing.products,
            reasons=_explain(job, found, listing),
            withheld=count_withheld(found, listing.verdict, with_examples=False),
            decision=self._stamp(found.snapshot, found.user, listing.verdict, query.request_id),
            trace=None,
            segment_id=found.segment_id,
            experiments=assignment.variants,
        )
        return self._log(query, job, found, self._count(answer), since_s)

    def score(self, query: messages.NamedQuery, call: Call) -> messages.ScoreAnswer:
        """Answers ScoreProducts."""
        since_s = time.monotonic()
        subject = call.slot.aside(self._users.resolve, query.user)
        family, snapshot, assignment = self._pin(subject, self.active.family)
        rows = _rows_of(snapshot, query.product_ids)
        job = Job(
            family=family,
            snapshot=snapshot,
            subject=subject,
            row_start=0,
            row_stop=0,
            only_rows=rows,
            left_out_rows=_NO_ROWS,
            like_row=None,
            k=len(rows),
            risk_score_limit=query.risk_score_limit,
            channel=current_caller().channel,
        )
        found = self._run(job, call)
        if found.stood_in:
            raise ModelOutputError(
                "the user tower gave NaN or infinity, and a segment's scores are no user's"
            )
        snapshot = found.snapshot
        listing = build_list(subject, found, len(rows))
        listed = {product.product_id for product in listing.products}
        known = tuple(name for name in query.product_ids if name in snapshot.row_of)
        withheld = explain_named(
            snapshot,
            subject,
            found.user,
            listing.verdict,
            [name for name in known if name not in listed],
            user_initiated=False,
        )
        answer = messages.ScoreAnswer(
            products=listing.products,
            withheld=withheld,
            unknown_product_ids=tuple(name for name in query.product_ids if name not in snapshot.row_of),
            decision=self._stamp(snapshot, found.user, listing.verdict, query.request_id),
            segment_id=found.segment_id,
            experiments=assignment.variants,
        )
        return self._log(query, job, found, answer, since_s)

    def check(self, query: messages.NamedQuery) -> messages.CheckAnswer:
        """Answers CheckEligibility."""
        subject = self._users.resolve(query.user)
        family, pinned, _ = self._pin(subject, self.active.family)
        now = self.clock.now()
        snapshot = family.renew(pinned, now)
        channel = current_caller().channel or self._channel
        user = snapshot.gate.admit(subject.profile, now, channel, query.risk_score_limit)
        verdict = judge_last(snapshot, user, _rows_of(snapshot, query.product_ids))
        verdicts = explain_named(
            snapshot,
            subject,
            user,
            verdict,
            query.product_ids,
            user_initiated=query.user_initiated,
        )
        decision = self._stamp(snapshot, user, verdict, query.request_id)
        return messages.CheckAnswer(products=verdicts, decision=decision)

    def close(self) -> None:
        """Computes what waits and ends the compute thread."""
        self.batcher.close()

    def _submit(self, query: messages.RecommendQuery, call: Call, family: Family) -> _Submitted | Exception:
        start_s = time.perf_counter()
        try:
            subject = call.slot.aside(self._users.resolve, query.user)
            pinned = self._pin(subject, family)
            user_s = time.perf_counter() - start_s
            ticket = self.batcher.submit([_plan(pinned, query, subject)], call)[0]
        except Exception as error:  # noqa: BLE001 - in a batch each request has its own error.
            return error
        if isinstance(ticket, OverloadError):
            return ticket
        return _Submitted(query, ticket, user_s, pinned.assignment.variants)

    def _answer(self, submitted: _Submitted) -> messages.ListAnswer | Exception:
        try:
            return self._count(self._recommend(submitted))
        except Exception as error:  # noqa: BLE001 - in a batch each request has its own error.
            return error

    def _count(self, answer: messages.ListAnswer) -> messages.ListAnswer:
        if self._metrics is not None:
            self._metrics.answers.observe(answer)
        return answer

    def _recommend(self, submitted: _Submitted) -> messages.ListAnswer:
        query, ticket = submitted.query, submitted.ticket
        job, found = ticket.job, ticket.wait()
        start_s = time.perf_counter()
        found, listing = self._list(job, found, ticket.call)
        times = (
            messages.StageTime("user", submitted.user_s),
            messages.StageTime("queue", submitted.ticket.queued_s),
        )
        selected = messages.StageTime("select", time.perf_counter() - start_s, len(listing.products))
        note_stages((*times, *found.stages, selected))
        reasons = _explain(job, found, listing)
        if not job.subject.personalised:
            reasons = (*reasons, ResponseReason.PERSONALISATION_OFF)
        elif job.subject.known and found.history_event_count == 0:
            reasons = (*reasons, ResponseReason.HISTORY_EMPTY)
        if found.stood_in:
            reasons = (*reasons, ResponseReason.SEGMENT_FALLBACK)
        if query.count_whole_domain:
            withheld = count_withheld_in(
                found, job.row_start, job.row_stop, with_examples=query.include_trace
            )
        else:
            withheld = count_withheld(found, listing.verdict, with_examples=query.include_trace)
        answer = messages.ListAnswer(
            products=listing.products,
            reasons=reasons,
            withheld=withheld,
            decision=self._stamp(found.snapshot, found.user, listing.verdict, query.request_id),
            trace=describe_search(found, times, selected) if query.include_trace else None,
            segment_id=found.segment_id,
            trade_off=job.trade_off,
            experiments=submitted.experiments,
        )
        return self._log(query, job, found, answer, ticket.submitted_s - submitted.user_s)

    def _list(self, job: Job, found: Found, call: Call) -> tuple[Found, Listing]:
        """Builds a list; searches again where a halt took products from a search that had found enough."""
        listing = build_list(job.subject, found, job.k, job.trade_off)
        for _ in range(SEARCH_AGAIN_COUNT_MAX):
            if not _is_cut_short(job, found, listing):
                break
            found = self._run(job, call)
            listing = build_list(job.subject, found, job.k, job.trade_off)
        if self._monitor is not None:
            self._monitor.offer(job, found, listing)
        if self._metrics is not None:
            self._metrics.searches.observe(found)
        return found, listing

    def _run(self, job: Job, call: Call) -> Found:
        ticket = self.batcher.submit([job], call)[0]
        if isinstance(ticket, OverloadError):
            raise ticket
        return ticket.wait()

    def _pin(self, subject: Subject, family: Family) -> _Pinned:
        """Takes what is in force now, and the snapshot at the place that the user draws."""
        now, assignment = self.clock.now(), NO_EXPERIMENT
        if family.experiments is not None:
            assignment = family.experiments.assign(subject.pseudonym, now)
        snapshot = family.find_version(now)[assignment.place]
        note_bundle(snapshot.version)
        return _Pinned(family, snapshot, assignment)

    def _stamp(
        self, snapshot: Snapshot, user: GateUser, verdict: LastVerdict, request_id: str
    ) -> messages.DecisionStamp:
        return messages.DecisionStamp(
            decision_time=user.now,
            system_clock=self.clock.system,
            bundle_version=snapshot.version,
            policy_hash=snapshot.policy.sha256,
            overlay=verdict.overlay,
            request_id=request_id,
            catalogue_sequence=snapshot.catalogue_sequence,
            answer_id="" if self._answers is None else self._answers.make_id(),
        )

    def _log(self, query: Query, job: Job, found: Found, answer: AnswerT, since_s: float) -> AnswerT:
        """Counts an answer for its variants, hands it to the log if one is kept, and returns it."""
        latency_s = time.monotonic() - since_s
        if self._metrics is not None and answer.experiments:
            self._metrics.experiments.observe(answer.experiments, latency_s, answer.withheld_count)
        if self._answers is not None:
            self._answers.offer(GivenAnswer(query, job.subject, found.snapshot, answer, latency_s))
        return answer


def _plan(pinned: _Pinned, query: messages.RecommendQuery, subject: Subject) -> Job:
    family, snapshot, assignment = pinned
    start, stop = _domain_rows(snapshot, query.domain)
    left_out = [*query.exclude_product_ids, *subject.hidden_product_ids]
    if not query.allow_seen:
        left_out.extend(event.product_id for event in subject.history)
    only_rows = None
    if query.include_product_ids:
        named = np.unique(_rows_of(snapshot, query.include_product_ids))
        only_rows = named[(named >= start) & (named < stop)]
    return Job(
        family=family,
        snapshot=snapshot,
        subject=subject,
        row_start=start,
        row_stop=stop,
        only_rows=only_rows,
        left_out_rows=_rows_of(snapshot, left_out),
        like_row=None,
        k=query.k,
        risk_score_limit=query.risk_score_limit,
        channel=current_caller().channel,
        trade_off=_choose_trade_off(query, assignment),
    )


def _choose_trade_off(query: messages.RecommendQuery, assignment: Assignment) -> int:
    """Returns what the request states, else the user's variant, else the server's default."""
    if query.trade_off_stated or assignment.trade_off is None:
        return query.trade_off
    return assignment.trade_off


def _domain_rows(snapshot: Snapshot, domain: Domain) -> tuple[int, int]:
    learning_count, row_count = snapshot.bundle.learning_count, snapshot.bundle.products.count
    if domain is Domain.LEARNING:
        return 0, learning_count
    return (learning_count if domain is Domain.FINANCIAL else 0), row_count


def _rows_of(snapshot: Snapshot, product_ids: Sequence[str]) -> Rows:
    find = snapshot.row_of.get
    return np.array([row for name in product_ids if (row := find(name)) is not None], dtype=np.int64)


def _is_cut_short(job: Job, found: Found, listing: Listing) -> bool:
    """Tells whether the list is short although the search had found enough and looked no further."""
    if job.only_rows is not None or len(listing.products) >= job.k:
        return False
    return job.pool_count <= int(np.count_nonzero(find_eligible(found.masks)))


def _explain(job: Job, found: Found, listing: Listing) -> tuple[ResponseReason, ...]:
    reasons = []
    if _is_cut_short(job, found, listing):
        reasons.append(ResponseReason.RULES_CHANGED)
    elif not listing.products:
        reasons.append(ResponseReason.NOTHING_ELIGIBLE)
    elif len(listing.products) < job.k:
        reasons.append(ResponseReason.FEWER_ELIGIBLE_THAN_K)
    if not job.subject.known:
        reasons.append(ResponseReason.USER_UNKNOWN)
    return tuple(reasons)
