"""Decides on a promotion: asks both bundles the same questions and holds the answers to the limits."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from benchmarks.dataset import read_dataset
from benchmarks.promotion.limits import Limits
from benchmarks.promotion.measure import Measure
from benchmarks.promotion.quality import compare_quality
from benchmarks.promotion.question import find_end, make_question
from benchmarks.promotion.shown import judge_shown, show_lists
from benchmarks.promotion.soundness import judge_soundness
from index.bundle import Bundle
from suitability.policy import Policy

_SEED: Final = 0


@dataclass(frozen=True)
class Decision:
    """What was measured and what follows.

    Attributes:
        serving: the serving bundle_version.
        candidate: the candidate's.
        known_until: what is dated before it was known to the users' histories, and no later to either model.
        clock: the instant of the lists: the data's own.
        policy_id: the policy of the lists.
        limits: the limits.
        measures: every figure.
    """

    serving: str
    candidate: str
    known_until: datetime
    clock: datetime
    policy_id: str
    limits: Limits
    measures: tuple[Measure, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Returns one sentence for each limit that is not kept; none of them promotes."""
        return tuple(measure.reason for measure in self.measures if measure.verdict == "refused")


def decide(
    serving: Bundle,
    candidate: Bundle,
    data: Path,
    *,
    policy: Policy,
    limits: Limits,
    user_count: int,
    console: Console,
) -> Decision:
    """Judges a candidate against the bundle that serves.

    Quality is asked at the instant when the later of both models stopped learning, and answered by what
    users did from then on. Lists are those of the data's own clock.

    Args:
        serving: the bundle that serves.
        candidate: the bundle that may take its place.
        data: a data set that reaches beyond what both learned from.
        policy: the policy in force, for the lists.
        limits: the limits.
        user_count: the most users to ask, and the most to show lists.
        console: where progress goes.

    Raises:
        BenchmarkInputError: the data cannot be read, or nothing happened after both models had learned.
    """
    now = max(find_end(serving), find_end(candidate))
    dataset = read_dataset(data)
    stated = dataset.source.get("clock")
    clock = datetime.fromisoformat(stated) if stated else datetime.now(UTC)
    console.print(f"  asking what users did from {now:%Y-%m-%d %H:%M} on …", highlight=False)
    with tempfile.TemporaryDirectory() as work:
        question = make_question(data, Path(work) / "known", now=now, user_count=user_count)
        measures = compare_quality(question, serving=serving, candidate=candidate, limits=limits)
    console.print(f"  showing lists at {clock:%Y-%m-%d %H:%M} …", highlight=False)
    users = _draw(sorted(dataset.profiles) or dataset.active_user_ids, user_count)
    after, before = (
        show_lists(one, dataset, users, policy=policy, now=clock) for one in (candidate, serving)
    )
    measures += judge_shown(after, before, dataset, policy=policy, now=clock, limits=limits)
    measures += judge_soundness(candidate, serving, dataset.products.keys())
    return Decision(
        serving=serving.manifest.bundle_version,
        candidate=candidate.manifest.bundle_version,
        known_until=now,
        clock=clock,
        policy_id=policy.policy_id,
        limits=limits,
        measures=tuple(measures),
    )


def _draw(users: Sequence[str], count: int) -> list[str]:
    if len(users) <= count:
        return list(users)
    return [users[row] for row in np.sort(np.random.default_rng(_SEED).permutation(len(users))[:count])]
