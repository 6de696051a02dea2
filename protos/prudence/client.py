"""A small typed client: one method per rpc, one kind of error."""

from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from prudence.errors import CallError, CallFault, FieldViolation
from prudence.v1 import admin_pb2, admin_pb2_grpc
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

DEFAULT_TIMEOUT_S = 10.0
RECOMMENDATION_SERVICE = "prudence.v1.RecommendationService"

_RequestT = TypeVar("_RequestT", bound=Message)
_ResponseT = TypeVar("_ResponseT", bound=Message)


class Client:
    """Calls one Prudence server; usable as a context manager.

    Every method raises CallError when the call fails.
    """

    def __init__(self, target: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Opens a plaintext channel to `target`, "HOST:PORT"; nothing is sent before the first call."""
        self._timeout_s = timeout_s
        self._channel = grpc.insecure_channel(target)
        self._stub = pb_grpc.RecommendationServiceStub(self._channel)
        self._admin = admin_pb2_grpc.AdminServiceStub(self._channel)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def __enter__(self) -> Self:
        """Returns the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the channel."""
        self.close()

    def close(self) -> None:
        """Closes the channel; the client is of no use afterwards."""
        self._channel.close()

    def recommend(self, request: pb.RecommendRequest) -> pb.RecommendResponse:
        """Recommends up to k eligible products, best first."""
        return self._call(self._stub.Recommend, request)

    def batch_recommend(self, request: pb.BatchRecommendRequest) -> pb.BatchRecommendResponse:
        """Answers many recommend requests, each with its own response or error."""
        return self._call(self._stub.BatchRecommend, request)

    def score_products(self, request: pb.ScoreProductsRequest) -> pb.ScoreProductsResponse:
        """Scores named products and gives reasons for those that are not eligible."""
        return self._call(self._stub.ScoreProducts, request)

    def similar_products(self, request: pb.SimilarProductsRequest) -> pb.SimilarProductsResponse:
        """Lists eligible products close to one product."""
        return self._call(self._stub.SimilarProducts, request)

    def check_eligibility(self, request: pb.CheckEligibilityRequest) -> pb.CheckEligibilityResponse:
        """Says for each named product whether the user is eligible, and why not."""
        return self._call(self._stub.CheckEligibility, request)

    def serving_info(self) -> pb.GetServingInfoResponse:
        """Says what is being served."""
        return self._call(self._stub.GetServingInfo, pb.GetServingInfoRequest())

    def policy(self) -> admin_pb2.GetPolicyResponse:
        """Says which policy and overlay are in force."""
        return self._call(self._admin.GetPolicy, admin_pb2.GetPolicyRequest())

    def set_overlay(self, request: admin_pb2.SetOverlayRequest) -> admin_pb2.SetOverlayResponse:
        """Puts a signed overlay in force."""
        return self._call(self._admin.SetOverlay, request)

    def activate_policy(self, request: admin_pb2.ActivatePolicyRequest) -> admin_pb2.ActivatePolicyResponse:
        """Activates a signed version of the policy."""
        return self._call(self._admin.ActivatePolicy, request)

    def health(self, service: str = RECOMMENDATION_SERVICE) -> str:
        """Returns a status such as "SERVING"; the service "" asks only whether the process is alive."""
        request = health_pb2.HealthCheckRequest(service=service)
        response: health_pb2.HealthCheckResponse = self._call(self._health.Check, request)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def _call(self, method: Callable[..., _ResponseT], request: Message) -> _ResponseT:
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise CallError(read_fault(error)) from error


def read_fault(error: grpc.RpcError) -> CallFault:
    """Takes a failed call apart: status code, and what google.rpc.Status carries in its details."""
    assert isinstance(error, grpc.Call), "grpc raises an RpcError that is also the finished call"
    code, message = error.code().name, error.details() or "no details"
    try:
        status = rpc_status.from_call(error)
    except ValueError as fault:
        # The trailer contradicts the call: something between us and the server rewrote one of them.
        return CallFault(code=code, message=f"{message} (details unreadable: {fault})")
    if status is None:
        return CallFault(code=code, message=message)
    info, bad, retry, request = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.RequestInfo(),
    )
    found = {
        type(part) for part in (info, bad, retry, request) for detail in status.details if detail.Unpack(part)
    }
    return CallFault(
        code=code,
        message=message,
        reason=info.reason,
        request_id=request.request_id,
        retry_delay_s=retry.retry_delay.ToTimedelta().total_seconds() if type(retry) in found else None,
        violations=tuple(FieldViolation(each.field, each.description) for each in bad.field_violations),
    )
