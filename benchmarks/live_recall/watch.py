"""Reads what a server says of its own recall: the metrics page and the log."""

import json
import re
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import BenchmarkInputError

BANDS = ("1%", "10%", "50%", "100%")
WAIT_S_MAX = 120.0
_POLL_S = 0.1
_CALL_TIMEOUT_S = 10.0
_SAMPLE = re.compile(r"^(prudence_recall_\w+)\{(.*)\} (\S+)$")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class BandRecall:
    """What the metrics page says of one band of the eligible share.

    Attributes:
        band: its largest eligible share.
        sample_count: answers that were measured.
        recall_mean: their mean recall.
        recall_running: mean of the latest.
        alarm: whether the alarm is on.
    """

    band: str
    sample_count: int
    recall_mean: float
    recall_running: float
    alarm: bool


@dataclass(frozen=True)
class Page:
    """The recall metrics of one reading."""

    bands: tuple[BandRecall, ...]
    skipped_count: int

    @property
    def taken_count(self) -> int:
        """Returns how many samples are done with."""
        return sum(band.sample_count for band in self.bands) + self.skipped_count


def find_address(log: Path) -> str:
    """Returns the address of the metrics page from the server's log.

    Raises:
        BenchmarkInputError: the server has no such page.
    """
    for line in log.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and (entry := json.loads(line)).get("event") == "metrics":
            return str(entry["address"])
    raise BenchmarkInputError(f"{log.name}: expected a line with the address of the metrics, found none")


def list_alarms(log: Path) -> list[str]:
    """Returns the bands whose alarm the log has, in order."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line[:1] == "{"]
    return [entry["band"] for entry in entries if entry["event"] == "recall_low"]


def read_page(address: str) -> Page:
    """Reads the metrics page."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=_CALL_TIMEOUT_S) as answer:
        return parse_page(answer.read().decode())


def parse_page(text: str) -> Page:
    """Parses the metrics of recall in Prometheus' text format."""
    values: dict[tuple[str, str], float] = {}
    skipped = 0.0
    for line in text.splitlines():
        if (found := _SAMPLE.match(line)) is None:
            continue
        name, labels, value = found[1], dict(_LABEL.findall(found[2])), float(found[3])
        if name == "prudence_recall_samples_skipped_total":
            skipped += value
        elif "band" in labels and "le" not in labels:
            values[name.removeprefix("prudence_recall_"), labels["band"]] = value
    bands = [
        BandRecall(
            band,
            int(count),
            values["at_k_sum", band] / count,
            values["running", band],
            values["alarm", band] == 1,
        )
        for band in BANDS
        if (count := values.get(("at_k_count", band), 0.0)) > 0
    ]
    return Page(tuple(bands), int(skipped))


def wait_for(address: str, taken_count: int) -> Page:
    """Reads the page until so many samples are done with, WAIT_S_MAX at most."""
    deadline_s = time.monotonic() + WAIT_S_MAX
    while (page := read_page(address)).taken_count < taken_count and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    return page
