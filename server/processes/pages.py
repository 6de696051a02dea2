"""Reads the metrics of every process and tells them together; a label says whose each sample is."""

import urllib.request
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Final

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

READ_S_MAX: Final = 2.0
PAGE_BYTES_MAX: Final = 16 << 20
LABEL: Final = "process"

_log = structlog.get_logger("server")


class Pages(Collector):
    """Merges the pages of processes whenever somebody reads them; a process that gives none is left out."""

    def __init__(
        self,
        addresses: Callable[[], Mapping[int, str]],
        restart_count: Callable[[], int],
        wanted_count: int,
    ) -> None:
        """Keeps what to ask.

        Args:
            addresses: host and port of the metrics of each process that serves, by its number.
            restart_count: how often any of them was started again.
            wanted_count: processes that there should be.
        """
        self._addresses = addresses
        self._restart_count = restart_count
        self._wanted_count = wanted_count

    def collect(self) -> Iterator[Metric]:
        """Reads all pages."""
        merged: dict[str, Metric] = {}
        addresses = self._addresses()
        for number, address in sorted(addresses.items()):
            for family in read_page(address):
                kept = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    kept.samples.append(sample._replace(labels={**sample.labels, LABEL: str(number)}))
        yield from merged.values()
        yield GaugeMetricFamily("prudence_processes_ready", "Processes that serve.", len(addresses))
        yield GaugeMetricFamily("prudence_processes_wanted", "Processes asked for.", self._wanted_count)
        yield CounterMetricFamily(
            "prudence_process_restarts", "Times that a process was started again.", self._restart_count()
        )


def read_page(address: str) -> list[Metric]:
    """Reads the metrics of one process; none where it is going away."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=READ_S_MAX) as page:
            text = page.read(PAGE_BYTES_MAX).decode()
        return list(text_string_to_metric_families(text))
    except (OSError, HTTPException, ValueError) as error:
        _log.warning("metrics of a process not read", address=address, error=type(error).__name__)
        return []


def register_pages(pages: Pages) -> CollectorRegistry:
    """Returns a registry of these pages; nothing is read until it is asked."""
    # Without a look at what is collected: no process serves yet.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(pages)
    return registry
