"""A small typed client: one method per rpc, one kind of error."""

import itertools
import uuid
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from prudence.channels import find_timeout_s, open_channels
from prudence.errors import CallFault, FieldViolation
from prudence.reasons import to_error
from prudence.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    feedback_pb2,
    feedback_pb2_grpc,
    profile_service_pb2,
    profile_service_pb2_grpc,
    risk_pb2,
    risk_pb2_grpc,
)
from prudence.v1 import recommendation_pb2 as pb
from prudence.v1 import recommendation_pb2_grpc as pb_grpc

RECOMMENDATION_SERVICE = "prudence.v1.RecommendationService"

_RequestT = TypeVar("_RequestT", bound=Message)
_ResponseT = TypeVar("_ResponseT", bound=Message)


class Client:
    """Calls one Prudence server, or equal ones behind one name; a context manager, for use by many threads.

    Every method raises CallError when the call fails: the class of its reason in `prudence.reasons`. Calls
    that change nothing, and changes of profiles, which carry an idempotency key, are repeated up to twice
    while the server is UNAVAILABLE, within the call's timeout.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float | None = None,
        channel_count: int = 1,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Opens channels to `target`, "HOST:PORT"; nothing is sent before the first call.

        Args:
            target: the server's address, or a name with several.
            timeout_s: time limit of every call; None for each method's own (`prudence.channels.TIMEOUTS_S`).
            channel_count: connections that calls take turns on.
            credentials: for a server with TLS, from `prudence.channels.read_credentials`; None for plaintext.
        """
        self._timeout_s = timeout_s
        self._channels = open_channels(target, channel_count, credentials)
        self._turns = itertools.cycle([_Stubs(channel) for channel in self._channels])

    def __enter__(self) -> Self:
        """Returns the client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the channels."""
        self.close()

    def close(self) -> None:
        """Closes the channels; the client is of no use afterwards."""
        for channel in self._channels:
            channel.close()

    def recommend(self, request: pb.RecommendRequest) -> pb.RecommendResponse:
        """Recommends up to k eligible products, best first."""
        return self._call(self._stubs.recommendation.Recommend, request)

    def batch_recommend(self, request: pb.BatchRecommendRequest) -> pb.BatchRecommendResponse:
        """Answers many recommend requests, each with its own response or error."""
        return self._call(self._stubs.recommendation.BatchRecommend, request)

    def score_products(self, request: pb.ScoreProductsRequest) -> pb.ScoreProductsResponse:
        """Scores named products and gives reasons for those that are not eligible."""
        return self._call(self._stubs.recommendation.ScoreProducts, request)

    def similar_products(self, request: pb.SimilarProductsRequest) -> pb.SimilarProductsResponse:
        """Lists eligible products close to one product."""
        return self._call(self._stubs.recommendation.SimilarProducts, request)

    def check_eligibility(self, request: pb.CheckEligibilityRequest) -> pb.CheckEligibilityResponse:
        """Says for each named product whether the user is eligible, and why not."""
        return self._call(self._stubs.recommendation.CheckEligibility, request)

    def serving_info(self) -> pb.GetServingInfoResponse:
        """Says what is being served."""
        return self._call(self._stubs.recommendation.GetServingInfo, pb.GetServingInfoRequest())

    def record_events(self, request: feedback_pb2.RecordEventsRequest) -> feedback_pb2.RecordEventsResponse:
        """Records what users did; each event has its own verdict, and one sent again counts once."""
        return self._call(self._stubs.feedback.RecordEvents, request)

    def stream_events(
        self, batches: Iterable[feedback_pb2.StreamEventsRequest]
    ) -> feedback_pb2.StreamEventsResponse:
        """Records many batches in one call, each once the one before it is durable.

        If it fails, some of the batches are recorded: send all of them again.
        """
        return self._send(
            self._stubs.feedback.StreamEvents, iter(batches), feedback_pb2.StreamEventsRequest.DESCRIPTOR.name
        )

    def score_risk(self, request: risk_pb2.ScoreRequest) -> risk_pb2.ScoreResponse:
        """Scores one borrower: the probability of default, a band, and the reasons."""
        return self._call(self._stubs.risk.Score, request)

    def batch_score_risk(self, request: risk_pb2.BatchScoreRequest) -> risk_pb2.BatchScoreResponse:
        """Scores many borrowers, each with its own response or error."""
        return self._call(self._stubs.risk.BatchScore, request)

    def risk_model(self) -> risk_pb2.GetRiskModelResponse:
        """Says which risk model serves, what it reads, and what it takes from nobody."""
        return self._call(self._stubs.risk.GetRiskModel, risk_pb2.GetRiskModelRequest())

    def policy(self) -> admin_pb2.GetPolicyResponse:
        """Says which policy and overlay are in force."""
        return self._call(self._stubs.admin.GetPolicy, admin_pb2.GetPolicyRequest())

    def set_overlay(self, request: admin_pb2.SetOverlayRequest) -> admin_pb2.SetOverlayResponse:
        """Puts a signed overlay in force."""
        return self._call(self._stubs.admin.SetOverlay, request)

    def activate_policy(self, request: admin_pb2.ActivatePolicyRequest) -> admin_pb2.ActivatePolicyResponse:
        """Activates a signed version of the policy."""
        return self._call(self._stubs.admin.ActivatePolicy, request)

    def patch_products(self, request: admin_pb2.PatchProductsRequest) -> admin_pb2.PatchProductsResponse:
        """Tightens products of the live catalogue at once; each patch has its own verdict."""
        return self._call(self._stubs.admin.PatchProducts, request)

    def catalogue(self) -> admin_pb2.GetCatalogueResponse:
        """Says which patches bind on the bundle that serves."""
        return self._call(self._stubs.admin.GetCatalogue, admin_pb2.GetCatalogueRequest())

    def list_bundles(self) -> admin_pb2.ListBundlesResponse:
        """Says which bundles are there and which of them serves."""
        return self._call(self._stubs.admin.ListBundles, admin_pb2.ListBundlesRequest())

    def load_bundle(self, request: admin_pb2.LoadBundleRequest) -> admin_pb2.LoadBundleResponse:
        """Opens and judges a bundle beside the one that serves."""
        return self._call(self._stubs.admin.LoadBundle, request)

    def activate_bundle(self, request: admin_pb2.ActivateBundleRequest) -> admin_pb2.ActivateBundleResponse:
        """Lets a bundle serve."""
        return self._call(self._stubs.admin.ActivateBundle, _with_key(request))

    def roll_back_bundle(self, request: admin_pb2.RollbackBundleRequest) -> admin_pb2.RollbackBundleResponse:
        """Lets an earlier bundle serve."""
        return self._call(self._stubs.admin.RollbackBundle, _with_key(request))

    def pin_bundle(self, request: admin_pb2.PinBundleRequest) -> admin_pb2.PinBundleResponse:
        """Pins the bundle that serves, or unpins it."""
        return self._call(self._stubs.admin.PinBundle, _with_key(request))

    def put_profile(
        self, request: profile_service_pb2.PutProfileRequest
    ) -> profile_service_pb2.PutProfileResponse:
        """Stores a whole profile."""
        return self._call(self._stubs.profile.PutProfile, _with_key(request))

    def patch_profile(
        self, request: profile_service_pb2.PatchProfileRequest
    ) -> profile_service_pb2.PatchProfileResponse:
        """Changes some fields of a stored profile."""
        return self._call(self._stubs.profile.PatchProfile, _with_key(request))

    def delete_profile(
        self, request: profile_service_pb2.DeleteProfileRequest
    ) -> profile_service_pb2.DeleteProfileResponse:
        """Removes a profile; history, holds and choices stay."""
        return self._call(self._stubs.profile.DeleteProfile, _with_key(request))

    def set_consent(
        self, request: profile_service_pb2.SetConsentRequest
    ) -> profile_service_pb2.SetConsentResponse:
        """Records that consent was given or withdrawn."""
        return self._call(self._stubs.profile.SetConsent, _with_key(request))

    def set_block(self, request: profile_service_pb2.SetBlockRequest) -> profile_service_pb2.SetBlockResponse:
        """Puts a user on hold or lifts the hold."""
        return self._call(self._stubs.profile.SetBlock, _with_key(request))

    def set_personalisation(
        self, request: profile_service_pb2.SetPersonalisationRequest
    ) -> profile_service_pb2.SetPersonalisationResponse:
        """Chooses whether behaviour and tastes may rank products."""
        return self._call(self._stubs.profile.SetPersonalisation, _with_key(request))

    def get_profile(
        self, request: profile_service_pb2.GetProfileRequest
    ) -> profile_service_pb2.GetProfileResponse:
        """Reads what is stored about a user."""
        return self._call(self._stubs.profile.GetProfile, request)

    def erase_user(
        self, request: profile_service_pb2.EraseUserRequest
    ) -> profile_service_pb2.EraseUserResponse:
        """Removes all that is stored about a user, for good."""
        return self._call(self._stubs.profile.EraseUser, request)

    def health(self, service: str = RECOMMENDATION_SERVICE) -> str:
        """Returns a status such as "SERVING"; the service "" asks only whether the process is alive."""
        request = health_pb2.HealthCheckRequest(service=service)
        response: health_pb2.HealthCheckResponse = self._call(self._stubs.health.Check, request)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    @property
    def _stubs(self) -> "_Stubs":
        return next(self._turns)

    def _call(self, method: Callable[..., _ResponseT], request: Message) -> _ResponseT:
        return self._send(method, request, request.DESCRIPTOR.name)

    def _send(self, method: Callable[..., _ResponseT], sent: object, name: str) -> _ResponseT:
        """Sends a message, or an iterator of them; `name` is the message's."""
        timeout_s = find_timeout_s(name) if self._timeout_s is None else self._timeout_s
        try:
            return method(sent, timeout=timeout_s)
        except grpc.RpcError as error:
            raise to_error(read_fault(error)) from error
        except ValueError as error:
            # What gRPC says of a channel that another thread has closed meanwhile.
            raise to_error(CallFault(code="CANCELLED", message=str(error))) from error


