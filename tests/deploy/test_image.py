"""The image: serving dependencies alone, no root, and everything that is copied is there."""

import importlib.metadata
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
TRAINING = {"torch", "onnx", "onnxscript", "scikit-learn", "scipy", "optuna", "safetensors", "matplotlib"}

list_requirements = runpy.run_path(str(ROOT / "deploy" / "docker" / "requirements.py"))["list_requirements"]


def lines_of(instruction: str) -> list[str]:
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text(encoding="utf-8"))
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{instruction} ")]


def close_over(requirements: list[str]) -> set[str]:
    """Returns everything that the requirements bring along, as far as it is installed here."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        wanted = waiting.pop()
        extras = wanted.extras or {""}
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": each}) for each in extras):
            continue
        name = canonicalize_name(wanted.name)
        if name in found:
            continue
        found.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, needs):
            if need.marker is None or any(need.marker.evaluate({"extra": each}) for each in extras):
                need.marker = None
                waiting.append(need)
    return found


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_what_a_server_needs_brings_no_training_library_along(device: str) -> None:
    brought = close_over(list_requirements(device))
    assert brought & TRAINING == set()
    assert {"grpcio", "numpy", "pyarrow", "cryptography"} <= brought


def test_the_closure_would_find_torch() -> None:
    assert "torch" in close_over([*list_requirements("cpu"), "torch"])


def test_the_list_of_parts_is_that_of_the_image() -> None:
    listed = json.loads((ROOT / "deploy" / "sbom.json").read_bytes())["components"]
    versions = {canonicalize_name(each["name"]): each["version"] for each in listed}
    assert set(versions) == close_over(list_requirements("cpu")), "make sbom"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in pins if "==" in line
    }
    assert {name: pinned[name] for name in versions} == versions, "make sbom"


def test_nobody_is_root_and_the_entry_point_gets_signals() -> None:
    assert lines_of("USER") == ["10001:10001"]
    # As a list: a shell between would keep SIGTERM to itself.
    assert [json.loads(line) for line in lines_of("ENTRYPOINT")] == [["python", "-m", "server"]]
    assert lines_of("STOPSIGNAL") == ["SIGTERM"]


def test_everything_that_is_copied_is_there_and_let_through() -> None:
    let_through = {
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line[:1] == "!"
    }
    for line in lines_of("COPY"):
        if line.startswith("--from"):
            continue
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(Path(source).is_relative_to(each) for each in let_through), source


def test_the_image_says_what_the_manifests_ask_for() -> None:
    named = set(re.findall(r"image: (\S+)", (ROOT / "deploy/kubernetes/deployment.yaml").read_text()))
    version = importlib.metadata.version("prudence")
    assert named == {f"prudence:{version}"}
    assert f"-t prudence:{version} ." in DOCKERFILE.read_text()


def test_the_requirements_are_printed_one_a_line() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "docker" / "requirements.py"), "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.splitlines() == list_requirements("cpu")
