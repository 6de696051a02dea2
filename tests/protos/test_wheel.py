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
# Risk level 2 and every other fact that the gate asks for, true at the decision time of the small bundle.
USER = {
    "user_id": "u1",
    "profile": {
        "profile_as_of_time": "2026-11-22T08:00:00Z",
        "client_type": "CLIENT_TYPE_RETAIL",
        "capacity": "CIVIL_CAPACITY_FULL",
        "birth_date": {"year": 1985, "month": 5, "day": 17},
        "jurisdiction": "CN",
        "us_person": False,
        "risk_level": 2,
        "assessed_on": {"year": 2026, "month": 6, "day": 1},
        "level_changed": False,
        "level_confirmed": True,
        "assessments_today_count": 0,
        "assessments_12m_count": 1,
        "change_reported": False,
        "knowledge": {"values": {"FUND": 2}},
        "loss_capacity": 2,
        "max_loss_bps": 3000,
        "horizon_months": 60,
        "objectives": {"values": ["GROWTH"]},
        "needs": {"values": ["HEALTH"]},
        "needs_on": {"year": 2026, "month": 6, "day": 1},
        "liquid_minor": 50_000_000,
        "income_minor": 30_000_000,
        "premium_budget_minor": 5_000_000,
        "currencies": {"values": ["CNY"]},
        "held_issuer": {"values": {"elsewhere": 1_000_000}},
        "held_high_risk_minor": 0,
        "held_dup_groups": {},
        "vulnerable": False,
        "blocked": False,
        "consent_sensitive": True,
        "user_risk_band": 2,
    },
    "history": [
        {"product_id": "c002", "event_type": "EVENT_TYPE_CLICK", "event_time": "2026-11-20T08:00:00Z"}
    ],
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


def test_the_installed_command_asks_a_running_server(clean: Path, real_target: str) -> None:
    prudence, at = clean / "env" / "bin" / "prudence", ("--target", real_target)
    (clean / "user.json").write_text(json.dumps(USER), encoding="utf-8")
    user = ("--user-file", "user.json", *at)
    answer = json.loads(run(prudence, "recommend", *user, "--k", "3", "--json", folder=clean))
    assert len(answer["products"]) == 3
    assert answer["decision"]["bundle_version"] == "tiny"
    assert run(prudence, "health", *at, folder=clean) == "SERVING\n"
    assert "embed" in run(prudence, "recommend", *user, "--trace", folder=clean)
    # f005 has level 1 and a risk score of 2000; f004 has level 5, too high for a user at level 2.
    verdicts = json.loads(run(prudence, "eligible", *user, "--json", "f005", "f004", folder=clean))
    assert [product.get("eligible", False) for product in verdicts["products"]] == [True, False]
    assert "f005" in run(prudence, "score", *user, "f005", folder=clean)
    assert "c001" not in run(prudence, "similar", *user, "c001", folder=clean)


def test_the_installed_command_shows_what_the_server_refused(clean: Path, real_target: str) -> None:
    command = [clean / "env" / "bin" / "prudence", "recommend", "--target", real_target, "--user", "u1"]
    done = subprocess.run([*command, "--k", "0"], capture_output=True, text=True, check=False, timeout=180)
    assert (done.returncode, done.stdout) == (1, "")
    assert "INVALID_ARGUMENT" in done.stderr
    assert done.stderr.count("k: expected") == 1


def test_the_installed_stubs_call_a_running_server(clean: Path, real_target: str) -> None:
    program = """
import sys, grpc
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc
with grpc.insecure_channel(sys.argv[1]) as channel:
    stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
    print(stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest(), timeout=10).bundle_version)
"""
    python = clean / "env" / "bin" / "python"
    assert run(python, "-c", program, real_target, folder=clean) == "tiny\n"
