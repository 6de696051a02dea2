"""What the program does before it serves and after it is told to stop: real processes."""

import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from server.users.opening import StoreAddress, fill_store
from suitability.policy import default_policy_path
from tests.server.cases import eligible_user
from tests.server.conftest import (
    CLOCK,
    ROOT,
    Platform,
    Server,
    count_codes,
    read_port,
    run_command,
    start_server,
    write_tables,
)
from tests.server.wire import recommend, to_user


def assert_refused(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert done.returncode == 1
    # Beside it may be lines of the log.
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("name", ["index.faiss", "products.parquet"])
def test_a_flipped_byte_in_the_bundle_refuses_to_start_and_names_the_file(
    platform: Platform, tmp_path: Path, name: str
) -> None:
    bundles = tmp_path / "bundles"
    shutil.copytree(platform.bundles, bundles)
    path = bundles / "test-1" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    assert_refused(run_command("--bundles", str(bundles), "--port", "0"), name)


def test_missing_bundles_refuse_to_start(tmp_path: Path) -> None:
    assert_refused(run_command("--bundles", str(tmp_path / "none"), "--port", "0"), "none")


def test_a_taken_port_refuses_to_start_and_names_the_address(platform: Platform) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(
            run_command("--bundles", str(platform.bundles), "--port", str(port)), f"127.0.0.1:{port}"
        )


def test_a_policy_that_fails_lint_refuses_to_start(platform: Platform, tmp_path: Path) -> None:
    values = json.loads(default_policy_path().read_bytes())
    values["risk_matrix"]["CN5"]["0"] = 5
    policy = tmp_path / "loose.json"
    policy.write_text(json.dumps(values))
    done = run_command("--bundles", str(platform.bundles), "--port", "0", "--policy", str(policy))
    assert_refused(done, "risk_matrix.CN5")


def test_a_device_that_is_not_there_refuses_to_start(platform: Platform) -> None:
    done = run_command("--bundles", str(platform.bundles), "--port", "0", "--device", "cuda")
    assert_refused(done, "cuda")


def test_a_missing_store_refuses_to_start(platform: Platform, tmp_path: Path) -> None:
    done = run_command(
        "--bundles", str(platform.bundles), "--port", "0", "--store", str(tmp_path / "none.sqlite")
    )
    assert_refused(done, "none.sqlite")


def test_assumed_profiles_are_served_only_with_leave_and_say_so(platform: Platform, tmp_path: Path) -> None:
    write_tables(tmp_path, {"ana": eligible_user(5)}, sorted(platform.products), assumed=("risk_level",))
    store = tmp_path / "users.sqlite"
    fill_store(
        StoreAddress(str(store)),
        profiles=tmp_path / "profiles.parquet",
        interactions=tmp_path / "interactions.parquet",
        force=False,
        on_progress=lambda *_: None,
    )
    plan = ("--bundles", str(platform.bundles), "--store", str(store), "--clock", CLOCK)
    assert_refused(run_command(*plan, "--port", "0"), "--allow-assumed")
    with (
        start_server(tmp_path / "run", *plan, "--allow-assumed") as running,
        grpc.insecure_channel(running.target) as channel,
    ):
        stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
        products = stub.Recommend(recommend(to_user("ana"), 20, domain=2)).products
        info = stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest())
        assert running.stop() == 0
    assert len(products) == 20
    assert all("W_ASSUMED_DATA" in product.warnings for product in products)
    assert all("risk_level" in product.assumed_fields for product in products)
    assert info.assumed_data


def test_a_port_file_that_cannot_be_written_refuses_to_start(platform: Platform, tmp_path: Path) -> None:
    port_file = str(tmp_path / "no folder" / "port")
    done = run_command("--bundles", str(platform.bundles), "--port", "0", "--port-file", port_file)
    assert_refused(done, "port_file")


