"""Compares how well both bundles foretell what the same users did next, overall and by segment."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluate.intervals import Estimate, estimate
from benchmarks.evaluate.metrics import FloatArray
from benchmarks.evaluate.ranking import evaluate_task
from benchmarks.promotion.limits import Limits
from benchmarks.promotion.measure import Measure, judge
from benchmarks.promotion.offer_scorer import OfferScorer
from benchmarks.promotion.question import DOMAINS, EVERYTHING, Question
from benchmarks.report.groups import group_by_history, group_by_risk, list_groups
from index.bundle import Bundle

_NDCG, _RECALL = "ndcg@10", "recall@20"

Values = Mapping[str, FloatArray]  # By metric, a value for each tested user.
Rows = NDArray[np.int64]


def compare_quality(
    question: Question, *, serving: Bundle, candidate: Bundle, limits: Limits
) -> list[Measure]:
    """Compares both bundles on every task, user by user."""
    values = {
        domain: (_ask(question, domain, serving), _ask(question, domain, candidate))
        for domain in question.tasks
    }
    users = question.tasks[EVERYTHING].users
    measures = list(_judge_everybody(users, *values[EVERYTHING], limits))
    for kind, groups in _group(question, users).items():
        for group in list_groups(groups):
            rows = np.flatnonzero(np.array(groups) == group)
            measures += _judge_segment(f"{kind} {group}", users, rows, *values[EVERYTHING], limits)
    for domain in DOMAINS:
        if domain in values:
            mine = question.tasks[domain].users
            measures += _judge_segment(domain, mine, np.arange(len(mine)), *values[domain], limits)
    return measures


def _ask(question: Question, domain: str, bundle: Bundle) -> Values:
    task, known = question.tasks[domain], question.known
    histories = {user: known.history(user) for user in task.users}
    scorer = OfferScorer(bundle, profiles=known.profiles, histories=histories, now=question.now)
    return {
        _NDCG: evaluate_task(task, scorer, k=10).ndcg,
        _RECALL: evaluate_task(task, scorer, k=20).recall,
    }


def _group(question: Question, users: Sequence[str]) -> dict[str, list[str]]:
    """Groups the users by what was known about them."""
    profiles = [question.known.profiles.get(user, {}) for user in users]
    counts = [question.known.event_count(user) for user in users]
    return {
        "history of": [f"{group} events" for group in group_by_history(counts)],
        "with": [_name_risk(group) for group in group_by_risk(profiles)],
    }


def _name_risk(group: str) -> str:
    return group if group.startswith("risk") else "no risk level"


def _judge_everybody(
    users: Sequence[str], serving: Values, candidate: Values, limits: Limits
) -> Iterator[Measure]:
    """Judges all users together: a loss must be ruled out."""
    for name, before in serving.items():
        change = _compare(users, before, candidate[name])
        yield Measure(
            name=name,
            group="all users",
            count=len(users),
            serving=float(before.mean()),
            candidate=float(candidate[name].mean()),
            change=change,
            limit=f"loss > {limits.loss_max:.0%} ruled out",
            verdict=judge(change is None or change.low >= -limits.loss_max),
        )


def _judge_segment(
    group: str, users: Sequence[str], rows: Rows, serving: Values, candidate: Values, limits: Limits
) -> Iterator[Measure]:
    """Judges some users: a loss must not be proven."""
    mine = [users[row] for row in rows]
    for name in serving:
        before, after = serving[name][rows], candidate[name][rows]
        change = _compare(mine, before, after)
        kept = change is None or change.high >= -limits.segment_loss_max
        enough = len(rows) >= limits.segment_user_min
        yield Measure(
            name=name,
            group=group,
            count=len(rows),
            serving=float(before.mean()),
            candidate=float(after.mean()),
            change=change,
            limit=f"loss > {limits.segment_loss_max:.0%} not proven",
            verdict=judge(kept) if enough else "not judged",
        )


def _compare(users: Sequence[str], before: FloatArray, after: FloatArray) -> Estimate | None:
    """Estimates the relative change of the mean over the same users; None where there is nothing to lose."""
    mean = float(before.mean())
    if mean == 0.0:
        return None
    found = estimate([users], [after - before])
    return Estimate(found.mean / mean, found.low / mean, found.high / mean)
