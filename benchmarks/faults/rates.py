"""Measures how many calls a server answers now, and reads its gauges and counters."""

import urllib.request
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.errors import BenchmarkInputError
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess, run_server
from benchmarks.faults.shelf import read_told, wait_until
from benchmarks.load.driver import run_load
from benchmarks.load.plan import LoadPlan

CALLER_COUNT: Final = 8
MEASURE_S: Final = 3.0
OTHERS_SHARE: Final = 1 / 3
"""Of what a closed loop reaches: that much is answered while a fault takes its part of the machine."""
GAUGES: Final = (
    "prudence_overload_under_way",
    "prudence_calls_in_flight",
    "prudence_calls_waiting",
    "prudence_searches_waiting",
)


def measure_rate(ground: Ground, server: ServerProcess, duration_s: float = MEASURE_S) -> float:
    """Returns the calls that a server answers each second to callers who wait for their answers."""
    plan = LoadPlan(
        server.target,
        ground.requests,
        "closed",
        concurrency=CALLER_COUNT,
        client_count=1,
        duration_s=duration_s,
    )
    return run_load(plan).requests_per_s


def calibrate(ground: Ground) -> float:
    """Returns the most calls a second that others may ask beside a fault, on this machine as it is."""
    with run_server(ground.make_folder("rate"), ground.settings()) as server:
        return max(1.0, measure_rate(ground, server) * OTHERS_SHARE)


def read_metrics(server: ServerProcess) -> dict[str, float]:
    """Returns every metric's value, summed over its labels but `cause`, which is added to the name.

    Raises:
        BenchmarkInputError: the server was started without `--metrics-port`.
    """
    told = read_told(server, "metrics")
    if not told:
        raise BenchmarkInputError("metrics: the server tells no address; expected --metrics-port 0")
    with urllib.request.urlopen(f"http://{told[-1]['address']}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    values: dict[str, float] = {}
    for sample in (sample for family in families for sample in family.samples):
        name = " ".join(filter(None, (sample.name, sample.labels.get("cause"))))
        values[name] = values.get(name, 0.0) + sample.value
    return values


def count_held(server: ServerProcess) -> int:
    """Returns how many gauges of calls and searches under way do not come back to 0."""

    def list_held() -> list[str]:
        values = read_metrics(server)
        return [name for name in GAUGES if values[name] != 0]

    return 0 if wait_until(lambda: not list_held()) else len(list_held())
