"""The client wheel, alone in a clean environment."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
# The four requirements and what they themselves need; anything more would be forced on every caller.
ALLOWED = {
    "prudence-client",
    "grpcio",
    "grpcio-status",
    "grpcio-health-checking",
    "googleapis-common-protos",
    "protobuf",
    "typing-extensions",
}


def run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel with the pinned backend that is already here."""
    out = tmp_path_factory.mktemp("dist")
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        out,
        ROOT / "protos",
        folder=out,
    )
    return next(out.glob("prudence_client-*.whl"))


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Installs the wheel and its requirements, and nothing else, into a new environment."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", "env", folder=folder)
    install = [sys.executable, "-m", "pip", "--python", folder / "env", "install", "--quiet"]
    run(*install, "--constraint", ROOT / "constraints.txt", wheel, folder=folder)
    return folder


def test_the_wheel_holds_the_client_and_typed_stubs_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "prudence",
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info",
    }
    for needed in (
        "prudence/py.typed",
        "prudence/v1/recommendation.proto",
        "prudence/v1/recommendation_pb2_grpc.pyi",
    ):
        assert needed in names


def test_the_clean_environment_holds_grpc_and_protobuf_only(clean: Path) -> None:
    command = [sys.executable, "-m", "pip", "--python", clean / "env", "list", "--format", "json"]
    found = {each["name"].lower().replace("_", "-") for each in json.loads(run(*command, folder=clean))}
    assert found <= ALLOWED


def test_the_installed_command_calls_a_server(clean: Path, target: str) -> None:
    prudence = clean / "env" / "bin" / "prudence"
    answer = json.loads(
        run(prudence, "recommend", "--target", target, "--user", "u1", "--json", folder=clean)
    )
    assert [product["product_id"] for product in answer["products"]] == ["C1", "F1"]
    assert run(prudence, "health", "--target", target, folder=clean) == "SERVING\n"


def test_the_installed_stubs_call_a_server(clean: Path, target: str) -> None:
    program = """
import sys, grpc
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
    print(stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest(), timeout=10).bundle_version)
"""
    python = clean / "env" / "bin" / "python"
    assert run(python, "-c", program, target, folder=clean) == "b1\n"
