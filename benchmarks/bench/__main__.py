"""Benchmarks a running server: `python -m benchmarks.bench`; with `profile` it says where the CPU goes.

Serves the bundle of the demonstration, or a larger one made from it, drives closed and open loops against it,
says where the time goes, and compares served answers with exact search. Results: tables, JSON and a picture.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
from prudence.v1 import recommendation_pb2 as pb
from rich.console import Console

from benchmarks.bench import cpu_profile
from benchmarks.bench.catalogue import Catalogue
from benchmarks.bench.recall import ExactSearch, RecallResult, measure_recall, open_exact
from benchmarks.bench.report import WIDTH, BenchReport, write_report
from benchmarks.bench.scene import open_scene
from benchmarks.bench.stage_times import measure_stages
from benchmarks.dataset import DataSet
from benchmarks.demo.measure import make_pool
from benchmarks.errors import BenchmarkError
from benchmarks.evaluate.bundle_scorer import open_current
from benchmarks.load.driver import Check, run_load
from benchmarks.load.plan import LoadPlan, LoadResult
from benchmarks.machine import describe_machine
from benchmarks.serving import Stub, open_stub, run_server
from benchmarks.verify.dataset import make_check
from suitability import load_policy

CONCURRENCIES = (1, 2, 4, 8, 16, 32)
PEAK_FRACTIONS = (0.25, 0.5, 0.75, 0.9)
K = 10
RECALL_K = 20
NAME = "bench"
SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the benchmark; returns 0, or 1 with a message on stderr; `profile` 2 where py-spy is missing."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["profile"]:
        return cpu_profile.main(given[1:])
    options = _parser().parse_args(given)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    try:
        _run(options, console)
    except (BenchmarkError, grpc.RpcError) as error:
        Console(stderr=True).print(f"{type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description="Benchmarks a server.")
    parser.add_argument(
        "--artifacts", type=Path, default=Path("artifacts/simulated"), help="what the demonstration made"
    )
    parser.add_argument(
        "--products", type=int, help="products of a larger catalogue, made and kept beside --artifacts"
    )
    parser.add_argument("--out", type=Path, default=Path("artifacts/bench"), help="directory for the results")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="threads of the tower and of the index, each")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each load run")
    parser.add_argument("--clients", type=int, default=2, help="client processes")
    parser.add_argument("--users", type=int, default=100, help="users whose answers are compared")
    parser.add_argument("--traces", type=int, default=500, help="requests whose stages are measured")
    return parser


def _run(options: argparse.Namespace, console: Console) -> None:
    scene = open_scene(options.artifacts, options.products, console)
    dataset, policy = scene.dataset, load_policy(scene.policy)
    plan = scene.make_plan(device=options.device, threads=options.threads)
    with run_server(plan, scene.log) as server, open_stub(server.target) as stub:
        console.print(f"server ready on {server.target} after {server.ready_s:.1f} s")
        info = stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=10.0)
        load_plan = _make_plan(server.target, dataset, options, info)
        stages = measure_stages(stub, load_plan.requests, count=options.traces)
        loads = []
        bundle = open_current(scene.artifacts.bundles)
        check = make_check(dataset, Catalogue(bundle), policy.values)
        for load in run_loads(load_plan, check):
            console.print(describe_load(load))
            loads.append(load)
        exact = open_exact(bundle, scene.artifacts.export, policy)
        recalls = _measure_recalls(stub, exact, dataset, options.users, info)
    report = BenchReport(describe_machine(), describe_serving(info), loads, recalls, stages)
    write_report(report, options.out, NAME + scene.suffix, console)


def run_loads(plan: LoadPlan, check: Check) -> Iterator[LoadResult]:
    """Runs closed loops of growing concurrency, then open loops at fractions of the best rate found.

    Args:
        plan: what the runs have in common.
        check: finds the faults of an answer.
    """
    run_load(replace(plan, mode="closed", concurrency=4, duration_s=min(1.0, plan.duration_s)))  # Warms up.
    peak = 0.0
    for concurrency in CONCURRENCIES:
        result = run_load(replace(plan, mode="closed", concurrency=concurrency), check)
        peak = max(peak, result.requests_per_s)
        yield result
    for fraction in PEAK_FRACTIONS:
        yield run_load(replace(plan, mode="open", rate=max(1.0, peak * fraction)), check)


def _make_plan(
    target: str, dataset: DataSet, options: argparse.Namespace, info: pb.GetServingInfoResponse
) -> LoadPlan:
    requests = make_pool(dataset, k=K, domain=_widest_domain(info), seed=SEED)
    return LoadPlan(
        target, requests, "closed", client_count=options.clients, duration_s=options.seconds, seed=SEED
    )


def _measure_recalls(
    stub: Stub, exact: ExactSearch, dataset: DataSet, user_count: int, info: pb.GetServingInfoResponse
) -> list[RecallResult]:
    users = [user for user in dataset.active_user_ids if user in dataset.profiles]
    chosen = [users[row] for row in np.random.default_rng(SEED).permutation(len(users))[:user_count]]
    domains = sorted({"financial", _widest_domain(info)})
    return [measure_recall(stub, exact, dataset, chosen, domain=domain, k=RECALL_K) for domain in domains]


def _widest_domain(info: pb.GetServingInfoResponse) -> str:
    return "both" if info.learning_product_count else "financial"


def describe_load(load: LoadResult) -> str:
    """Returns one line on a load run, for progress."""
    asked = f"{load.concurrency} callers" if load.mode == "closed" else f"{load.offered_rate:,.0f} offered/s"
    return (
        f"{load.mode} loop, {asked}: {load.requests_per_s:,.0f} requests/s, "
        f"p99 {load.latency_ms_p99:.2f} ms, {load.error_count} errors, "
        f"{load.faulty_count} of {load.checked_count} answers faulty"
    )


def describe_serving(info: pb.GetServingInfoResponse) -> dict[str, str]:
    """Returns what was served, for the head of a report."""
    return {
        "bundle": f"{info.bundle_version}, {info.model}, {info.embedding_dim} dimensions",
        "products": f"{info.learning_product_count} learning, {info.financial_product_count} financial",
        "runs on": f"{info.provider}, {info.index_type}, kernel {info.kernel}",
        "data": info.data_source,
    }


if __name__ == "__main__":
    sys.exit(main())
