"""The halt demonstration as a test: real servers, real callers, and no answer that disregards a halt."""

import json
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prudence.v1 import admin_pb2, admin_pb2_grpc, recommendation_pb2, recommendation_pb2_grpc

from suitability.overlay import load_overlay
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, Server, run_command, start_server
from tests.server.officers import make_overlay, make_policy, overlay_request, policy_request, write_office
from tests.server.wire import recommend, to_user

K = 20
CALLER_COUNT = 4
USER = to_user("a", eligible_user(5))


@dataclass
class Office:
    """A server that takes changes, and stubs to call it."""

    settings: tuple[str, ...]
    folder: Path
    server: Server
    calls: recommendation_pb2_grpc.RecommendationServiceStub
    admin: admin_pb2_grpc.AdminServiceStub

    def shown(self, k: int = K) -> list[str]:
        return names_of(self.calls.Recommend(recommend(USER, k)))

    def ask(self, number: int, watched: list[str]) -> list[str]:
        """Asks through one of the four calls, by turns; returns what was shown."""
        if number % 4 == 0:
            return self.shown()
        if number % 4 == 1:
            request = recommendation_pb2.BatchRecommendRequest(requests=[recommend(USER, K)] * 3)
            results = self.calls.BatchRecommend(request).results
            return [name for result in results for name in names_of(result.response)]
        if number % 4 == 2:
            named = recommendation_pb2.ScoreProductsRequest(user=USER, product_ids=watched)
            return names_of(self.calls.ScoreProducts(named))
        return names_of(self.calls.SimilarProducts(similar(watched[-1])))


def names_of(answer: Any) -> list[str]:
    return [product.product_id for product in answer.products]


@pytest.fixture
def start_office(platform: Platform, tmp_path: Path) -> Iterator[Callable[[], Office]]:
    """Starts a server on one folder of state, again and again."""
    office = write_office(tmp_path)
    settings = ("--bundles", str(platform.bundles), "--clock", CLOCK, *office)
    opened: list[tuple[Server, grpc.Channel]] = []

    def start() -> Office:
        folder = tmp_path / f"run {len(opened)}"
        server = start_server(folder, *settings)
        channel = grpc.insecure_channel(server.target)
        opened.append((server, channel))
        return Office(
            settings,
            folder,
            server,
            recommendation_pb2_grpc.RecommendationServiceStub(channel),
            admin_pb2_grpc.AdminServiceStub(channel),
        )

    yield start
    for server, channel in opened:
        channel.close()
        with server:
            server.stop()


def similar(product_id: str, k: int = K) -> recommendation_pb2.SimilarProductsRequest:
    return recommendation_pb2.SimilarProductsRequest(user=USER, product_id=product_id, k=k)


def reason_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    return error.code(), info.reason


def test_a_halt_works_from_the_next_request_of_every_call(start_office: Callable[[], Office]) -> None:
    office = start_office()
    before = office.shown()
    halted, kept = before[0], before[1]
    document = make_overlay(1, halted_products=[halted, "misspelt"], halted_issuers=["nobody"])
    changed = office.admin.SetOverlay(overlay_request(document))
    overlay = load_overlay(document)
    assert (changed.overlay_hash, changed.overlay_sequence) == (overlay.sha256, 1)
    assert (changed.unknown_product_ids, changed.unknown_issuers) == (["misspelt"], ["nobody"])

    answer = office.calls.Recommend(recommend(USER, K))
    assert len(answer.products) == K
    assert [product.product_id for product in answer.products][: K - 1] == before[1:]
    batch = recommendation_pb2.BatchRecommendRequest(requests=[recommend(USER, K)] * 2)
    results = office.calls.BatchRecommend(batch).results
    assert [result.response.products for result in results] == [answer.products] * 2
    scored = office.calls.ScoreProducts(
        recommendation_pb2.ScoreProductsRequest(user=USER, product_ids=[halted, kept])
    )
    assert [product.product_id for product in scored.products] == [kept]
    assert [reason.code for reason in scored.withheld[0].reasons] == ["PRD_HALTED"]
    near = office.calls.SimilarProducts(similar(kept, 700))
    assert len(near.products) > 100
    assert halted not in {product.product_id for product in near.products}
    checked = office.calls.CheckEligibility(
        recommendation_pb2.CheckEligibilityRequest(user=USER, product_ids=[halted, kept, "nobody's"])
    )
    assert [(each.known, each.eligible) for each in checked.products] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    for response in (answer, *(result.response for result in results), scored, near, checked):
        assert response.decision.overlay_hash == overlay.sha256
        assert response.decision.overlay_sequence == 1


def test_no_request_begun_after_the_acknowledgement_shows_what_was_halted(
    start_office: Callable[[], Office],
) -> None:
    office = start_office()
    first = office.shown()
    acknowledged: list[str] = []
    faults: list[str] = []
    answered = threading.Event()
    done = threading.Event()
    answer_count, shown_count = [0] * CALLER_COUNT, [0] * CALLER_COUNT

    def hammer(caller: int) -> None:
        while not done.is_set():
            halted = set(acknowledged)
            shown = office.ask(caller + answer_count[caller], first)
            faults.extend(f"{name} after its halt" for name in halted & set(shown))
            answer_count[caller] += 1
            shown_count[caller] += len(shown)
            answered.set()

    with ThreadPoolExecutor(CALLER_COUNT) as pool:
        callers = [pool.submit(hammer, caller) for caller in range(CALLER_COUNT)]
        for sequence in range(1, 13):
            names = first[:sequence]
            office.admin.SetOverlay(overlay_request(make_overlay(sequence, halted_products=names)))
            acknowledged.append(names[-1])
            # Each halt meets requests before, during and after it.
            answered.clear()
            assert answered.wait(timeout=120)
        done.set()
        for caller in callers:
            caller.result()
    assert faults == []
    assert min(answer_count) >= 4
    assert sum(shown_count) > 12 * K
    assert not set(first[:12]) & set(office.shown())


