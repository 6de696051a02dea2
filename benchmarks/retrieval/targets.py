"""The targets that retrieval is held to, and whether what was measured meets them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.retrieval.libraries import LIBRARIES
from benchmarks.retrieval.limits import RescoreTime
from benchmarks.retrieval.measure import BATCHES, Measured, Row
from benchmarks.retrieval.strategies import AUTO, FLAT, FLAT_BLAS, FLAT_RANGE, NESTED, name_scan
from benchmarks.retrieval.truth import BATCH, K

RATIO_ITEM_COUNT: Final = 100_000
AUTO_ITEM_COUNT: Final = 1_000_000

FLAT_RATIOS: Final = {"avx512vnni": (0.17, 0.13), "avx2": (0.25, 0.20), "sse2": (0.50, 0.35)}
BLAS_RATIOS: Final = {"avx512vnni": 0.32, "avx2": 0.50}
RANGE_RATIOS: Final = {0.1: 0.50, 0.5: 0.25}
AUTO_RATIO: Final = 1.2
RESCORE_US: Final = 15.0
SCAN_RECALL: Final = 0.999
INDEX_RECALL: Final = 0.99
LIBRARY_RECALL: Final = 0.98
"""From here on a library counts as having about the same recall: .99 was sought with other users."""


@dataclass(frozen=True)
class Verdict:
    """One target.

    Attributes:
        name: what is held to it.
        limit: the target in words; empty where it is only reported.
        value: what was measured; empty if it was not.
        met: whether it is met; None if it was not measured, or is only reported.
    """

    name: str
    limit: str
    value: str
    met: bool | None


def judge(measured: Measured) -> list[Verdict]:
    """Compares what was measured with every target."""
    return [
        *_judge_recall(measured.rows),
        *_judge_flat(measured.rows),
        *_judge_range(measured.rows),
        *_judge_auto(measured.rows),
        *_judge_rescore(measured.rescores),
        *_judge_libraries(measured.rows),
    ]


def _judge_recall(rows: Sequence[Row]) -> Iterator[Verdict]:
    # An index is held to its target where the planner chose it, which is what "auto" is.
    groups: dict[str, tuple[float | None, Callable[[Row], bool]]] = {
        "every scan": (SCAN_RECALL, lambda row: row.strategy.startswith("scan ")),
        NESTED: (None, lambda row: row.strategy == NESTED),
        AUTO: (INDEX_RECALL, lambda row: row.strategy == AUTO),
    }
    for name, (limit, belongs) in groups.items():
        found = [row.quality for row in rows if belongs(row) and row.quality is not None]
        title, wanted = f"lowest recall@{K}, {name}", "" if limit is None else f">= {limit}"
        if not found:
            yield Verdict(title, wanted, "", None)
            continue
        lowest = min(quality.recall for quality in found)
        short = sum(quality.short_count for quality in found)
        yield Verdict(title, wanted, f"{lowest:.4f}", None if limit is None else lowest >= limit)
        yield Verdict(f"short lists, {name}", "0", str(short), short == 0)


def _judge_flat(rows: Sequence[Row]) -> Iterator[Verdict]:
    for path, limits in FLAT_RATIOS.items():
        for batch, limit in zip(BATCHES, limits, strict=True):
            yield _ratio(rows, name_scan(path), FLAT, "all", 1.0, batch, limit)
    for path, limit in BLAS_RATIOS.items():
        yield _ratio(rows, name_scan(path), FLAT_BLAS, "all", 1.0, BATCH, limit)


def _judge_range(rows: Sequence[Row]) -> Iterator[Verdict]:
    # The first path is the fastest that this machine has.
    paths = [row.strategy for row in rows if row.strategy.startswith("scan ")][:1]
    for scan in paths:
        for share, limit in RANGE_RATIOS.items():
            for batch in BATCHES:
                yield _ratio(rows, scan, FLAT_RANGE, "prefix", share, batch, limit)


def _ratio(
    rows: Sequence[Row], name: str, other: str, kind: str, share: float, batch: int, limit: float
) -> Verdict:
    title = f"{name} / {other}, {share:.0%}, batch {batch}"
    times = []
    for strategy in (name, other):
        found = [
            row.timings[batch].us
            for row in rows
            if (row.item_count, row.filter_kind, row.share) == (RATIO_ITEM_COUNT, kind, share)
            and row.strategy == strategy
            and row.timings
        ]
        times += found[:1]
    if len(times) < 2:
        return Verdict(title, f"<= {limit}", "", None)
    ratio = times[0] / times[1]
    value = f"{ratio:.3f} ({times[0]:,.1f} / {times[1]:,.1f} us)"
    return Verdict(title, f"<= {limit}", value, ratio <= limit)


def _judge_auto(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Compares the planner's choice with the best of what it may choose and finds enough."""
    largest = [row for row in rows if row.item_count == AUTO_ITEM_COUNT]
    if not largest:
        yield Verdict(
            f"auto / best of scan and nested, {AUTO_ITEM_COUNT:,} items", f"<= {AUTO_RATIO}", "", None
        )
    for auto in (row for row in largest if row.strategy == AUTO):
        same = [row for row in largest if (row.filter_kind, row.share) == (auto.filter_kind, auto.share)]
        for batch in BATCHES:
            able = {row.strategy: row.timings[batch].us for row in same if _may_choose(row)}
            best = min(able, key=lambda name: able[name])
            ratio = auto.timings[batch].us / able[best]
            yield Verdict(
                f"auto / best, 1M, {auto.filter_kind} {auto.share:.0%}, batch {batch}",
                f"<= {AUTO_RATIO}",
                f"{ratio:.3f} ({auto.timings[batch].us:,.1f} us; best {best} {able[best]:,.1f} us)",
                ratio <= AUTO_RATIO,
            )