def test_a_port_file_that_is_no_plain_file_is_left_alone(platform: Platform, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = run_command("--bundles", str(platform.bundles), "--port", "0", "--port-file", str(pipe))
    assert_refused(done, "port_file", "pipe")
    assert pipe.is_fifo()


def test_an_unknown_setting_stops_the_program_with_its_name(platform: Platform) -> None:
    done = run_command("--bundles", str(platform.bundles), "--prot", "0")
    assert done.returncode != 0
    assert "--prot" in done.stderr


def test_print_config_prints_the_settings_and_stops(platform: Platform) -> None:
    done = run_command("--bundles", str(platform.bundles), "--k-max", "77", "--print-config")
    assert done.returncode == 0
    assert json.loads(done.stdout)["k_max"] == 77


def test_sigterm_cuts_no_call_and_ends_with_0(platform: Platform, tmp_path: Path) -> None:
    request = recommend(to_user("a", eligible_user()), 200)

    def call_until_refused(stub: recommendation_pb2_grpc.RecommendationServiceStub) -> grpc.StatusCode:
        for _ in range(100_000):
            try:
                assert len(stub.Recommend(request).products) == 200
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
            next(answered)
            first_answered.set()
        raise AssertionError("the server did not stop")

    first_answered, answered, access = threading.Event(), itertools.count(), tmp_path / "access.jsonl"
    plan = ("--bundles", str(platform.bundles), "--clock", CLOCK, "--access-log", str(access))
    with (
        start_server(tmp_path, *plan) as running,
        grpc.insecure_channel(running.target) as channel,
        ThreadPoolExecutor(4) as pool,
    ):
        stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
        calls = [pool.submit(call_until_refused, stub) for _ in range(4)]
        assert first_answered.wait(timeout=120)
        assert running.stop() == 0
        ends = {future.result() for future in calls}
    # A call is answered whole or refused as worth retrying elsewhere; none is cut. gRPC itself cancels one
    # that reaches it as the port closes, which the server has not seen.
    assert ends <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    codes = count_codes(access)
    assert codes.keys() <= {"OK", "UNAVAILABLE"}
    assert codes["OK"] == next(answered)
    log = running.log.read_text()
    assert "drained" in log
    assert "Traceback" not in log


# Once the server waits, every line of Python that the wait itself runs is interrupted by a signal.
SIGNALLED_EVERYWHERE = """
import signal, sys
from server import __main__, app

def interrupt(frame, event, argument):
    if frame.f_back is not None and frame.f_back.f_code.co_name == "_serve":
        if frame.f_globals["__name__"] == "server.signals":
            signal.raise_signal(signal.SIGTERM)
            return interrupt

def announce(*arguments):
    sys.settrace(interrupt)
    announced(*arguments)

announced, app._announce = app._announce, announce
sys.exit(__main__.main(sys.argv[1:]))
"""


def test_a_signal_is_heard_at_any_moment_of_the_wait(platform: Platform, tmp_path: Path) -> None:
    """A handler that needs a lock which the wait holds would wait for ever, and the server with it."""
    port_file = tmp_path / "port"
    settings = ("--bundles", str(platform.bundles), "--port", "0", "--port-file", str(port_file))
    settings = (*settings, "--allow-unsigned")
    with subprocess.Popen([sys.executable, "-c", SIGNALLED_EVERYWHERE, *settings], cwd=ROOT) as process:
        read_port(process, port_file)
        process.terminate()
        try:
            assert process.wait(timeout=120) == 0
        finally:
            process.kill()


def test_the_start_line_says_what_really_runs(platform: Platform, tmp_path: Path) -> None:
    with start_server(tmp_path, "--bundles", str(platform.bundles), "--retriever", "exact") as running:
        assert running.stop() == 0
    line = json.loads(running.log.read_text().splitlines()[0])
    assert (line["event"], line["tower"], line["index"]) == (
        "serving",
        "CPUExecutionProvider",
        "IndexIVFFlat",
    )
    assert (line["retriever"], line["clock"], line["bundle"]) == ("exact", "system", "test-1")
    assert line["address"] == running.target


def test_importing_the_server_loads_no_training_library() -> None:
    script = (
        "import sys, server.app, server.__main__\n"
        "bad = {'torch', 'onnx', 'onnxscript', 'training', 'export'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(bad)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("redirection", [">&- 2>&-", "> /dev/full 2> /dev/full"], ids=["closed", "full"])
def test_a_log_that_cannot_be_written_stops_nothing(
    platform: Platform, tmp_path: Path, redirection: str
) -> None:
    port_file = tmp_path / "port"
    plan = (
        "--bundles",
        str(platform.bundles),
        "--clock",
        CLOCK,
        "--port",
        "0",
        "--port-file",
        str(port_file),
        "--allow-unsigned",
    )
    command = f'exec "$@" {redirection}'
    process = subprocess.Popen(["sh", "-c", command, "sh", sys.executable, "-m", "server", *plan], cwd=ROOT)
    with Server(process, read_port(process, port_file), tmp_path / "log") as running:
        with grpc.insecure_channel(running.target) as channel:
            stub = recommendation_pb2_grpc.RecommendationServiceStub(channel)
            assert stub.Recommend(recommend(to_user("a", eligible_user()), 5), timeout=30).products
        assert running.stop() == 0


def test_a_process_that_cannot_start_stops_the_program(platform: Platform, tmp_path: Path) -> None:
    done = run_command(
        "--bundles", str(tmp_path), "--port", "0", "--processes", "2", "--port-file", str(tmp_path / "port")
    )
    assert done.returncode == 1
    assert "error: processes: process " in done.stderr
    assert not (tmp_path / "port").exists()
