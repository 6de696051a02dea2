"""Measures what the door of every method costs: `python -m benchmarks.interceptors`.

Identity, admission, metrics and the access log, on and off in one run: one process serves each amount of them
on a port of its own over TLS, and blocks of the same requests take turns.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import grpc
from rich.console import Console

from benchmarks.bench.scene import open_scene
from benchmarks.demo.measure import make_pool
from benchmarks.errors import BenchmarkError
from benchmarks.interceptors.measure import measure, serve_variants
from benchmarks.interceptors.report import Report, write_report
from benchmarks.machine import describe_machine
from server.config import Settings

CALLER_COUNTS = (1, 8)
K = 10
SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 with a message on stderr or where the door costs too much."""
    options = _parser().parse_args(arguments)
    console = Console(highlight=False)
    try:
        report = _run(options, console)
    except (BenchmarkError, grpc.RpcError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0 if report.holds else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.interceptors", description="Measures the door."
    )
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts/simulated"), help="what the demonstration made"
    )
    parser.add_argument("--out", type=Path, default=Path("artifacts/interceptors"), help="for the results")
    parser.add_argument("--rounds", type=int, default=120, help="blocks of each variant")
    parser.add_argument("--calls", type=int, default=25, help="calls of a block")
    return parser


def _run(options: argparse.Namespace, console: Console) -> Report:
    scene = open_scene(options.artifacts, None, console)
    settings = Settings(
        bundles=scene.artifacts.bundles,
        allow_unsigned=True,
        latency_target_s=5.0,  # No call is refused: what is measured is calls that are answered.
        store=str(scene.artifacts.store),
        policy=scene.policy,
        clock=datetime.fromisoformat(scene.dataset.source["clock"]),
    )
    requests = make_pool(scene.dataset, k=K, domain="both", seed=SEED)
    found = []
    with tempfile.TemporaryDirectory() as directory, serve_variants(settings, Path(directory)) as channels:
        for caller_count in CALLER_COUNTS:
            with console.status(f"{caller_count} callers"):
                found += measure(
                    channels,
                    requests,
                    caller_count=caller_count,
                    call_count=options.calls,
                    round_count=options.rounds,
                    seed=SEED,
                )
    bundle = (scene.artifacts.bundles / "CURRENT").read_text(encoding="utf-8").strip()
    report = Report(describe_machine(), bundle, tuple(found))
    write_report(report, options.out, console)
    return report


if __name__ == "__main__":
    sys.exit(main())
