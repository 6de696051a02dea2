"""Measures what changes of a catalogue cost: patches of products that serve, and an update of the bundle."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.errors import BenchmarkInputError
from index.bundle import Bundle
from index.update import update_bundle
from server.active_policy import ActivePolicy
from server.catalogue.changes import Outcome, PatchQuery
from server.catalogue.state import FILE_NAME, CatalogueState
from server.clock import Clock
from server.encoder import embed_items
from server.filter import Filter
from server.gate import Gate
from server.snapshot import Snapshot

PATCHED_COUNTS: Final = (1, 10, 100, 1000)
"""Products of a call; a catalogue in which fewer state a quota is measured up to these."""
REPEAT_COUNT: Final = 15
COMPILED_COUNT: Final = 3
DELTA_ROW_COUNT: Final = 100
"""Rows of an update: half of them new products, half known ones with another title."""
_FIELD: Final = "capacity_left"


@dataclass(frozen=True, slots=True)
class PatchCost:
    """Median cost of one PatchProducts, checked, durable and in force, from request to answer."""

    product_count: int
    cpu_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True)
class LogCost:
    """What the log of patches costs.

    Attributes:
        call_count: accepted calls that it holds.
        patched_count: products that they patched.
        log_bytes, snapshot_bytes: of the log as it was written, and compacted.
        start_cpu_ms, compacted_start_cpu_ms: of reading it back at a start, before and after.
        compact_cpu_ms: of compacting it.
    """

    call_count: int
    patched_count: int
    log_bytes: int
    snapshot_bytes: int
    start_cpu_ms: float
    compacted_start_cpu_ms: float
    compact_cpu_ms: float


@dataclass(frozen=True, slots=True)
class UpdateCost:
    """CPU and elapsed time of `index update`, and the CPU time of its steps."""

    row_count: int
    embedded_count: int
    cpu_s: float
    wall_s: float
    steps_cpu_s: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class CatalogueCosts:
    """Everything that was measured over one bundle."""

    product_count: int
    gate_cpu_ms: float
    filter_cpu_ms: float
    patches: tuple[PatchCost, ...]
    log: LogCost
    update: UpdateCost


def measure_patches(snapshot: Snapshot, folder: Path) -> tuple[tuple[PatchCost, ...], LogCost]:
    """Patches products of a catalogue that serves, again and again, and reads the log of that back.

    Args:
        snapshot: what serves.
        folder: an empty one for the log.

    Raises:
        BenchmarkInputError: no product states a quota.
    """
    ids = list(_find_limited(snapshot.bundle))
    if not ids:
        raise BenchmarkInputError(f"expected products with {_FIELD} of 2 or more, got none")
    clock, costs, call_count = Clock(), [], 0
    with CatalogueState(folder) as state:
        active = ActivePolicy([snapshot], clock, None, clock, catalogue=state)
        for count in (each for each in PATCHED_COUNTS if each <= len(ids)):
            # A thousand products again and again would compact the log, which is measured by itself.
            repeat_count = REPEAT_COUNT if count < PATCHED_COUNTS[-1] else REPEAT_COUNT // 3
            # The quota goes up and down, so that every call changes every product of it.
            timed = [_patch(active, ids[:count], (call_count + each) % 2) for each in range(repeat_count)]
            call_count += repeat_count
            cpu_ms, wall_ms = (median(each) for each in zip(*timed, strict=True))
            costs.append(PatchCost(count, cpu_ms, wall_ms))
    return tuple(costs), _measure_log(folder, call_count)


def measure_compiling(snapshot: Snapshot) -> tuple[float, float]:
    """Returns the CPU milliseconds of compiling gate and filter of the whole catalogue, medians."""
    products, policy = snapshot.bundle.products.rows, snapshot.policy
    gates = [_time(lambda: Gate(products, policy)) for _ in range(COMPILED_COUNT)]
    columns = snapshot.gate.columns
    filters = [_time(lambda: Filter(products, columns, policy)) for _ in range(COMPILED_COUNT)]
    return median(cpu for cpu, _ in gates), median(cpu for cpu, _ in filters)


def measure_update(bundle: Bundle, folder: Path) -> UpdateCost:
    """Updates a bundle with a few new and changed products, into a folder of its own."""
    products = folder / "delta.parquet"
    pq.write_table(_make_delta(bundle), products)
    steps: list[tuple[str, float]] = []
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    _, report = update_bundle(
        parent=bundle.path,
        products=products,
        removed=None,
        bundles=folder / "bundles",
        embed=embed_items,
        on_step=lambda step: steps.append((step, time.process_time())),
    )
    end_s = time.process_time()
    ends = [at for _, at in steps[1:]] + [end_s]
    return UpdateCost(
        row_count=DELTA_ROW_COUNT,
        embedded_count=report.embedded_count,
        cpu_s=end_s - cpu_s,
        wall_s=time.perf_counter() - wall_s,
        steps_cpu_s=tuple((step, end - start) for (step, start), end in zip(steps, ends, strict=True)),
    )


def _find_limited(bundle: Bundle) -> Iterable[str]:
    """Yields products of which a patch can lower the quota to 1 and to 0."""
    found = bundle.products.rows.distinct(_FIELD)
    good = np.array([isinstance(value, int) and value >= 2 for value in found.values])
    return (bundle.product_ids[row] for row in np.flatnonzero(good[found.codes]))


def _patch(active: ActivePolicy, ids: Sequence[str], value: int) -> tuple[float, float]:
    query = PatchQuery({product_id: {_FIELD: value} for product_id in ids}, None, "", "benchmark")

    def call() -> None:
        verdicts = active.patch_products(query).verdicts
        assert {verdict.outcome for verdict in verdicts} == {Outcome.APPLIED}, (
            "every patch changes its product"
        )

    return _time(call)


def _measure_log(folder: Path, call_count: int) -> LogCost:
    """Reads the log back as a start does, compacts it, and reads it back again."""
    log_bytes = (folder / FILE_NAME).stat().st_size
    start_cpu_ms = _time_start(folder)
    with CatalogueState(folder) as state:
        compact_cpu_ms, _ = _time(state.compact)
        patched_count = len(state.patches.stated)
    return LogCost(
        call_count=call_count,
        patched_count=patched_count,
        log_bytes=log_bytes,
        snapshot_bytes=(folder / FILE_NAME).stat().st_size,
        start_cpu_ms=start_cpu_ms,
        compacted_start_cpu_ms=_time_start(folder),
        compact_cpu_ms=compact_cpu_ms,
    )


def _time_start(folder: Path) -> float:
    return median(_time(lambda: CatalogueState(folder).close())[0] for _ in range(COMPILED_COUNT))


def _make_delta(bundle: Bundle) -> pa.Table:
    """Returns rows of the bundle: half under new ids, half with a title that nobody has."""
    table = bundle.products.rows.to_arrow()
    rows = table.take(np.linspace(0, table.num_rows - 1, DELTA_ROW_COUNT).astype(np.int64))
    half = DELTA_ROW_COUNT // 2
    ids = [f"benchmark-{number}" for number in range(half)] + rows["id"].to_pylist()[half:]
    titles = [f"Benchmark {number}" for number in range(DELTA_ROW_COUNT)]
    for name, values in (("id", ids), ("title", titles)):
        field = rows.schema.field(name)
        rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
    return rows


def _time(call: Callable[[], object]) -> tuple[float, float]:
    """Returns the CPU and elapsed milliseconds of a call."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    call()
    return (time.process_time() - cpu_s) * 1e3, (time.perf_counter() - wall_s) * 1e3
