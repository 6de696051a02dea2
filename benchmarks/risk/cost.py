"""Measures what RiskService costs: `python -m benchmarks.risk.cost --risk-model EXPORT`, after `make demo`.

EXPORT is what `python -m export risk` wrote. A server of its own serves a bundle of the demonstration with
that model; the callers are threads of this process, on the same cores.
"""

import argparse
import itertools
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import matplotlib as mpl
import numpy as np
from prudence.v1 import risk_pb2, risk_pb2_grpc
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.errors import BenchmarkError
from benchmarks.load.driver import read_server_cpu_s
from benchmarks.machine import describe_machine
from benchmarks.pipeline import DEFAULT_POLICY, Artifacts
from benchmarks.report_files import write_tables
from benchmarks.serving import ServerPlan, run_server
from index.build import build_bundle
from index.errors import IndexPackageError
from index.risk_bins import Record
from index.risk_files import parse_risk, read_risk_export

mpl.use("Agg")

from matplotlib import pyplot as plt

SHAPES: Final = ((1, 1), (8, 1), (1, 100), (1, 1000))
"""Callers, each with one call at a time, and borrowers of a call."""
BORROWER_COUNT: Final = 20_000
CALL_COUNT_MAX: Final = 2000
NAME: Final = "risk-cost"


