"""A server with TLS: who gets in, what they may do, and what happens when certificates change."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from prudence.client import Client
from prudence.reasons import CallerUnknownError as ClientUnknownError
from prudence.v1 import admin_pb2, admin_pb2_grpc, profile_pb2
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

from server.errors import CertificateError
from server.identity.tls import Certificates, TlsFiles
from tests.server.certificates import Authority, write_server_files
from tests.server.conftest import CLOCK, Platform, Server, run_command, start_server

FEED, BANK, OFFICE, WEB, SLOW = (
    "spiffe://t/feed",
    "spiffe://t/bank",
    "spiffe://t/office",
    "spiffe://t/web",
    "slow",
)
CALLERS = [
    {"name": FEED, "roles": ["caller"]},
    {"name": BANK, "roles": ["caller", "profile_source"]},
    {"name": OFFICE, "roles": ["auditor"]},
    {"name": WEB, "roles": ["caller"], "channel": "no such channel"},
    {"name": SLOW, "roles": ["caller"], "calls_per_s": 0.001, "burst": 1},
]
TIMEOUT_S = 120.0


@dataclass
class Secured:
    """A server with TLS, its authority, and its files."""

    server: Server
    authority: Authority
    files: dict[str, Path]
    access: Path

    def channel(self, *names: str, expired: bool = False, authority: Authority | None = None) -> grpc.Channel:
        """Opens a channel with a certificate of these names."""
        issuer = authority or self.authority
        certificate, key = issuer.issue(*names, expired=expired)
        return grpc.secure_channel(
            self.server.target,
            grpc.ssl_channel_credentials(self.authority.pem, key, certificate),
            options=[("grpc.use_local_subchannel_pool", 1)],
        )


@pytest.fixture(scope="module")
def secured(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority()
    files = write_server_files(authority, directory)
    callers, access = directory / "callers.json", directory / "access.jsonl"
    callers.write_text(json.dumps({"schema": "prudence-callers/1", "callers": CALLERS}), encoding="utf-8")
    named = [part for name, path in files.items() for part in (f"--{name}", str(path))]
    with start_server(
        directory,
        *("--bundles", str(platform.bundles), "--store", str(platform.store), "--clock", CLOCK),
        *("--callers", str(callers), "--access-log", str(access)),
        *named,
    ) as server:
        yield Secured(server, authority, files, access)
        server.stop()


def info(channel: grpc.Channel) -> pb.GetServingInfoResponse:
    with channel:
        stub = pb_grpc.RecommendationServiceStub(channel)
        return stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=TIMEOUT_S)


def recommend(channel: grpc.Channel, user: profile_pb2.User) -> pb.RecommendResponse:
    with channel:
        stub = pb_grpc.RecommendationServiceStub(channel)
        return stub.Recommend(pb.RecommendRequest(user=user, k=10), timeout=TIMEOUT_S)


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    """Makes the call, which must fail; returns code and reason."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert isinstance(caught.value, grpc.Call)
    detail = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(caught.value)
    for part in () if status is None else status.details:
        part.Unpack(detail)
    return caught.value.code().name, detail.reason


BOLD = profile_pb2.User(user_id="bold")


def test_a_known_caller_is_answered(secured: Secured) -> None:
    assert len(recommend(secured.channel(FEED), BOLD).products) == 10


@pytest.mark.parametrize("case", ["plaintext", "no certificate", "expired", "another authority"])
def test_nobody_gets_through_the_handshake_without_a_good_certificate(case: str, secured: Secured) -> None:
    target = secured.server.target
    channels = {
        "plaintext": lambda: grpc.insecure_channel(target),
        "no certificate": lambda: grpc.secure_channel(
            target, grpc.ssl_channel_credentials(secured.authority.pem)
        ),
        "expired": lambda: secured.channel(FEED, expired=True),
        "another authority": lambda: secured.channel(FEED, authority=Authority("others")),
    }
    assert refusal(lambda: recommend(channels[case](), BOLD)) == ("UNAVAILABLE", "")


