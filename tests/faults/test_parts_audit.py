"""The audit of what a server is made of notices a part that is not what the list says."""

import copy
from typing import Any

import pytest

from benchmarks.faults.audit import TEST, examine
from benchmarks.faults.figures import Findings, Verdict

LISTED = {
    "components": [
        {"name": "Typing_Extensions", "version": "4.16.0", "licenses": [{"expression": "PSF-2.0"}]},
        {"name": "protobuf", "version": "7.36.2"},
    ]
}
PINS = "# Pinned.\ntyping-extensions==4.16.0\nprotobuf==7.36.2\nunused==1.0\n"
RESOLVED = {
    "install": [
        {
            "metadata": {"name": name, "version": version, "license": licence},
            "download_info": {"archive_info": {"hashes": {"sha256": "00"}}},
        }
        for name, version, licence in (("typing_extensions", "4.16.0", ""), ("protobuf", "7.36.2", "BSD"))
    ]
}
FIGURES = [target.figure for target in TEST.targets]


def faults(findings: Findings) -> dict[str, int]:
    return {name: findings.counts[name] for name in FIGURES if findings.counts[name]}


def test_parts_that_are_what_the_list_says_have_no_fault() -> None:
    found = examine(LISTED, PINS, RESOLVED, "WARNING: something else")
    assert (faults(found), found.counts["parts"]) == ({}, 2)


def spoil(place: str) -> tuple[dict[str, Any], str, dict[str, Any], str]:
    listed, pins, resolved, warnings = copy.deepcopy(LISTED), PINS, copy.deepcopy(RESOLVED), ""
    last: dict[str, Any] = resolved["install"][1]
    match place:
        case "parts not listed as installed":
            listed["components"][1]["version"] = "7.36.1"
        case "parts listed and not installed":
            listed["components"].append({"name": "torch", "version": "2"})
        case "parts without an exact pin":
            pins = PINS.replace("protobuf==", "protobuf>=")
        case "parts without a hash":
            last["download_info"] = {}
        case "parts without a licence":
            last["metadata"]["license"] = ""
        case "releases withdrawn":
            warnings = "WARNING: The candidate selected for download is a yanked version: protobuf"
    return listed, pins, resolved, warnings


@pytest.mark.parametrize("figure", FIGURES)
def test_each_fault_is_counted_as_what_it_is(figure: str) -> None:
    assert faults(examine(*spoil(figure))) == {figure: 1}


def test_no_audit_without_a_database_is_called_complete() -> None:
    found = Findings({"parts": 32} | dict.fromkeys(FIGURES, 0))
    assert TEST.judge(found) is Verdict.SHORT
