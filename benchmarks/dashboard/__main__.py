"""Draws the dashboard over a server under load: `python -m benchmarks.dashboard`; needs Prometheus.

A server is driven through calm, load, a new bundle, more than it can answer, and calm; Prometheus reads its
metrics and evaluates the panels' own questions, which are drawn where Grafana would put them.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from rich.console import Console

from benchmarks.bench.scene import open_scene
from benchmarks.dashboard.drawing import draw, read_panels
from benchmarks.dashboard.prometheus import SCRAPE_S, run_prometheus
from benchmarks.dashboard.scene import (
    VERSIONS,
    build_bundles,
    call_other_methods,
    make_steps,
    name_current,
)
from benchmarks.dataset import DataSet
from benchmarks.demo.measure import make_pool
from benchmarks.errors import BenchmarkError
from benchmarks.machine import ROOT, describe_machine
from benchmarks.report_files import write_tables
from benchmarks.serving import ServerPlan, run_server
from server.users.opening import StoreAddress, fill_store

DASHBOARD = ROOT / "deploy" / "grafana" / "prudence.json"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
NAME = "dashboard"
K = 10
SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the dashboard; returns 0, or 1 with a message on stderr."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard")
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts/simulated"), help="what the demonstration made"
    )
    parser.add_argument("--out", type=Path, default=Path("artifacts/dashboard"), help="for the results")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each step of the load")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _run(options, Path(folder), console)
    except (BenchmarkError, grpc.RpcError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


def _run(options: argparse.Namespace, folder: Path, console: Console) -> None:
    scene = open_scene(options.artifacts, None, console)
    artifacts = scene.artifacts
    # The server's log of events writes to its store, so it gets one of its own.
    store = folder / "users.sqlite"
    with console.status("a store of users"):
        fill_store(
            StoreAddress(str(store)),
            profiles=artifacts.data / "profiles.parquet",
            interactions=artifacts.data / "interactions.parquet",
            force=False,
            on_progress=lambda *_: None,
        )
    with console.status("two bundles"):
        bundles = build_bundles(artifacts, scene.policy, folder)
    plan = ServerPlan(
        bundles=bundles,
        store=store,
        policy=scene.policy,
        clock=scene.dataset.source["clock"],
        options=(
            *("--metrics-port", "0", "--queue-limit", "256", "--recall-sample-fraction", "0.2"),
            *("--bundle-poll-s", "0.5", "--feedback-log", str(folder / "log")),
            *("--experiments", str(_write_experiment(folder))),
        ),
    )
    log = folder / "server.log"
    with run_server(plan, log) as server, run_prometheus(folder, _find_metrics(log), RULES) as prometheus:
        start_s = datetime.now(UTC).timestamp()
        happened = _drive(
            server.target, scene.dataset, lambda: name_current(bundles, VERSIONS[1]), options.seconds, console
        )
        end_s = datetime.now(UTC).timestamp()
        firing = sorted(prometheus.firing())
        options.out.mkdir(parents=True, exist_ok=True)
        machine = describe_machine()
        empty = draw(
            read_panels(DASHBOARD),
            lambda expression: prometheus.ask(expression, start_s, end_s),
            start_s,
            f"{DASHBOARD.name}, seconds: {machine.line}",
            options.out / f"{NAME}.png",
        )
    _report(options.out, console, machine.line, happened, empty, firing)


def _drive(
    target: str, dataset: DataSet, publish: Callable[[], None], step_s: float, console: Console
) -> list[tuple[float, str]]:
    """Has everything happen; returns when what began, in seconds."""
    happened, start_s = [], time.monotonic()
    requests = make_pool(dataset, k=K, domain="both", seed=SEED)
    users = dataset.active_user_ids[:1000]
    products = [event.product_id for event in dataset.history(users[0])]
    with call_other_methods(target, users, products):
        for step in make_steps(target, requests, publish, step_s):
            happened.append((time.monotonic() - start_s, step.name))
            with console.status(step.name):
                step.run()
    # The last scrape is a second away.
    time.sleep(3 * SCRAPE_S)
    return happened


def _report(
    out: Path,
    console: Console,
    machine: str,
    happened: Sequence[tuple[float, str]],
    empty: Sequence[str],
    firing: Sequence[str],
) -> None:
    def show(target: Console) -> None:
        target.print(machine)
        for at_s, name in happened:
            target.print(f"{at_s:6.0f} s  {name}")
        target.print(f"panels with nothing to show: {', '.join(empty) or 'none'}")
        target.print(f"alerts that would follow if it went on: {', '.join(firing) or 'none'}")

    body = {"machine": machine, "happened": happened, "empty": list(empty), "firing": list(firing)}
    write_tables(out, NAME, console, show, body)


def _find_metrics(log: Path) -> str:
    """Reads where the server's metrics are off its log."""
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and json.loads(line)["event"] == "metrics":
            return str(json.loads(line)["address"])
    raise AssertionError("a server that was started with a metrics port logs its address")


def _write_experiment(folder: Path) -> Path:
    """Writes an experiment of variety that every user takes part in."""
    now = datetime.now(UTC)
    variants = [
        {"name": "control", "share_bps": 5000},
        {"name": "varied", "share_bps": 5000, "settings": {"diversity_trade_off": 0.7}},
    ]
    experiment = {
        "name": "variety",
        "salt": "dashboard",
        "start_time": (now - timedelta(days=365)).isoformat(),
        "end_time": (now + timedelta(days=365)).isoformat(),
        "variants": variants,
    }
    path = folder / "experiments.json"
    path.write_text(json.dumps({"experiments": [experiment]}), encoding="utf-8")
    return path


if __name__ == "__main__":
    sys.exit(main())
