"""Logs answers off the request path: what was shown, and what the user tower read for it."""

import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from index.features import Event
from index.tower_reading import read_history, read_profile_features
from server.columns import to_microseconds
from server.feedback.event_log import EventLog
from server.feedback.lines import LoggedAnswer, LoggedProduct
from server.messages import ListAnswer, NamedQuery, RecommendQuery, ScoreAnswer, SimilarQuery, Subject
from server.snapshot import Snapshot

Query = RecommendQuery | SimilarQuery | NamedQuery
AnswerT = TypeVar("AnswerT", ListAnswer, ScoreAnswer)

_METHODS: Final[Mapping[type[Query], str]] = {
    RecommendQuery: "Recommend",
    SimilarQuery: "SimilarProducts",
    NamedQuery: "ScoreProducts",
}


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer and what it was made from; `latency_s` is what making it took."""

    query: Query
    subject: Subject
    snapshot: Snapshot
    answer: ListAnswer | ScoreAnswer
    latency_s: float


class AnswerLog:
    """Names answers and hands them to the event log; never waits."""

    def __init__(self, log: EventLog) -> None:
        """Keeps the log."""
        self._log = log

    def make_id(self) -> str:
        """Returns the id of a new answer."""
        return uuid.uuid4().hex

    def offer(self, answer: GivenAnswer) -> None:
        """Logs an answer, or counts it as lost where too many wait."""
        self._log.offer(partial(describe, answer))


def describe(given: GivenAnswer) -> LoggedAnswer:
    """Returns an answer as it is logged; the log's thread does this work."""
    subject, bundle, answer = given.subject, given.snapshot.bundle, given.answer
    decision = answer.decision
    history: list[Event] = []
    features: dict[str, str | float | None] = {}
    if subject.personalised:
        history = read_history(bundle.vocabulary, subject.history)
        features = read_profile_features(bundle.features, subject.profile, decision.decision_time)
    return LoggedAnswer(
        answer_id=decision.answer_id,
        # Nothing is written of a user whom the store has erased, may have erased, or never knew.
        user=subject.pseudonym.hex() if subject.known and subject.recordable else "",
        method=_METHODS[type(given.query)],
        decision_time_us=to_microseconds(decision.decision_time),
        bundle_version=decision.bundle_version,
        policy_hash=decision.policy_hash,
        overlay_sequence=0 if decision.overlay is None else decision.overlay.sequence,
        placement=given.query.tags.placement,
        campaign=given.query.tags.campaign,
        experiments=tuple((drawn.experiment, drawn.variant) for drawn in answer.experiments),
        segment_id=answer.segment_id,
        products=tuple(
            LoggedProduct(product.product_id, product.score, product.source.name.lower())
            for product in answer.products
        ),
        history=tuple(
            (event.product_id, event.event_type, round(event.event_time * 1e6)) for event in history
        ),
        features=features,
        withheld=_count_withheld(answer),
        latency_us=round(given.latency_s * 1e6),
        personalised=subject.personalised,
    )


def _count_withheld(answer: ListAnswer | ScoreAnswer) -> tuple[tuple[str, int], ...]:
    if isinstance(answer, ListAnswer):
        return tuple((withheld.code, withheld.product_count) for withheld in answer.withheld)
    return tuple(Counter(code.name for verdict in answer.withheld for code in verdict.codes).items())