@pytest.mark.parametrize("names", [(), ("spiffe://t/nobody",), (FEED, BANK), (f"{FEED}\0.example.org",)])
def test_a_certificate_of_an_unknown_name_or_of_two_callers_is_refused(
    names: tuple[str, ...], secured: Secured
) -> None:
    refused = ("PERMISSION_DENIED", "CALLER_UNKNOWN")
    assert refusal(lambda: recommend(secured.channel(*names), BOLD)) == refused
    assert refusal(lambda: info(secured.channel(*names))) == refused


def test_a_call_needs_a_role_of_its_method(secured: Secured) -> None:
    assert refusal(lambda: recommend(secured.channel(OFFICE), BOLD)) == ("PERMISSION_DENIED", "ROLE_MISSING")
    with secured.channel(OFFICE) as channel:
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        assert admin.GetPolicy(admin_pb2.GetPolicyRequest(), timeout=TIMEOUT_S).policy.version
        halt = admin_pb2.SetOverlayRequest(overlay_document=b"{}", signature_document=b"{}")
        assert refusal(lambda: admin.SetOverlay(halt, timeout=TIMEOUT_S)) == (
            "PERMISSION_DENIED",
            "ROLE_MISSING",
        )


def test_only_a_source_of_profiles_may_say_who_a_user_is(secured: Secured) -> None:
    told = profile_pb2.User(user_id="bold", profile=profile_pb2.UserProfile(risk_level=5))
    refused = ("PERMISSION_DENIED", "PROFILE_SOURCE_REQUIRED")
    assert refusal(lambda: recommend(secured.channel(FEED), told)) == refused
    assert recommend(secured.channel(BANK), told).decision.bundle_version


def test_a_caller_s_channel_is_the_one_that_suitability_sees(secured: Secured) -> None:
    shown = recommend(secured.channel(WEB), BOLD)
    assert len(shown.products) == 0
    with secured.channel(WEB) as channel:
        stub = pb_grpc.RecommendationServiceStub(channel)
        product_id = recommend(secured.channel(FEED), BOLD).products[0].product_id
        check = pb.CheckEligibilityRequest(user=BOLD, product_ids=[product_id])
        verdict = stub.CheckEligibility(check, timeout=TIMEOUT_S).products[0]
    assert "PRD_CHANNEL_NOT_PERMITTED" in {reason.code for reason in verdict.reasons}


def test_a_caller_over_its_quota_is_told_to_come_back(secured: Secured) -> None:
    with secured.channel(SLOW) as channel:
        stub = pb_grpc.RecommendationServiceStub(channel)
        stub.GetServingInfo(pb.GetServingInfoRequest(), timeout=TIMEOUT_S)
        again = pb.GetServingInfoRequest()
        assert refusal(lambda: stub.GetServingInfo(again, timeout=TIMEOUT_S)) == (
            "UNAVAILABLE",
            "QUOTA_EXCEEDED",
        )


def test_a_stranger_cannot_even_watch_health(secured: Secured) -> None:
    def watch(name: str) -> int:
        with secured.channel(name) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            return next(iter(stub.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S))).status

    assert watch(OFFICE) == health_pb2.HealthCheckResponse.SERVING
    assert refusal(lambda: watch("spiffe://t/nobody")) == ("UNIMPLEMENTED", "CALLER_UNKNOWN")


def test_a_stranger_with_our_client_is_told_so(secured: Secured) -> None:
    credentials = secured.authority.credentials("spiffe://t/nobody")
    with Client(secured.server.target, credentials=credentials) as client, pytest.raises(ClientUnknownError):
        client.serving_info()


def test_health_counts_against_no_quota(secured: Secured) -> None:
    with secured.channel(SLOW) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for _ in range(3):
            assert stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S).status


def test_the_access_log_tells_who_called_what_and_how_it_ended(secured: Secured) -> None:
    refusal(lambda: recommend(secured.channel("spiffe://t/nobody"), BOLD))
    recommend(secured.channel(FEED), BOLD)
    lines = wait_for_lines(secured.access, '"code":"OK"', "CALLER_UNKNOWN")
    method = "/prudence.v1.RecommendationService/Recommend"
    ended = {(line["caller"], line["method"], line["code"], line["reason"]) for line in lines}
    assert (FEED, method, "OK", "") in ended
    assert ("", method, "PERMISSION_DENIED", "CALLER_UNKNOWN") in ended
    assert "bold" not in secured.access.read_text()


