"""Starts a real server process, waits until it is ready, and stops it."""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prudence.v1 import admin_pb2_grpc, recommendation_pb2_grpc

from benchmarks.errors import ServerStartError
from benchmarks.machine import ROOT

SERVICE = "prudence.v1.RecommendationService"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 30.0
LOG_TAIL_LINES = 15
MESSAGE_BYTES_MAX = 64 * 1024 * 1024

Stub = recommendation_pb2_grpc.RecommendationServiceStub
AdminStub = admin_pb2_grpc.AdminServiceStub


@dataclass(frozen=True)
class ServerPlan:
    """What to serve and how; None leaves the server's own default."""

    bundles: Path
    store: Path | None = None
    policy: Path | None = None
    policy_keys: Path | None = None
    policy_state: Path | None = None
    clock: str | None = None
    device: str = "cpu"
    threads: int = 1
    allow_assumed: bool = False
    options: tuple[str, ...] = ()  # Further ones, as on the command line.
    program: tuple[str, ...] = ("server",)  # Or a module that breaks something and then runs the server.

    def command(self) -> list[str]:
        """Returns the command line, without the port."""
        options = {
            "--bundles": self.bundles,
            "--store": self.store,
            "--policy": self.policy,
            "--policy-keys": self.policy_keys,
            "--policy-state": self.policy_state,
            "--clock": self.clock,
            "--device": self.device,
            "--threads": self.threads,
        }
        command = ["python", "-m", *self.program]
        for name, value in options.items():
            if value is not None:
                command += [name, str(value)]
        # What is served here was built by the program that serves it.
        command.append("--allow-unsigned")
        return [*command, *self.options, *(["--allow-assumed"] if self.allow_assumed else [])]


@dataclass(frozen=True)
class RunningServer:
    """A server that is ready."""

    target: str
    pid: int
    ready_s: float


@contextmanager
def run_server(plan: ServerPlan, log: Path) -> Iterator[RunningServer]:
    """Runs a server on a free loopback port for the length of the block.

    Args:
        plan: what to serve.
        log: file for what the server writes.

    Raises:
        ServerStartError: the server ended, or was not ready in time; the message holds the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, log.open("wb") as output:
        port_file = Path(directory) / "port"
        command = [sys.executable, *plan.command()[1:], "--port", "0", "--port-file", str(port_file)]
        start_s = time.monotonic()
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)  # noqa: S603
        try:
            target = _wait_until_ready(process, port_file, log)
            yield RunningServer(target, process.pid, time.monotonic() - start_s)
        finally:
            _stop(process)


@contextmanager
def open_stub(target: str) -> Iterator[Stub]:
    """Opens the service's generated stub on a target for the length of the block."""
    options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
    with grpc.insecure_channel(target, options=options) as channel:
        yield Stub(channel)


@contextmanager
def open_admin_stub(target: str) -> Iterator[AdminStub]:
    """Opens the stub through which officers change policy and overlay, for the length of the block."""
    with grpc.insecure_channel(target) as channel:
        yield AdminStub(channel)


def _wait_until_ready(process: "subprocess.Popen[bytes]", port_file: Path, log: Path) -> str:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise ServerStartError(f"the server ended with status {process.returncode}:\n{read_tail(log)}")
        if port_file.is_file() and (port := port_file.read_text(encoding="utf-8").strip()):
            target = f"127.0.0.1:{port}"
            if _is_serving(target):
                return target
        time.sleep(0.05)
    raise ServerStartError(f"the server was not ready within {START_TIMEOUT_S:.0f} s:\n{read_tail(log)}")


def _is_serving(target: str) -> bool:
    with grpc.insecure_channel(target) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2.0)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def read_tail(log: Path) -> str:
    """Returns the last lines of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-LOG_TAIL_LINES:])
