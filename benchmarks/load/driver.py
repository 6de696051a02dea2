"""Starts the client processes of a load run and merges what they saw."""

import multiprocessing
import queue
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import grpc
import numpy as np
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from benchmarks.errors import LoadClientError
from benchmarks.load.client import run_client
from benchmarks.load.plan import ClientReport, LoadPlan, LoadResult

START_TIMEOUT_S = 60.0


Check = Callable[[bytes, bytes], Sequence[str]]
"""Told of a serialized request and its answer; returns the answer's faults."""


def run_load(plan: LoadPlan, check: Check | None = None) -> LoadResult:
    """Runs the plan and returns what all clients saw together.

    Args:
        plan: the run.
        check: applied after the run to every distinct answer; None keeps no answers.

    Raises:
        LoadClientError: a client process failed or did not report in time.
        grpc.RpcError: the server does not answer GetServingInfo.
    """
    plan = replace(plan, keep_answers=check is not None)
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork.
    reports: Queue[ClientReport] = context.Queue()
    ready = context.Barrier(plan.client_count + 1)
    clients = [
        context.Process(target=run_client, args=(plan, client, ready, reports), daemon=True)
        for client in range(plan.client_count)
    ]
    for process in clients:
        process.start()
    try:
        _wait_until_connected(ready, clients)
        cpu_before_s = read_server_cpu_s(plan.target)
        ready.wait(timeout=START_TIMEOUT_S)
        found = _collect(plan, clients, reports)
        cpu_s = read_server_cpu_s(plan.target) - cpu_before_s
    finally:
        for process in clients:
            process.join(timeout=5.0)
            if process.is_alive():
                process.kill()
    result = merge_reports(plan, found, cpu_s)
    return result if check is None else check_answers(plan, found, result, check)


def check_answers(
    plan: LoadPlan, reports: Sequence[ClientReport], result: LoadResult, check: Check
) -> LoadResult:
    """Checks every distinct answer of a run, when no client competes for the server's cores any more."""
    answers = frozenset().union(*(report.answers for report in reports))
    faulty = sum(bool(check(plan.requests[request], answer)) for request, answer in answers)
    return replace(result, checked_count=len(answers), faulty_count=faulty)


def merge_reports(plan: LoadPlan, reports: list[ClientReport], server_cpu_s: float) -> LoadResult:
    """Merges the clients' reports.

    Args:
        plan: the run.
        reports: one per client, at least one.
        server_cpu_s: CPU seconds the server used during the run.
    """
    latencies_ms = np.array([value * 1e3 for report in reports for value in report.latencies_s])  # [answered]
    errors: Counter[str] = Counter()
    for report in reports:
        errors.update(report.error_counts)
    elapsed_s = max(report.end_s for report in reports) - min(report.start_s for report in reports)
    answered = latencies_ms.size
    p50, p95, p99, longest = np.percentile(latencies_ms, [50, 95, 99, 100]) if answered else np.zeros(4)
    return LoadResult(
        mode=plan.mode,
        concurrency=plan.concurrency if plan.mode == "closed" else 0,
        offered_rate=plan.rate if plan.mode == "open" else 0.0,
        answered_count=answered,
        error_counts=dict(errors),
        elapsed_s=elapsed_s,
        requests_per_s=answered / elapsed_s if elapsed_s > 0 else 0.0,
        latency_ms_p50=float(p50),
        latency_ms_p95=float(p95),
        latency_ms_p99=float(p99),
        latency_ms_max=float(longest),
        server_cpu_us_per_request=server_cpu_s * 1e6 / answered if answered else 0.0,
    )


def read_server_cpu_s(target: str) -> float:
    """Returns the CPU seconds that the server says it has used so far, all threads."""
    with grpc.insecure_channel(target) as channel:
        stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
        info = stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest(), timeout=10.0)
    return float(info.cpu_time.seconds) + info.cpu_time.nanos / 1e9


def _wait_until_connected(ready: Barrier, clients: Sequence[BaseProcess]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while ready.n_waiting < len(clients):
        failed = [process.exitcode for process in clients if process.exitcode is not None]
        if failed:
            raise LoadClientError(f"a client process ended with status {failed[0]} before sending")
        if time.monotonic() > deadline_s:
            raise LoadClientError(f"client processes were not connected within {START_TIMEOUT_S:.0f} s")
        time.sleep(0.01)


def _collect(
    plan: LoadPlan, clients: Sequence[BaseProcess], reports: "Queue[ClientReport]"
) -> list[ClientReport]:
    deadline_s = time.monotonic() + plan.duration_s + 2 * plan.timeout_s + START_TIMEOUT_S
    found: list[ClientReport] = []
    while len(found) < len(clients):
        try:
            found.append(reports.get(timeout=0.2))
        except queue.Empty:
            failed = [process.exitcode for process in clients if process.exitcode]
            if failed or time.monotonic() > deadline_s:
                status = f"ended with status {failed[0]}" if failed else "did not report in time"
                raise LoadClientError(f"a client process {status}") from None
    return found
