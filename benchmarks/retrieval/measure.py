"""Measures every strategy over every catalogue and filter."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.retrieval.catalogue import Catalogue, Filter, draw_catalogue, list_filters
from benchmarks.retrieval.libraries import (
    GRAPHS,
    LIBRARIES,
    Hnswlib,
    Library,
    filter_after,
    filter_inside,
    is_installed,
)
from benchmarks.retrieval.limits import RescoreTime, measure_rescore
from benchmarks.retrieval.planned import make_auto
from benchmarks.retrieval.strategies import Search, Strategy, build_faiss, keep_scans, list_strategies
from benchmarks.retrieval.timing import Timing, time_in_turns
from benchmarks.retrieval.truth import BATCH, Quality, find_best, measure_quality

BATCHES: Final = (1, BATCH)
RECALL_SOUGHT: Final = 0.99
_TUNING_S: Final = 2.0  # A library is not tuned further once it takes this long for a batch.
_QUALITY_S: Final = 20.0  # Nor compared for more users than it answers in this time.


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        item_counts: sizes of the catalogues.
        graph_item_max: largest catalogue over which libraries build graphs.
        user_count: users who are measured.
        tuning_count: users for whom efforts are chosen.
        pass_count: times that each strategy is timed.
        pass_s: CPU time of one of these: enough calls for the clock, few enough to end.
        seed: of everything drawn.
    """

    item_counts: tuple[int, ...]
    graph_item_max: int = 100_000
    user_count: int = 128
    tuning_count: int = 128
    pass_count: int = 7
    pass_s: float = 0.04
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Row:
    """One strategy under one filter.

    Attributes:
        item_count: size of the catalogue.
        filter_kind: all, prefix or scattered.
        share: eligible part of the catalogue.
        eligible_count: eligible items.
        strategy: its name.
        effort: how hard it searches, where that was chosen.
        timings: by users per call; empty if it was not measured.
        quality: what it finds; None if it was not measured.
        note: why not, or empty.
    """

    item_count: int
    filter_kind: str
    share: float
    eligible_count: int
    strategy: str
    effort: int | None
    timings: Mapping[int, Timing]
    quality: Quality | None
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """What was found over one or more catalogues.

    Attributes:
        rows: one for each strategy and filter.
        rescores: what scoring and selecting cost, by catalogue.
        build_s: CPU seconds to build each index, by "NAME, COUNT items".
    """

    rows: tuple[Row, ...]
    rescores: tuple[RescoreTime, ...]
    build_s: Mapping[str, float]


def measure(settings: Settings, report: Callable[[str], None]) -> Measured:
    """Measures all catalogues.

    Args:
        settings: how much.
        report: called with a line on what is measured now.
    """
    rows: list[Row] = []
    rescores: list[RescoreTime] = []
    build_s: dict[str, float] = {}
    for count in settings.item_counts:
        report(f"{count:,} items: building")
        catalogue = draw_catalogue(
            count, user_count=settings.user_count, tuning_count=settings.tuning_count, seed=settings.seed
        )
        start_s = time.process_time()
        indexes = build_faiss(catalogue)
        build_s[f"faiss, {count:,} items"] = time.process_time() - start_s
        libraries, notes = _build_libraries(catalogue, settings, build_s, report)
        scans, auto = keep_scans(catalogue), make_auto(catalogue, indexes)
        rescores.append(measure_rescore(catalogue, settings.pass_count))
        for which in list_filters(count, settings.seed):
            report(f"{count:,} items: {which.kind} {which.share:.0%}")
            strategies = [*list_strategies(catalogue, scans, indexes, which), auto]
            strategies += _tune_libraries(libraries, catalogue, which)
            rows += _measure_filter(catalogue, which, strategies, settings)
            rows += [_note_row(count, which, name, note) for name, note in notes.items()]
    return Measured(tuple(rows), tuple(rescores), build_s)


def _build_libraries(
    catalogue: Catalogue, settings: Settings, build_s: dict[str, float], report: Callable[[str], None]
) -> tuple[dict[str, Library], dict[str, str]]:
    """Builds the indexes of other libraries; says of each that has none why."""
    libraries: dict[str, Library] = {}
    notes: dict[str, str] = {}
    for name, build in LIBRARIES.items():
        if not is_installed(name):
            notes[name] = "not installed"
        elif name in GRAPHS and catalogue.count > settings.graph_item_max:
            notes[name] = f"not built over {catalogue.count:,} items"
        else:
            report(f"{catalogue.count:,} items: building {name}")
            start_s = time.process_time()
            libraries[name] = build(catalogue.vectors)
            build_s[f"{name}, {catalogue.count:,} items"] = time.process_time() - start_s
    return libraries, notes


def _tune_libraries(libraries: Mapping[str, Library], catalogue: Catalogue, which: Filter) -> list[Strategy]:
    strategies = []
    for name, library in libraries.items():
        if isinstance(library, Hnswlib) and which.kind != "all":
            inside = partial(filter_inside, library)
            strategies.append(_tune(f"{name} + its filter", inside, library.efforts, catalogue, which))
        label = name if which.kind == "all" else f"{name}, filtered after"
        after = partial(filter_after, library)
        strategies.append(_tune(label, after, library.efforts, catalogue, which))
    return strategies


def _tune(
    name: str, make: Callable[[int], Search], efforts: Sequence[int], catalogue: Catalogue, which: Filter
) -> Strategy:
    """Chooses the least effort that reaches RECALL_SOUGHT, else the largest that time allows."""
    chunks = catalogue.tuning_users.chunks(min(BATCH, len(catalogue.tuning_users)))[:1]
    best = find_best(catalogue, chunks[0], which)
    for effort in efforts:
        chosen = Strategy(name, make(effort), effort)
        start_s = time.process_time()
        quality = measure_quality(chosen.search, chunks, which, best)
        if quality.recall >= RECALL_SOUGHT or time.process_time() - start_s > _TUNING_S:
            break
    return chosen


def _measure_filter(
    catalogue: Catalogue, which: Filter, strategies: Sequence[Strategy], settings: Settings
) -> list[Row]:
    users = catalogue.users
    best = find_best(catalogue, users, which)
    timings = {
        batch: time_in_turns(strategies, users, which, batch, settings.pass_count, settings.pass_s)
        for batch in BATCHES
    }
    rows = []
    for place, strategy in enumerate(strategies):
        own = {batch: timings[batch][place] for batch in BATCHES}
        affordable = int(_QUALITY_S * 1e6 / own[BATCH].us / BATCH)
        chunks = users.chunks(BATCH)[: max(1, affordable)]
        rows.append(
            Row(
                item_count=catalogue.count,
                filter_kind=which.kind,
                share=which.share,
                eligible_count=which.eligible_count,
                strategy=strategy.name,
                effort=strategy.effort,
                timings=own,
                quality=measure_quality(strategy.search, chunks, which, best),
            )
        )
    return rows


def _note_row(count: int, which: Filter, name: str, note: str) -> Row:
    return Row(count, which.kind, which.share, which.eligible_count, name, None, {}, None, note)