def test_a_halt_outlives_a_server_that_is_killed_once_it_answered(
    start_office: Callable[[], Office],
) -> None:
    office = start_office()
    before = office.shown()
    office.admin.SetOverlay(overlay_request(make_overlay(1, halted_products=before[:3])))
    office.server.process.send_signal(signal.SIGKILL)
    office.server.process.wait(timeout=120)
    again = start_office()
    assert again.shown()[: K - 3] == before[3:]
    lines = [json.loads(line) for line in again.server.log.read_text().splitlines()]
    assert [line["overlay_sequence"] for line in lines if line["event"] == "serving"] == [1]
    assert again.admin.GetPolicy(admin_pb2.GetPolicyRequest()).overlay.overlay_sequence == 1


def test_an_activated_version_is_in_force_and_named_by_every_answer_after_it(
    start_office: Callable[[], Office],
) -> None:
    office = start_office()
    old = office.admin.GetPolicy(admin_pb2.GetPolicyRequest())
    assert (old.policy.version, old.signature_required) == ("2026.11.0", True)
    assert not old.HasField("overlay")
    request = policy_request(make_policy(version="2027.1", level_cap=1))
    changed = office.admin.ActivatePolicy(request)
    assert not changed.scheduled
    answer = office.calls.Recommend(recommend(USER, 700))
    assert answer.decision.policy_hash == changed.policy_hash != old.policy.policy_hash
    assert {product.effective_level for product in answer.products} <= {0, 1}
    info = office.calls.GetServingInfo(recommendation_pb2.GetServingInfoRequest())
    assert (info.policy_version, info.policy_hash) == ("2027.1", changed.policy_hash)
    later = policy_request(make_policy(version="2027.2", effective_from="2027-06-01T00:00:00Z"))
    assert office.admin.ActivatePolicy(later).scheduled
    now = office.admin.GetPolicy(admin_pb2.GetPolicyRequest())
    assert now.policy.policy_hash == changed.policy_hash
    assert [version.version for version in now.scheduled_policies] == ["2027.2"]
    sooner = policy_request(make_policy(version="2027.3", effective_from="2027-05-01T00:00:00Z"))
    assert office.admin.ActivatePolicy(sooner).replaced_versions == ["2027.2"]
    # Sent once more, as somebody who listened could.
    with pytest.raises(grpc.RpcError) as caught:
        office.admin.ActivatePolicy(request)
    assert reason_of(caught.value) == (grpc.StatusCode.FAILED_PRECONDITION, "POLICY_VERSION_OLD")
    with pytest.raises(grpc.RpcError, match="policy_document") as caught:
        office.admin.ActivatePolicy(admin_pb2.ActivatePolicyRequest(policy_document=b"[]"))
    assert reason_of(caught.value) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


def test_changes_and_refusals_are_logged_with_who_signed(start_office: Callable[[], Office]) -> None:
    office = start_office()
    good = overlay_request(make_overlay(2, halted_products=["x0001"]))
    good.context.request_id = "the halt"
    office.admin.SetOverlay(good)
    with pytest.raises(grpc.RpcError):
        office.admin.SetOverlay(overlay_request(make_overlay(1, halted_products=["x0001"])))
    assert office.server.stop() == 0
    lines = [json.loads(line) for line in office.server.log.read_text().splitlines()]
    accepted = next(line for line in lines if line["event"] == "change accepted")
    assert (accepted["level"], accepted["kind"], accepted["request_id"]) == ("info", "overlay", "the halt")
    assert (accepted["signers"], len(accepted["hash"])) == (["anna-1"], 64)
    refused = next(line for line in lines if line["event"] == "change refused")
    assert (refused["level"], refused["reason"]) == ("warning", "OVERLAY_SEQUENCE_OLD")


def test_a_folder_in_use_and_a_changed_log_refuse_to_start(start_office: Callable[[], Office]) -> None:
    office = start_office()
    office.admin.SetOverlay(overlay_request(make_overlay(1, halted_products=["x0001"])))

    def start_another(*words: str) -> None:
        done = run_command(*office.settings, "--port", "0")
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr
        assert all(word in done.stderr for word in words), done.stderr

    start_another("policy_state", "held by another server")
    assert office.server.stop() == 0
    log = Path(office.settings[office.settings.index("--policy-state") + 1]) / "policy-log.jsonl"
    content = bytearray(log.read_bytes())
    content[-40] ^= 1
    log.write_bytes(content)
    start_another("policy-log.jsonl", "line 2")


def test_a_server_without_keys_says_so_and_refuses_changes(platform: Platform, tmp_path: Path) -> None:
    with (
        start_server(tmp_path, "--bundles", str(platform.bundles), "--clock", CLOCK) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        admin = admin_pb2_grpc.AdminServiceStub(channel)
        assert not admin.GetPolicy(admin_pb2.GetPolicyRequest()).signature_required
        for call, request in (
            (admin.SetOverlay, overlay_request(make_overlay(1))),
            (admin.ActivatePolicy, policy_request(make_policy(version="2027.1"))),
        ):
            with pytest.raises(grpc.RpcError, match="policy_keys") as caught:
                call(request)
            assert reason_of(caught.value) == (grpc.StatusCode.FAILED_PRECONDITION, "POLICY_KEYS_MISSING")
        assert server.stop() == 0
    line: dict[str, Any] = json.loads(server.log.read_text().splitlines()[0])
    assert (line["event"], line["policy_signed"], line["overlay_sequence"]) == ("serving", False, 0)
