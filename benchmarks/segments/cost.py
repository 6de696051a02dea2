"""Measures what segments and rules cost: CPU time of search and list, with and without, in turns."""

import dataclasses
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.dataset import DataSet
from server.clock import Clock
from server.family import Family
from server.lists import build_list
from server.messages import Subject
from server.search import Found, Job, Searcher
from server.snapshot import Snapshot, load_fit_policy, open_snapshot

CHANNEL: Final = "app"
USER_COUNT: Final = 200
ROUND_COUNT: Final = 15
K: Final = 10


@dataclass(frozen=True)
class Cost:
    """CPU time of one way to serve.

    Attributes:
        way: what the bundle holds.
        us: median over the rounds, microseconds a request.
        ratio: median of the rounds' ratios to the bundle without either.
    """

    way: str
    us: float
    ratio: float


def measure_cost(
    bundles: Path, policy: Path, dataset: DataSet, users: Sequence[str], now: datetime
) -> list[Cost]:
    """Serves the same users one at a time from a bundle with and without segments and rules."""
    full = open_snapshot(
        bundles, load_fit_policy(policy), device="cpu", thread_count=1, retriever="exact", allow_assumed=True
    )
    bundle = full.bundle
    ways = {
        "neither": dataclasses.replace(bundle, segments=None, associations=None),
        "segments": dataclasses.replace(bundle, associations=None),
        "rules": dataclasses.replace(bundle, segments=None),
        "both": bundle,
    }
    subjects = [
        Subject(
            {**dataset.profiles.get(user, {}), "pseudonym": user.encode()},
            tuple(dataset.history(user)),
            (),
            known=True,
        )
        for user in users[:USER_COUNT]
    ]
    searcher = Searcher(Clock(now), CHANNEL)
    jobs = {
        way: [_make_job(dataclasses.replace(full, bundle=changed), subject) for subject in subjects]
        for way, changed in ways.items()
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUND_COUNT + 1):
        for way, mine in jobs.items():
            elapsed_s = _serve(searcher, mine)
            if number:  # The first round warms caches.
                times[way].append(elapsed_s / len(mine) * 1e6)
    return [
        Cost(
            way,
            statistics.median(mine),
            statistics.median(one / base for one, base in zip(mine, times["neither"], strict=True)),
        )
        for way, mine in times.items()
    ]


def _make_job(snapshot: Snapshot, subject: Subject) -> Job:
    rows = {snapshot.row_of.get(event.product_id) for event in subject.history} - {None}
    return Job(
        family=Family([(snapshot,)]),
        snapshot=snapshot,
        subject=subject,
        row_start=0,
        row_stop=snapshot.bundle.products.count,
        only_rows=None,
        left_out_rows=np.array(sorted(row for row in rows if row is not None), np.int64),
        like_row=None,
        k=K,
        risk_score_limit=None,
    )


def _serve(searcher: Searcher, jobs: list[Job]) -> float:
    """Answers jobs one at a time; returns CPU seconds of all threads."""
    start_s = time.process_time()
    for job in jobs:
        found = searcher.run([job])[0]
        assert isinstance(found, Found), found
        build_list(job.subject, found, job.k)
    return time.process_time() - start_s
