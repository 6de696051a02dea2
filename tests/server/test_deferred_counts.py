"""Tests that counts that are noted are all there whenever metrics are read, and that few wait."""

import threading

from prometheus_client import CollectorRegistry, Counter

from server.deferred_counts import WAITING_COUNT_MAX, DeferredCounts


def test_what_was_noted_is_counted_before_metrics_are_read() -> None:
    registry = CollectorRegistry()
    later, counter = DeferredCounts(registry), Counter("calls", "Calls.", registry=registry)

    later.add(counter.inc, 3)

    assert registry.get_sample_value("calls_total") == 3


def test_no_more_than_a_few_notes_wait() -> None:
    counted: list[int] = []
    later = DeferredCounts(CollectorRegistry())

    for number in range(WAITING_COUNT_MAX - 1):
        later.add(counted.append, number)
    assert counted == []

    later.add(counted.append, WAITING_COUNT_MAX - 1)
    assert counted == list(range(WAITING_COUNT_MAX))


def test_notes_of_many_threads_are_each_counted_once() -> None:
    counted: list[int] = []
    later = DeferredCounts(CollectorRegistry())
    threads = [
        threading.Thread(target=lambda: [later.add(counted.append, number) for number in range(1000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    later.flush()

    assert sorted(counted) == sorted(4 * list(range(1000)))


def test_no_metric_is_named_after_what_waits() -> None:
    registry = CollectorRegistry()
    DeferredCounts(registry)

    assert list(registry.collect()) == []
