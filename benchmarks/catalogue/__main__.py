"""Measures changes of the catalogue: `python -m benchmarks.catalogue --bundles DIR`.

DIR is a folder of bundles, for example artifacts/simulated-100000/bundles, which `python -m benchmarks.bench
--products 100000` makes. Nothing in it is changed.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from structlog.testing import capture_logs

from benchmarks.catalogue.measure import (
    CatalogueCosts,
    measure_compiling,
    measure_patches,
    measure_update,
)
from benchmarks.catalogue.report import write_report
from benchmarks.errors import BenchmarkError
from benchmarks.machine import describe_machine
from index.errors import IndexPackageError
from server.errors import ServerError
from server.snapshot import load_fit_policy, open_snapshot


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows and writes; returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalogue", description=__doc__)
    parser.add_argument("--bundles", type=Path, required=True, help="a folder of bundles")
    parser.add_argument("--policy", type=Path, help="the policy in force; default: the one shipped")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        costs = _measure(options.bundles, options.policy, console)
    except (BenchmarkError, ServerError, IndexPackageError) as error:
        text = f"{type(error).__name__}: {error}"
        Console(stderr=True, highlight=False).print(text, markup=False, soft_wrap=True)
        return 1
    write_report(costs, describe_machine(), options.out, console)
    return 0


def _measure(bundles: Path, policy: Path | None, console: Console) -> CatalogueCosts:
    snapshot = open_snapshot(
        bundles,
        load_fit_policy(policy),
        device="cpu",
        thread_count=1,
        retriever="exact",
        allow_assumed=True,
    )
    # A line for every patch says nothing here.
    with tempfile.TemporaryDirectory() as folder, capture_logs():
        console.print("compiling")
        gate_cpu_ms, filter_cpu_ms = measure_compiling(snapshot)
        console.print("patching")
        (state := Path(folder) / "state").mkdir()
        patches, log = measure_patches(snapshot, state)
        console.print("updating")
        update = measure_update(snapshot.bundle, Path(folder))
    count = snapshot.bundle.products.count
    return CatalogueCosts(count, gate_cpu_ms, filter_cpu_ms, patches, log, update)


if __name__ == "__main__":
    sys.exit(main())