def wait_for_lines(path: Path, *parts: str) -> list[dict[str, str]]:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not all(part in path.read_text() for part in parts):
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_certificates_are_replaced_under_load_without_a_failed_call(secured: Secured) -> None:
    old, stop, failures = secured.authority.pem, threading.Event(), []
    with secured.channel(FEED) as channel:
        stub = pb_grpc.RecommendationServiceStub(channel)

        def call_on() -> None:
            while not stop.is_set():
                try:
                    stub.Recommend(pb.RecommendRequest(user=BOLD, k=3), timeout=TIMEOUT_S)
                except grpc.RpcError as error:
                    failures.append(error)

        caller = threading.Thread(target=call_on)
        caller.start()
        newer = Authority("newer")
        certificate, key = newer.issue()
        # Half a rotation: the key is another's until the next line; what was in force stays.
        secured.files["tls-key"].write_bytes(key)
        assert info(secured.channel(FEED)).bundle_version
        secured.files["tls-certificate"].write_bytes(certificate)
        secured.files["tls-client-ca"].write_bytes(newer.pem)
        renewed = Secured(secured.server, newer, secured.files, secured.access)
        assert info(renewed.channel(FEED)).bundle_version
        stop.set()
        caller.join()
    assert failures == []
    assert secured.authority.pem == old
    assert refusal(lambda: info(secured.channel(FEED)))[0] == "UNAVAILABLE"
    secured.authority = newer


def test_files_that_do_not_fit_are_refused_at_start(tmp_path: Path) -> None:
    files = write_server_files(Authority(), tmp_path)
    paths = TlsFiles(files["tls-certificate"], files["tls-key"], files["tls-client-ca"])
    Certificates(paths)
    other, expired = Authority("others").issue()[1], Authority().issue(expired=True)
    files["tls-key"].write_bytes(other)
    with pytest.raises(CertificateError, match=r"tls_certificate .* tls_key .*key values mismatch"):
        Certificates(paths)
    files["tls-key"].unlink()
    with pytest.raises(CertificateError, match=r"tls_key .*tls-key\.pem cannot be read"):
        Certificates(paths)
    files["tls-certificate"].write_bytes(expired[0])
    files["tls-key"].write_bytes(expired[1])
    with pytest.raises(CertificateError, match=r"tls_certificate .* was good until "):
        Certificates(paths)


def test_what_cannot_replace_certificates_is_told_once_until_it_changes(tmp_path: Path) -> None:
    files = write_server_files(Authority(), tmp_path)
    certificates = Certificates(TlsFiles(files["tls-certificate"], files["tls-key"], files["tls-client-ca"]))
    key = files["tls-key"].read_bytes()
    with structlog.testing.capture_logs() as logs:
        for content in (None, b"", None, key, None):
            files["tls-key"].unlink(missing_ok=True)
            if content is not None:
                files["tls-key"].write_bytes(content)
            assert certificates._renew() is None
            assert certificates._renew() is None
    assert [line["event"] for line in logs] == ["certificates unchanged"] * 4


def test_an_authority_that_is_none_is_refused_at_start(tmp_path: Path) -> None:
    files = write_server_files(Authority(), tmp_path)
    files["tls-client-ca"].write_bytes(b"nothing")
    with pytest.raises(CertificateError, match="tls_client_ca"):
        Certificates(TlsFiles(files["tls-certificate"], files["tls-key"], files["tls-client-ca"]))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--host", "0.0.0.0"), "host 0.0.0.0 is reached by other machines"),
        (("--host", "example.org"), "allow_plaintext"),
        (("--tls-certificate", "x.pem"), "tls_key is not set"),
        (("--callers", "x.json"), "tls_certificate is not set"),
    ],
)
def test_half_a_protection_is_refused_at_start(
    arguments: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    ended = run_command("--bundles", str(tmp_path), *arguments)
    assert ended.returncode == 1
    assert named in ended.stderr
