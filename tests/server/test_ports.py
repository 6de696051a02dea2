"""Ports: what each of them answers, to whom, and that connections end without a call being cut."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prudence.v1 import admin_pb2, admin_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server.config import load_settings
from tests.server.certificates import Authority, write_server_files
from tests.server.conftest import CLOCK, Platform, Server, run_command, start_server

CALLER, OFFICER = "spiffe://t/caller", "spiffe://t/officer"
TIMEOUT_S = 120.0
PATIENCE_S = 120.0
AGE_S = 1
INFO = pb.GetServingInfoRequest()


@dataclass
class Ports:
    """A server with TLS and all of its ports, and the authority of its callers."""

    server: Server
    authority: Authority
    access: Path

    def address(self, name: str) -> str:
        lines = [json.loads(line) for line in self.server.log.read_text().splitlines()]
        found: str = next(line[name] for line in lines if line["event"] == "serving")
        return found

    def channel(self, target: str, name: str) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.secure_channel(target, self.authority.credentials(name), options=options)


@pytest.fixture(scope="module")
def ports(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    directory = tmp_path_factory.mktemp("ports")
    authority, access, callers = Authority(), directory / "access.jsonl", directory / "callers.json"
    files = write_server_files(authority, directory)
    known = [{"name": CALLER, "roles": ["caller"]}, {"name": OFFICER, "roles": ["admin"]}]
    callers.write_text(json.dumps({"schema": "prudence-callers/1", "callers": known}), encoding="utf-8")
    with start_server(
        directory,
        *("--bundles", str(platform.bundles), "--clock", CLOCK, "--connection-s-max", str(AGE_S)),
        *("--callers", str(callers), "--access-log", str(access), "--admin-port", "0", "--probe-port", "0"),
        *(part for name, path in files.items() for part in (f"--{name}", str(path))),
    ) as server:
        yield Ports(server, authority, access)
        server.stop()


def code_of(call: object) -> grpc.StatusCode:
    """Makes the call, which must fail."""
    assert callable(call)
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert isinstance(caught.value, grpc.Call)
    code: grpc.StatusCode = caught.value.code()
    return code


def list_names(channel: grpc.Channel) -> set[str]:
    ask = reflection_pb2.ServerReflectionRequest(list_services="*")
    answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
        iter([ask]), timeout=TIMEOUT_S
    )
    return {service.name for answer in answers for service in answer.list_services_response.service}


def test_each_port_serves_its_own_methods_whichever_was_called_first(ports: Ports) -> None:
    with ports.channel(ports.address("admin_address"), OFFICER) as channel:
        admin_pb2_grpc.AdminServiceStub(channel).GetPolicy(admin_pb2.GetPolicyRequest(), timeout=TIMEOUT_S)
    with ports.channel(ports.server.target, OFFICER) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        refused = code_of(lambda: admin.GetPolicy(admin_pb2.GetPolicyRequest(), timeout=TIMEOUT_S))
        assert refused is grpc.StatusCode.UNIMPLEMENTED


def test_callers_port_serves_callers_and_no_administration(ports: Ports) -> None:
    with ports.channel(ports.server.target, OFFICER) as channel:
        assert (
            pb_grpc.RecommendationServiceStub(channel).GetServingInfo(INFO, timeout=TIMEOUT_S).k_max == 1000
        )
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        unserved = grpc.StatusCode.UNIMPLEMENTED
        assert code_of(lambda: admin.GetPolicy(admin_pb2.GetPolicyRequest(), timeout=TIMEOUT_S)) is unserved
        assert code_of(lambda: list_names(channel)) is unserved


def test_the_admin_port_serves_administration_to_its_roles_alone(ports: Ports) -> None:
    target = ports.address("admin_address")
    assert target.startswith("127.0.0.1:")
    with ports.channel(target, OFFICER) as channel:
        policy = admin_pb2_grpc.AdminServiceStub(channel).GetPolicy(
            admin_pb2.GetPolicyRequest(), timeout=TIMEOUT_S
        )
        assert policy.policy.ByteSize() > 0
        assert {"prudence.v1.AdminService", "prudence.v1.RecommendationService"} <= list_names(channel)
        service = pb_grpc.RecommendationServiceStub(channel)
        assert (
            code_of(lambda: service.GetServingInfo(INFO, timeout=TIMEOUT_S)) is grpc.StatusCode.UNIMPLEMENTED
        )
    with ports.channel(target, CALLER) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        refused = code_of(lambda: admin.GetPolicy(admin_pb2.GetPolicyRequest(), timeout=TIMEOUT_S))
        assert refused is grpc.StatusCode.PERMISSION_DENIED


def test_the_probe_port_answers_health_without_a_certificate_and_nothing_else(ports: Ports) -> None:
    with grpc.insecure_channel(ports.address("probe_address")) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "prudence.v1.RecommendationService", "prudence.v1.AdminService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT_S)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for call in (
            lambda: pb_grpc.RecommendationServiceStub(channel).GetServingInfo(INFO, timeout=TIMEOUT_S),
            lambda: list_names(channel),
        ):
            assert code_of(call) is grpc.StatusCode.UNIMPLEMENTED
        malformed = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert code_of(lambda: malformed(b"\xff\xff", timeout=TIMEOUT_S)) is grpc.StatusCode.INVALID_ARGUMENT


def test_old_connections_end_and_no_call_is_cut(ports: Ports) -> None:
    with ports.channel(ports.server.target, CALLER) as channel:
        service = pb_grpc.RecommendationServiceStub(channel)
        peers: set[str] = set()
        deadline_s = time.monotonic() + PATIENCE_S
        while len(peers) < 3:
            assert time.monotonic() < deadline_s
            service.GetServingInfo(INFO, timeout=TIMEOUT_S)
            whole = ports.access.read_text().rpartition("\n")[0]
            called = [json.loads(line) for line in whole.splitlines()]
            peers = {line["peer"] for line in called if line["caller"] == CALLER}


def test_metadata_beyond_the_limit_are_refused(ports: Ports) -> None:
    with ports.channel(ports.server.target, CALLER) as channel:
        service = pb_grpc.RecommendationServiceStub(channel)
        large = [("x-large", "a" * (17 << 10))]
        refused = code_of(lambda: service.GetServingInfo(INFO, timeout=TIMEOUT_S, metadata=large))
        assert refused is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_strangers_reach_no_administration_in_plaintext() -> None:
    open_port = ["--bundles", "b", "--host", "0.0.0.0", "--allow-plaintext"]
    assert not load_settings(open_port).serves_admin_to_callers
    assert load_settings(["--bundles", "b"]).serves_admin_to_callers
    assert not load_settings(["--bundles", "b", "--admin-port", "0"]).serves_admin_to_callers
    files = ["--tls-certificate", "c", "--tls-key", "k", "--tls-client-ca", "a", "--callers", "j"]
    assert load_settings(["--bundles", "b", "--host", "0.0.0.0", *files]).serves_admin_to_callers


def test_a_port_that_is_taken_is_named_with_its_setting(platform: Platform, ports: Ports) -> None:
    taken = ports.address("probe_address").rpartition(":")[2]
    done = run_command("--bundles", str(platform.bundles), "--port", "0", "--admin-port", taken)
    assert done.returncode == 1
    assert f"admin_port: 127.0.0.1:{taken} cannot be bound" in done.stderr