@dataclass(frozen=True, slots=True)
class RiskCost:
    """What calls of one shape cost.

    Attributes:
        caller_count: callers in a closed loop.
        batch_count: borrowers of a call; of one by Score, of more by BatchScore.
        call_count: calls.
        latency_ms_p50, latency_ms_p99: as the callers saw them.
        server_cpu_us: of the server's process, for each borrower.
        borrowers_per_s: answered.
    """

    caller_count: int
    batch_count: int
    call_count: int
    latency_ms_p50: float
    latency_ms_p99: float
    server_cpu_us: float
    borrowers_per_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows and writes; returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.risk.cost", description=__doc__)
    parser.add_argument("--risk-model", type=Path, required=True, help="what `python -m export risk` wrote")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts/simulated"))
    parser.add_argument(
        "--borrowers", type=int, default=BORROWER_COUNT, help="of each shape; default %(default)s"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        costs = _measure(options.risk_model, Artifacts(options.artifacts), options.borrowers)
    except (BenchmarkError, IndexPackageError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    machine = describe_machine()

    def show(target: Console) -> None:
        target.print(machine.line, markup=False, soft_wrap=True)
        target.print(_tabulate(costs))

    body = {"machine": asdict(machine), "costs": [asdict(cost) for cost in costs]}
    write_tables(options.out, NAME, console, show, body)
    _draw(costs, machine.line, options.out / f"{NAME}.png")
    return 0


def _measure(risk_model: Path, artifacts: Artifacts, borrower_count: int) -> list[RiskCost]:
    model = parse_risk(read_risk_export(risk_model))
    assert model is not None, "what was read is a risk model"
    borrowers = [each.record for each in model.golden]
    with tempfile.TemporaryDirectory() as folder:
        bundles = Path(folder) / "bundles"
        build_bundle(
            export=artifacts.export,
            products=artifacts.data / "products.parquet",
            policy=DEFAULT_POLICY,
            bundles=bundles,
            risk_model=risk_model,
        )
        plan = ServerPlan(bundles=bundles, allow_assumed=True)
        with run_server(plan, Path(folder) / "server.log") as server:
            return [measure(server.target, borrowers, *shape, borrower_count) for shape in SHAPES]


def measure(
    target: str, borrowers: Sequence[Record], caller_count: int, batch_count: int, borrower_count: int
) -> RiskCost:
    """Measures calls of one shape, after a tenth as many that are not counted."""
    call_count = max(caller_count, min(CALL_COUNT_MAX, borrower_count // batch_count))
    requests = _make_requests(borrowers, batch_count, call_count)
    with _open_call(target, batch_count) as call:
        _call_all(call, requests[: max(1, call_count // 10)], caller_count)
        cpu_s, start_s = read_server_cpu_s(target), time.perf_counter()
        latencies_s = _call_all(call, requests, caller_count)
        elapsed_s, cpu_s = time.perf_counter() - start_s, read_server_cpu_s(target) - cpu_s
    p50, p99 = np.percentile(latencies_s, [50, 99]) * 1e3
    scored_count = call_count * batch_count
    return RiskCost(
        caller_count=caller_count,
        batch_count=batch_count,
        call_count=call_count,
        latency_ms_p50=float(p50),
        latency_ms_p99=float(p99),
        server_cpu_us=cpu_s / scored_count * 1e6,
        borrowers_per_s=scored_count / elapsed_s,
    )


def _make_requests(borrowers: Sequence[Record], batch_count: int, call_count: int) -> list[bytes]:
    """Serializes requests beforehand: making them would compete with what is measured."""
    singles = [risk_pb2.ScoreRequest(features=_to_features(record)) for record in borrowers]
    endless = itertools.cycle(singles)
    if batch_count == 1:
        return [request.SerializeToString() for request in itertools.islice(endless, call_count)]
    return [
        risk_pb2.BatchScoreRequest(requests=itertools.islice(endless, batch_count)).SerializeToString()
        for _ in range(call_count)
    ]


def _to_features(record: Record) -> dict[str, risk_pb2.FeatureValue]:
    """Returns a borrower as the wire has it: what is missing is left out."""
    return {
        name: risk_pb2.FeatureValue(category=value)
        if isinstance(value, str)
        else risk_pb2.FeatureValue(number=value)
        for name, value in record.items()
        if value is not None
    }


@contextmanager
def _open_call(target: str, batch_count: int) -> Iterator[Callable[[bytes], Any]]:
    service = risk_pb2.DESCRIPTOR.services_by_name["RiskService"].full_name
    name = "Score" if batch_count == 1 else "BatchScore"
    with grpc.insecure_channel(target) as channel:
        # The first call finds out whether it is answered at all; the others leave the bytes as they are.
        risk_pb2_grpc.RiskServiceStub(channel).GetRiskModel(risk_pb2.GetRiskModelRequest(), timeout=10.0)
        yield channel.unary_unary(f"/{service}/{name}", request_serializer=None, response_deserializer=None)


def _call_all(call: Callable[[bytes], Any], requests: Sequence[bytes], caller_count: int) -> list[float]:
    """Makes every call; returns how long each took."""
    pending, lock = iter(requests), threading.Lock()

    def work() -> list[float]:
        latencies_s: list[float] = []
        while True:
            with lock:
                request = next(pending, None)
            if request is None:
                return latencies_s
            start_s = time.perf_counter()
            call(request)
            latencies_s.append(time.perf_counter() - start_s)

    with ThreadPoolExecutor(caller_count) as pool:
        workers = [pool.submit(work) for _ in range(caller_count)]
        return [latency_s for worker in workers for latency_s in worker.result()]


def _tabulate(costs: Sequence[RiskCost]) -> Table:
    table = Table(title="RiskService, one server process", box=box.SIMPLE_HEAD, title_justify="left")
    names = (
        "callers",
        "borrowers of a call",
        "calls",
        "p50 ms",
        "p99 ms",
        "CPU us a borrower",
        "borrowers/s",
    )
    for name in names:
        table.add_column(name, justify="right")
    for cost in costs:
        table.add_row(
            str(cost.caller_count),
            f"{cost.batch_count:,}",
            f"{cost.call_count:,}",
            f"{cost.latency_ms_p50:.2f}",
            f"{cost.latency_ms_p99:.2f}",
            f"{cost.server_cpu_us:.0f}",
            f"{cost.borrowers_per_s:,.0f}",
        )
    return table


def _draw(costs: Sequence[RiskCost], caption: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(7.5, 3))
    names = [f"{cost.caller_count} callers, {cost.batch_count:,} a call" for cost in costs]
    bars = axes.barh(names, [cost.server_cpu_us for cost in costs], color="#0072B2")
    labels = [f"{cost.server_cpu_us:.0f} us; call p50 {cost.latency_ms_p50:.1f} ms" for cost in costs]
    axes.bar_label(bars, labels, padding=4, size=8)
    axes.set(
        xlabel="us of the server's CPU time a borrower", xlim=(0, 1.6 * max(c.server_cpu_us for c in costs))
    )
    axes.invert_yaxis()
    axes.set_title(caption, size=6)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
