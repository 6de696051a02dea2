"""Measures the recall of live answers: some are searched again over every row, off the request path.

Recall is the share of the best k eligible products that an answer holds, or was chosen from if diversified;
a product with the score of the k-th best is as good as that. It is kept by band, the share of the domain that
is eligible, because searches lose results where few rows are. Neither metrics nor log lines say anything of
a user or a request.
"""

import contextlib
import itertools
import os
import queue
import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from server import gate
from server.lists import Listing
from server.retrieval import Rows
from server.search import Found, Job

RECALL_MIN: Final = 0.99
"""Below it the mean of a band's window raises the alarm."""
WINDOW_COUNT: Final = 200
ALARM_COUNT_MIN: Final = 20
"""One bad answer among fewer samples says little."""
QUEUE_COUNT_MAX: Final = 64

BANDS: Final = ((0.01, "1%"), (0.1, "10%"), (0.5, "50%"), (1.0, "100%"))
"""Largest eligible share of the domain, and the name of the band."""

_BUCKETS: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999, 1.0)
_JUDGED_TOGETHER: Final = 1 << 16
_NICENESS: Final = 10
_GOLDEN: Final = 0.6180339887498949  # Multiples of it, modulo 1, fill any interval evenly.
_CLOSE_S_MAX: Final = 5.0

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer, and all that it was made with; `found.snapshot` is what it was decided with."""

    job: Job
    found: Found
    listing: Listing


@dataclass(frozen=True, slots=True)
class Measured:
    """The recall of one answer; the share is that of eligible rows in the domain."""

    recall: float
    share: float

    @property
    def band(self) -> str:
        """The band that the answer counts in."""
        return next(name for limit, name in BANDS if self.share <= limit)


class RecallMonitor:
    """Takes samples from any thread and measures them in one of its own, of low priority."""

    def __init__(self, fraction: float, registry: CollectorRegistry) -> None:
        """Starts the thread.

        Args:
            fraction: share of the answers to measure, above 0, at most 1.
            registry: where the metrics are registered.
        """
        self._fraction = fraction
        self._numbers = itertools.count()
        self._queue: queue.Queue[Sample | None] = queue.Queue(QUEUE_COUNT_MAX)
        self._windows = {name: _Window() for _, name in BANDS}
        self._metrics = _Metrics(registry)
        self._open = True
        self._thread = threading.Thread(target=self._loop, name="recall", daemon=True)
        self._thread.start()

    def offer(self, job: Job, found: Found, listing: Listing) -> None:
        """Takes an answer if it is its turn; never waits: a sample that finds the queue full is dropped."""
        if next(self._numbers) * _GOLDEN % 1.0 >= self._fraction:
            return
        try:
            self._queue.put_nowait(Sample(job, found, listing))
        except queue.Full:
            self._metrics.skipped.labels("queue_full").inc()

    def close(self) -> None:
        """Ends the thread; samples that wait are dropped."""
        self._open = False
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        self._thread.join(timeout=_CLOSE_S_MAX)

    def _loop(self) -> None:
        # Linux gives each thread a niceness of its own; where that is refused, measuring competes for time.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        while (sample := self._queue.get()) is not None and self._open:
            try:
                self._take(sample)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a sample does.
                # The error's own text might hold values of the request.
                _log.error("recall_not_measured", error=type(error).__name__)
                self._metrics.skipped.labels("failed").inc()
            # Until the next one comes it would keep its bundle in memory, which may have been replaced.
            del sample

    def _take(self, sample: Sample) -> None:
        eligible = find_eligible(sample)
        if eligible is None:
            self._metrics.skipped.labels("overlay_changed").inc()
            return
        measured = measure(sample, eligible)
        if measured is None:
            self._metrics.skipped.labels("nothing_eligible").inc()
            return
        band, window = measured.band, self._windows[measured.band]
        was_low = window.low
        window.add(measured.recall)
        self._metrics.recall.labels(band).observe(measured.recall)
        self._metrics.running.labels(band).set(window.mean)
        self._metrics.alarm.labels(band).set(window.low)
        if window.low != was_low:
            tell = _log.warning if window.low else _log.info
            tell(
                "recall_low" if window.low else "recall_recovered",
                band=band,
                recall=round(window.mean, 4),
                recall_min=RECALL_MIN,
                samples=len(window.values),
                bundle=sample.found.snapshot.version,
            )


class _Metrics:
    """What Prometheus reads."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.recall = Histogram(
            "prudence_recall_at_k",
            "Recall of sampled answers against an exact search, by eligible share of the domain.",
            ["band"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.running = Gauge(
            "prudence_recall_running",
            f"Mean recall of the last {WINDOW_COUNT} sampled answers of a band.",
            ["band"],
            registry=registry,
        )
        self.alarm = Gauge(
            "prudence_recall_alarm",
            f"1 while that mean is below {RECALL_MIN} over at least {ALARM_COUNT_MIN} answers, else 0.",
            ["band"],
            registry=registry,
        )
        self.skipped = Counter(
            "prudence_recall_samples_skipped",
            "Sampled answers that were not measured.",
            ["reason"],
            registry=registry,
        )


class _Window:
    """The latest recalls of a band."""

    def __init__(self) -> None:
        self.values: deque[float] = deque(maxlen=WINDOW_COUNT)

    def add(self, recall: float) -> None:
        self.values.append(recall)

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)

    @property
    def low(self) -> bool:
        return len(self.values) >= ALARM_COUNT_MIN and self.mean < RECALL_MIN


def find_eligible(sample: Sample) -> Rows | None:
    """Judges every row that the answer could have held, without the filter, which is thereby measured too.

    Returns:
        the eligible rows; None if the overlay has changed, so that nobody can say what was eligible.
    """
    rows = _rows_asked_for(sample.job)
    rows = rows[~np.isin(rows, sample.job.left_out_rows)]
    kept = []
    for start in range(0, len(rows), _JUDGED_TOGETHER):
        part = rows[start : start + _JUDGED_TOGETHER]
        masks, overlay = sample.found.snapshot.gate.judge_live(sample.found.user, part)
        if overlay is not sample.listing.verdict.overlay:
            return None
        kept.append(part[gate.find_eligible(masks)])
    return np.concatenate([np.empty(0, np.int64), *kept])


def measure(sample: Sample, eligible: Rows) -> Measured | None:
    """Compares an answer with the best of the eligible rows; None if there are none."""
    count = min(sample.job.pool_count, len(eligible))
    if count == 0:
        return None
    found = sample.found
    scores = found.snapshot.scorer.score(found.vector, eligible)
    if found.suggested is not None:
        scores = scores + found.suggested.boost(eligible)
    least = np.partition(scores, -count)[-count]
    held = np.isin(eligible, sample.listing.pool_rows)
    hit_count = int(np.count_nonzero(held & (scores >= least)))
    return Measured(hit_count / count, len(eligible) / len(_rows_asked_for(sample.job)))


def _rows_asked_for(job: Job) -> Rows:
    return np.arange(job.row_start, job.row_stop) if job.only_rows is None else job.only_rows
