"""A Prometheus process over one server, and what it answers to a dashboard's questions."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.errors import BenchmarkInputError, ServerStartError

SCRAPE_S: Final = 1
RATE_INTERVAL: Final = "8s"
"""What stands for Grafana's $__rate_interval: several scrapes."""
START_S_MAX: Final = 30.0
_HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Series:
    """One line of a panel: its labels, and values at instants in seconds since 1970."""

    labels: dict[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    address: str

    def ask(self, expression: str, start_s: float, end_s: float) -> list[Series]:
        """Evaluates a panel's expression at every scrape between two instants."""
        asked = expression.replace("$__rate_interval", RATE_INTERVAL)
        query = {"query": asked, "start": start_s, "end": end_s, "step": SCRAPE_S}
        found = self._read("query_range", query)["data"]["result"]
        return [
            Series(
                each["metric"],
                tuple(float(at) for at, _ in each["values"]),
                tuple(float(value) for _, value in each["values"]),
            )
            for each in found
        ]

    def firing(self) -> set[str]:
        """Names the alert rules that fire or are about to."""
        return {each["labels"]["alertname"] for each in self._read("alerts", {})["data"]["alerts"]}

    def is_ready(self) -> bool:
        """Tells whether it answers."""
        try:
            return bool(self._read("query", {"query": "up"})["status"] == "success")
        except OSError:
            return False

    def _read(self, what: str, query: dict[str, Any]) -> Any:
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=START_S_MAX) as answer:
            return json.load(answer)


@contextmanager
def run_prometheus(folder: Path, metrics_address: str, rules: Path) -> Iterator[Prometheus]:
    """Runs Prometheus over one server for the length of the block.

    Args:
        folder: for its configuration, data and log.
        metrics_address: host and port of the server's metrics.
        rules: file of alert rules.

    Raises:
        BenchmarkInputError: there is no program `prometheus`.
        ServerStartError: it did not start.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise BenchmarkInputError("prometheus: no such program; say apt-get install prometheus")
    config = {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "prudence", "static_configs": [{"targets": [metrics_address]}]}],
    }
    # JSON is YAML as well.
    (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")
    address = f"{_HOST}:{_find_port()}"
    command = [program, f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}"]
    command.append(f"--storage.tsdb.path={folder / 'data'}")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - found on the path.
    try:
        running, deadline_s = Prometheus(address), time.monotonic() + START_S_MAX
        while not running.is_ready():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise ServerStartError((folder / "prometheus.log").read_text(encoding="utf-8"))
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=START_S_MAX)


def _find_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
    return port