class _Stubs:
    """The stubs of every service on one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.recommendation = pb_grpc.RecommendationServiceStub(channel)
        self.feedback = feedback_pb2_grpc.FeedbackServiceStub(channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(channel)
        self.risk = risk_pb2_grpc.RiskServiceStub(channel)
        self.profile = profile_service_pb2_grpc.ProfileServiceStub(channel)
        self.health = health_pb2_grpc.HealthStub(channel)


def _with_key(request: _RequestT) -> _RequestT:
    """Returns the request with an idempotency key, so that it may be sent again after any failure."""
    if request.idempotency_key:  # type: ignore[attr-defined]
        return request
    keyed = type(request)()
    keyed.CopyFrom(request)
    keyed.idempotency_key = uuid.uuid4().hex  # type: ignore[attr-defined]
    return keyed


def read_fault(error: grpc.RpcError) -> CallFault:
    """Takes a failed call apart: status code, and what google.rpc.Status carries in its details."""
    assert isinstance(error, grpc.Call), "grpc raises an RpcError that is also the finished call"
    code, message = error.code().name, error.details() or "no details"
    try:
        status = rpc_status.from_call(error)
        return _read_details(code, message, status or status_pb2.Status())
    except (ValueError, OverflowError, DecodeError) as fault:
        # The trailer contradicts the call or is spoilt: something between us and the server rewrote it.
        return CallFault(code=code, message=f"{message} (details unreadable: {fault})")


def _read_details(code: str, message: str, status: status_pb2.Status) -> CallFault:
    info, bad, retry, request = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.RequestInfo(),
    )
    found = {
        type(part) for part in (info, bad, retry, request) for detail in status.details if detail.Unpack(part)
    }
    delay_s = retry.retry_delay.ToTimedelta().total_seconds()
    return CallFault(
        code=code,
        message=message,
        reason=info.reason,
        request_id=request.request_id,
        retry_delay_s=max(0.0, delay_s) if type(retry) in found else None,
        violations=tuple(FieldViolation(each.field, each.description) for each in bad.field_violations),
    )
