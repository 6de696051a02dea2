"""Two servers for the client: one with fixed answers and every kind of fault, and the real one."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from datetime import datetime
from pathlib import Path

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from prudence.v1 import admin_pb2, admin_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

ROOT = Path(__file__).resolve().parent.parent.parent
START_TIMEOUT_S = 180.0
SERVICE = "prudence.v1.RecommendationService"
DECISION = pb.Decision(bundle_version="b1", policy_hash="0123456789abcdef", request_id="r1")


class FakeService(pb_grpc.RecommendationServiceServicer):
    """Answers with one course and one fund; k = 0 is refused, the user "hurry" meets a full queue."""

    def Recommend(self, request: pb.RecommendRequest, context: grpc.ServicerContext) -> pb.RecommendResponse:
        if request.k < 1:
            refuse_k(context, request.k)
        if request.user.user_id == "hurry":
            refuse_overload(context)
        if request.user.user_id == "plain":
            context.abort(grpc.StatusCode.INTERNAL, "no details here")
        response = pb.RecommendResponse(
            products=[
                pb.RecommendedProduct(
                    product_id="C1", score=900, title="基金入门", family=pb.PRODUCT_FAMILY_COURSE
                ),
                pb.RecommendedProduct(
                    product_id="F1",
                    score=700,
                    title="Steady Fund",
                    family=pb.PRODUCT_FAMILY_FUND,
                    effective_level=2,
                    risk_score=3100,
                    risk_score_limit=request.risk_score_limit,
                    warnings=["W_ASSUMED_DATA"],
                ),
            ][: request.k],
            reasons=[pb.RESPONSE_REASON_FEWER_ELIGIBLE_THAN_K],
            withheld_counts=[
                pb.WithheldCount(
                    code="MAT_RISK_SCORE_OVER_LIMIT",
                    product_count=7,
                )
            ],
            decision=DECISION,
        )
        if request.HasField("diversity_trade_off"):
            response.diversity_trade_off = request.diversity_trade_off
        if request.user.user_id == "experimental":
            response.experiments.add(experiment="tower", variant="new")
        if request.include_trace:
            response.withheld_counts[0].example_product_id = "F9"
            response.withheld_counts[0].example_risk_score = 6100
            response.trace.CopyFrom(
                pb.Trace(
                    stages=[pb.StageTiming(stage="embed", row_count=1)],
                    batch_count=1,
                    retriever="faiss IndexFlat",
                )
            )
            response.trace.stages[0].elapsed.FromMicroseconds(1234)
        return response

    def ScoreProducts(
        self, request: pb.ScoreProductsRequest, context: grpc.ServicerContext
    ) -> pb.ScoreProductsResponse:
        return pb.ScoreProductsResponse(
            products=[pb.RecommendedProduct(product_id=request.product_ids[0], score=5)],
            withheld=[verdict(product_id) for product_id in request.product_ids[1:]],
            unknown_product_ids=["Z9"],
            decision=DECISION,
        )

    def CheckEligibility(
        self, request: pb.CheckEligibilityRequest, context: grpc.ServicerContext
    ) -> pb.CheckEligibilityResponse:
        return pb.CheckEligibilityResponse(
            products=[verdict(product_id) for product_id in request.product_ids], decision=DECISION
        )

    def SimilarProducts(
        self, request: pb.SimilarProductsRequest, context: grpc.ServicerContext
    ) -> pb.SimilarProductsResponse:
        return pb.SimilarProductsResponse(reasons=[pb.RESPONSE_REASON_NOTHING_ELIGIBLE], decision=DECISION)

    def GetServingInfo(
        self, request: pb.GetServingInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServingInfoResponse:
        return pb.GetServingInfoResponse(
            bundle_version="b1", model="two_tower", system_clock=True, k_max=1000
        )


class FakeAdmin(admin_pb2_grpc.AdminServiceServicer):
    """Has one policy and one overlay in force and takes every change whose signatures are not empty."""

    def GetPolicy(
        self, request: admin_pb2.GetPolicyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetPolicyResponse:
        return admin_pb2.GetPolicyResponse(
            policy=admin_pb2.PolicyVersion(policy_id="cn", version="2026.11", policy_hash="aa"),
            overlay=admin_pb2.PolicyOverlay(
                overlay_hash="bb", overlay_sequence=7, overlay_document='{"reason":"召回"}'.encode()
            ),
            scheduled_policies=[admin_pb2.PolicyVersion(policy_id="cn", version="2027.1", policy_hash="cc")],
            signature_required=True,
        )

    def SetOverlay(
        self, request: admin_pb2.SetOverlayRequest, context: grpc.ServicerContext
    ) -> admin_pb2.SetOverlayResponse:
        if request.signature_document == b"{}":
            info = error_details_pb2.ErrorInfo(reason="SIGNATURE_INVALID", domain="prudence")
            abort_with(context, grpc.StatusCode.FAILED_PRECONDITION, "nobody signed", [info])
        return admin_pb2.SetOverlayResponse(
            overlay_hash=request.overlay_document.hex(),
            overlay_sequence=8,
            request_id="r1",
            unknown_product_ids=["F0237", "F0238"],
            unknown_issuers=["Nobody"],
        )

    def ActivatePolicy(
        self, request: admin_pb2.ActivatePolicyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ActivatePolicyResponse:
        return admin_pb2.ActivatePolicyResponse(
            policy_hash=request.policy_document.hex(),
            scheduled=True,
            request_id="r1",
            replaced_versions=["2027.1"],
        )


def verdict(product_id: str) -> pb.ProductEligibility:
    reasons = [
        pb.EligibilityReason(code="USR_ASSESSMENT_EXPIRED", remedy="REASSESS", text="It has expired."),
        pb.EligibilityReason(code="MAT_LEVEL_OVER_TOLERANCE", remedy="NONE", waivable=True),
    ]
    return pb.ProductEligibility(product_id=product_id, known=True, reasons=reasons)


def refuse_k(context: grpc.ServicerContext, k: int) -> None:
    info = error_details_pb2.ErrorInfo(reason="FIELD_OUT_OF_RANGE", domain="prudence")
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="k", description=f"expected 1 to 1000, not {k}"
    )
    bad = error_details_pb2.BadRequest(field_violations=[violation])
    request = error_details_pb2.RequestInfo(request_id="r1")
    abort_with(context, grpc.StatusCode.INVALID_ARGUMENT, "k is out of range", [info, bad, request])


def refuse_overload(context: grpc.ServicerContext) -> None:
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(250)
    info = error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="prudence")
    abort_with(context, grpc.StatusCode.UNAVAILABLE, "the queue is full", [info, retry])


def abort_with(
    context: grpc.ServicerContext, code: grpc.StatusCode, message: str, details: list[object]
) -> None:
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    """Serves on a free loopback port and yields HOST:PORT."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2), options=[("grpc.so_reuseport", 0)])
    checks = health.HealthServicer()
    checks.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    checks.set("draining", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    pb_grpc.add_RecommendationServiceServicer_to_server(FakeService(), server)
    admin_pb2_grpc.add_AdminServiceServicer_to_server(FakeAdmin(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait(timeout=10)


@pytest.fixture(scope="session")
def real_target(tiny_bundles: Path, now: datetime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Runs the real server on a small bundle in its own process and yields HOST:PORT when ready."""
    folder = tmp_path_factory.mktemp("server")
    port_file = folder / "port"
    command = [sys.executable, "-m", "server", "--bundles", str(tiny_bundles), "--clock", now.isoformat()]
    command.append("--allow-unsigned")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--port", "0", "--port-file", str(port_file)], cwd=ROOT, stdout=log, stderr=log
        )
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not (port_file.exists() and port_file.read_text(encoding="utf-8")):
                assert process.poll() is None, (folder / "log").read_text(encoding="utf-8")
                assert time.monotonic() < deadline_s, "the server did not become ready"
                time.sleep(0.05)
            yield f"127.0.0.1:{port_file.read_text(encoding='utf-8').strip()}"
        finally:
            process.terminate()
            process.wait(timeout=120)