def _may_choose(row: Row) -> bool:
    ours = row.strategy == NESTED or row.strategy.startswith("scan ")
    return ours and row.quality is not None and row.quality.recall >= INDEX_RECALL


def _judge_rescore(rescores: Sequence[RescoreTime]) -> Iterator[Verdict]:
    for each in rescores:
        yield Verdict(
            f"re-score and select 200 of {each.item_count:,}, batch {BATCH}, us a request",
            f"<= {RESCORE_US:g}",
            f"{each.us:.1f} ({each.us_low:.1f} to {each.us_high:.1f})",
            each.us <= RESCORE_US,
        )


def _judge_libraries(rows: Sequence[Row]) -> Iterator[Verdict]:
    """Says how the server's own choice compares with a library of equal recall, where they are closest."""
    for name in LIBRARIES:
        for share in sorted({row.share for row in rows}):
            title = f"{name} / auto, {share:.0%} eligible"
            # With nothing filtered the libraries are reported, not beaten.
            limit = "> 1" if share < 1 else ""
            pairs = [
                (row, auto)
                for row in rows
                if row.strategy.startswith(name) and row.quality and row.share == share
                for auto in rows
                if auto.strategy == AUTO and _case_of(auto) == _case_of(row)
            ]
            yield _compare(title, limit, pairs)


def _compare(title: str, limit: str, pairs: Sequence[tuple[Row, Row]]) -> Verdict:
    if not pairs:
        return Verdict(title, limit, "", None)
    reached = {row: row.quality.recall for row, _ in pairs if row.quality}
    able = [(row, auto) for row, auto in pairs if reached[row] >= LIBRARY_RECALL]
    if not able:
        return Verdict(
            title, limit, f"its recall is at most {max(reached.values()):.3f}", bool(limit) or None
        )
    ratio, batch, row = min(
        (
            (row.timings[batch].us / auto.timings[batch].us, batch, row)
            for row, auto in able
            for batch in BATCHES
        ),
        key=lambda each: each[0],
    )
    value = (
        f"{ratio:.2f} at the least: {row.item_count:,} items, {row.filter_kind}, batch {batch}, "
        f"recall {reached[row]:.3f}"
    )
    return Verdict(title, limit, value, ratio > 1 if limit else None)


def _case_of(row: Row) -> tuple[int, str, float]:
    return row.item_count, row.filter_kind, row.share
