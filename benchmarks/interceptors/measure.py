"""Has a server answer the same requests through every amount of door in turn, and reads its CPU time."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import numpy.typing as npt
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from benchmarks.certificates import Authority
from benchmarks.errors import ServerStartError
from benchmarks.interceptors.served import BARE, VARIANTS
from benchmarks.machine import ROOT
from server.config import Settings

CALLER: Final = "spiffe://benchmarks/caller"
START_S_MAX: Final = 120.0
TIMEOUT_S: Final = 30.0
END_S_MAX: Final = 20.0
RESAMPLE_COUNT: Final = 2000
_METHOD: Final = "/prudence.v1.RecommendationService/Recommend"


@dataclass(frozen=True)
class Overhead:
    """What one variant costs beside the bare port, with as many callers at once.

    Attributes:
        variant: as in VARIANTS.
        caller_count: callers, each with one call at a time.
        round_count: blocks of calls of each variant.
        cpu_us: CPU microseconds of the server for a call; median of rounds.
        more: share by which that is above the bare port's of the same round; median of rounds.
        more_low, more_high: its 95 % interval, by resampling rounds.
    """

    variant: str
    caller_count: int
    round_count: int
    cpu_us: float
    more: float
    more_low: float
    more_high: float


@contextmanager
def serve_variants(settings: Settings, directory: Path) -> Iterator[Mapping[str, grpc.Channel]]:
    """Serves every variant from one process; yields a caller's channel to each."""
    authority = Authority()
    certificate, key, client_ca = authority.write_server_files(directory)
    callers = directory / "callers.json"
    # A quota that is never used up: it is counted all the same.
    known = {"name": CALLER, "roles": ["caller"], "calls_per_s": 1e6}
    callers.write_text(json.dumps({"schema": "prudence-callers/1", "callers": [known]}), encoding="utf-8")
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": client_ca, "callers": callers}
    text = settings.model_copy(update=files).model_dump_json()
    (directory / "settings.json").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.interceptors.served", str(directory)]
    with ExitStack() as held, (directory / "log").open("wb") as log:
        process = held.enter_context(
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=log, stderr=log)  # noqa: S603
        )
        held.callback(_end, process)
        ports = _wait_for_ports(process, directory)
        issued = authority.issue(CALLER)
        credentials = grpc.ssl_channel_credentials(authority.pem, issued.key, issued.certificate)
        yield {
            variant: held.enter_context(grpc.secure_channel(f"127.0.0.1:{port}", credentials))
            for variant, port in ports.items()
        }


def measure(
    channels: Mapping[str, grpc.Channel],
    requests: Sequence[bytes],
    *,
    caller_count: int,
    call_count: int,
    round_count: int,
    seed: int,
) -> list[Overhead]:
    """Measures every variant, in an order drawn anew for each round.

    Args:
        channels: by variant.
        requests: serialized, drawn from with replacement; every variant of a round gets the same ones.
        caller_count: callers at once.
        call_count: calls of a block.
        round_count: rounds, after one that does not count.
        seed: draws requests and orders.
    """
    random = np.random.default_rng(seed)
    costs: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with ThreadPoolExecutor(caller_count) as callers:
        for round_ in range(round_count + 1):
            drawn = [requests[at] for at in random.integers(0, len(requests), call_count)]
            for variant in random.permutation(VARIANTS).tolist():
                cost = _run_block(channels[variant], drawn, callers)
                if round_:
                    costs[variant].append(cost)
    return [_compare(variant, caller_count, costs, random) for variant in VARIANTS]


def _compare(
    variant: str, caller_count: int, costs: Mapping[str, list[float]], random: np.random.Generator
) -> Overhead:
    cost, bare = np.array(costs[variant]), np.array(costs[BARE])  # [rounds] microseconds
    more: npt.NDArray[np.float64] = cost / bare - 1
    drawn = random.integers(0, len(more), (RESAMPLE_COUNT, len(more)))
    low, high = np.percentile(np.median(more[drawn], axis=1), [2.5, 97.5])
    return Overhead(
        variant,
        caller_count,
        len(more),
        float(np.median(cost)),
        float(np.median(more)),
        float(low),
        float(high),
    )


def _run_block(channel: grpc.Channel, requests: Sequence[bytes], callers: ThreadPoolExecutor) -> float:
    """Makes the calls; returns the server's CPU microseconds for each."""
    call = channel.unary_unary(_METHOD, request_serializer=None, response_deserializer=None)
    before_s = _read_cpu_s(channel)
    for answer in callers.map(lambda request: call(request, timeout=TIMEOUT_S), requests):
        assert answer, "every request has an answer"
    return (_read_cpu_s(channel) - before_s) * 1e6 / len(requests)


def _read_cpu_s(channel: grpc.Channel) -> float:
    stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
    used = stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest(), timeout=TIMEOUT_S).cpu_time
    return float(used.seconds) + used.nanos / 1e9


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Closes the process's standard input, which ends it."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(timeout=END_S_MAX)
    except subprocess.TimeoutExpired:
        process.kill()


def _wait_for_ports(process: "subprocess.Popen[bytes]", directory: Path) -> dict[str, int]:
    path, deadline_s = directory / "ports.json", time.monotonic() + START_S_MAX
    while not path.is_file():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise ServerStartError(f"the variants are not served:\n{(directory / 'log').read_text('utf-8')}")
        time.sleep(0.05)
    ports: dict[str, int] = json.loads(path.read_bytes())
    return ports
