"""The clock by which searches are calibrated sees their work, and not what a live server does beside it."""

import time
from collections.abc import Callable

import pytest

from index import ann
from index.bundle import open_bundle, read_current
from server import open_retriever as module
from server.calibration import Stopwatch
from server.open_retriever import open_retriever
from tests.server.conftest import Platform


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], float]]:
    """Notes the clock of each stopwatch."""
    seen: list[Callable[[], float]] = []

    class Noted(Stopwatch):
        def __init__(self, queries: object, row_count: int, clock: Callable[[], float]) -> None:
            seen.append(clock)
            super().__init__(queries, row_count, clock)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "Stopwatch", Noted)
    return seen


def test_what_other_threads_do_meanwhile_costs_a_search_nothing(
    platform: Platform, clocks: list[Callable[[], float]]
) -> None:
    bundle = open_bundle(read_current(platform.bundles))
    open_retriever(bundle, ann.load_index(bundle.read_index()), "auto", "cpu")
    assert clocks == [time.thread_time]


def test_threads_of_the_index_are_counted(platform: Platform, clocks: list[Callable[[], float]]) -> None:
    bundle = open_bundle(read_current(platform.bundles))
    index = ann.load_index(bundle.read_index(), thread_count=2)
    open_retriever(bundle, index, "auto", "cpu", thread_count=2)
    assert clocks == [time.process_time]
