"""Test 21: what a server is made of: listed, pinned, hashed, not withdrawn, under named licences."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from packaging.utils import canonicalize_name

from benchmarks.errors import BenchmarkError
from benchmarks.faults.figures import FaultTest, Findings, Target
from benchmarks.faults.ground import Ground
from benchmarks.machine import ROOT

PART_COUNT: Final = 32
"""Of the list when the test was written: an empty list would have no fault."""
WITHDRAWN: Final = "yanked"
"""The word with which pip warns of a release that its index has withdrawn."""


def examine(listed: Mapping[str, Any], pins: str, resolved: Mapping[str, Any], warnings: str) -> Findings:
    """Compares what is listed with what is pinned and with what would be installed.

    Args:
        listed: deploy/sbom.json.
        pins: constraints.txt.
        resolved: pip's report of an installation of what a server needs.
        warnings: what pip said meanwhile.
    """
    parts = {canonicalize_name(part["name"]): part for part in listed["components"]}
    found = {canonicalize_name(each["metadata"]["name"]): each for each in resolved["install"]}
    pinned = {
        canonicalize_name(name): version
        for name, _, version in (line.strip().partition("==") for line in pins.splitlines())
    }
    versions = {name: each["metadata"]["version"] for name, each in found.items()}
    return Findings(
        {
            "parts": len(found),
            "parts not listed as installed": sum(
                parts.get(name, {}).get("version") != version for name, version in versions.items()
            ),
            "parts listed and not installed": len(parts.keys() - found.keys()),
            "parts without an exact pin": sum(
                pinned.get(name) != version for name, version in versions.items()
            ),
            "parts without a hash": sum(not _has_hash(each) for each in found.values()),
            "parts without a licence": sum(
                not (parts.get(name, {}).get("licenses") or each["metadata"].get("license"))
                for name, each in found.items()
            ),
            "releases withdrawn": sum(WITHDRAWN in line for line in warnings.splitlines()),
        }
    )


def run(ground: Ground, scale: float, seed: int) -> Findings:
    """Lets pip resolve what a server needs, installing nothing, and compares; nothing is drawn or scaled."""
    folder = ground.make_folder("audit")
    needs, report = folder / "requirements.txt", folder / "report.json"
    needs.write_text(_run("deploy/docker/requirements.py", "cpu").stdout, encoding="utf-8")
    resolve = ("-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report))
    said = _run(*resolve, "-c", "constraints.txt", "-r", str(needs)).stderr
    return examine(
        json.loads((ROOT / "deploy" / "sbom.json").read_bytes()),
        (ROOT / "constraints.txt").read_text(encoding="utf-8"),
        json.loads(Path(report).read_bytes()),
        said,
    )


def _has_hash(each: Mapping[str, Any]) -> bool:
    return "sha256" in each["download_info"].get("archive_info", {}).get("hashes", {})


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise BenchmarkError(f"{' '.join(arguments[:3])} ended with {done.returncode}:\n{done.stderr}")
    return done


TEST: Final = FaultTest(
    21,
    "what a server is made of: listed, pinned, hashed",
    run,
    {"parts": PART_COUNT},
    (
        Target("parts not listed as installed", "==", 0),
        Target("parts listed and not installed", "==", 0),
        Target("parts without an exact pin", "==", 0),
        Target("parts without a hash", "==", 0),
        Target("parts without a licence", "==", 0),
        Target("releases withdrawn", "==", 0),
    ),
    missing="known vulnerabilities: no database was within reach; `make audit` asks PyPI where it can",
)
