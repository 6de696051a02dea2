"""Bad input to a running server: the right code, the field at fault, and no text that is not the caller's."""

import math
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prudence.v1 import profile_pb2, recommendation_pb2, recommendation_pb2_grpc

from tests.server.cases import NOW, eligible_user
from tests.server.conftest import Server
from tests.server.wire import recommend, to_user

Stub = recommendation_pb2_grpc.RecommendationServiceStub
Request = recommendation_pb2.RecommendRequest

USER = to_user("a", eligible_user())
LONG = "x" * 129


def history(count: int, event_type: int = 3) -> profile_pb2.User:
    return to_user("a", eligible_user(), [("x0001", event_type, NOW)] * count)


def mixed_history() -> profile_pb2.User:
    events = [("x0001", 3, NOW), ("x0002", 3, NOW), ("x0003", 3, NOW), ("x0004", 0, NOW)]
    return to_user("a", eligible_user(), events)


RECOMMEND_CASES: dict[str, tuple[Callable[[], Request], str]] = {
    "k of 0": (lambda: recommend(USER, 0), "k"),
    "k of -1": (lambda: recommend(USER, -1), "k"),
    "k over the limit": (lambda: recommend(USER, 1001), "k"),
    "k of two thousand million": (lambda: recommend(USER, 2**31 - 1), "k"),
    "no user": (lambda: Request(k=5), "user"),
    "empty user id": (lambda: recommend(to_user("", eligible_user())), "user.user_id"),
    "long user id": (lambda: recommend(to_user(LONG)), "user.user_id"),
    "unknown event type": (lambda: recommend(history(1, 77)), "user.history[0].event_type"),
    "negative event type": (lambda: recommend(history(1, -3)), "user.history[0].event_type"),
    "unspecified event type": (lambda: recommend(mixed_history()), "user.history[3].event_type"),
    "long history": (lambda: recommend(history(1001)), "user.history"),
    "history alone": (lambda: recommend(to_user("a", None, [("x0001", 3, NOW)])), "user.history"),
    "unknown domain": (lambda: recommend(USER, domain=9), "domain"),
    "limit below 0": (lambda: recommend(USER, risk_score_limit=-1), "risk_score_limit"),
    "limit over 10000": (lambda: recommend(USER, risk_score_limit=10_001), "risk_score_limit"),
    "trade-off below 0": (lambda: recommend(USER, diversity_trade_off=-0.01), "diversity_trade_off"),
    "trade-off over 1": (lambda: recommend(USER, diversity_trade_off=1.01), "diversity_trade_off"),
    "trade-off of NaN": (lambda: recommend(USER, diversity_trade_off=math.nan), "diversity_trade_off"),
    "tenant": (lambda: recommend(USER, tenant_id="other"), "tenant_id"),
    "long include list": (
        lambda: recommend(USER, include_product_ids=["x"] * 10_001),
        "include_product_ids",
    ),
    "long exclude list": (
        lambda: recommend(USER, exclude_product_ids=["x"] * 10_001),
        "exclude_product_ids",
    ),
    "long request id": (
        lambda: Request(user=USER, k=1, context=recommendation_pb2.RequestContext(request_id=LONG)),
        "context.request_id",
    ),
    "long placement": (
        lambda: Request(user=USER, k=1, context=recommendation_pb2.RequestContext(placement=LONG)),
        "context.placement",
    ),
}


def details_of(error: grpc.RpcError, kind: type[Any]) -> Any:
    status = rpc_status.from_call(error)
    assert status is not None
    for detail in status.details:
        if detail.Is(kind.DESCRIPTOR):
            found = kind()
            detail.Unpack(found)
            return found
    raise AssertionError(status)


def assert_field(error: grpc.RpcError, field: str) -> None:
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    info = details_of(error, error_details_pb2.ErrorInfo)
    assert (info.domain, info.reason) == ("prudence", "FIELD_INVALID")
    request = details_of(error, error_details_pb2.BadRequest)
    assert [violation.field for violation in request.field_violations] == [field]


@pytest.mark.parametrize("case", sorted(RECOMMEND_CASES))
def test_recommend_names_the_field_of(stub: Stub, case: str) -> None:
    make, field = RECOMMEND_CASES[case]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recommend(make())
    assert_field(caught.value, field)


@pytest.mark.parametrize(
    ("ids", "field"),
    [([], "product_ids"), (["a"] * 10_001, "product_ids"), (["a", "b", "a"], "product_ids[2]")],
    ids=["none", "too many", "repeated"],
)
def test_named_products_must_be_distinct_and_within_the_limit(stub: Stub, ids: list[str], field: str) -> None:
    for call, kind in (
        (stub.ScoreProducts, recommendation_pb2.ScoreProductsRequest),
        (stub.CheckEligibility, recommendation_pb2.CheckEligibilityRequest),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(kind(user=USER, product_ids=ids))
        assert_field(caught.value, field)


def test_an_unknown_intent_is_refused(stub: Stub) -> None:
    request = recommendation_pb2.CheckEligibilityRequest(user=USER, product_ids=["a"], intent=5)  # type: ignore[arg-type]
    with pytest.raises(grpc.RpcError) as caught:
        stub.CheckEligibility(request)
    assert_field(caught.value, "intent")


def test_a_batch_of_none_or_too_many_is_refused(stub: Stub) -> None:
    for requests in ([], [recommend(to_user("a"), 1)] * 257):
        with pytest.raises(grpc.RpcError) as caught:
            stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests))
        assert_field(caught.value, "requests")


def test_a_batch_that_wants_too_much_in_all_is_refused(stub: Stub) -> None:
    requests = [recommend(to_user("a"), 1000)] * 10
    stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests))
    requests.append(recommend(to_user("a"), 1))
    with pytest.raises(grpc.RpcError) as caught:
        stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests))
    assert_field(caught.value, "requests")


def test_a_batch_that_counts_the_whole_domain_too_often_is_refused(stub: Stub) -> None:
    requests = [recommend(to_user("a"), 1, count_whole_domain=True)] * 16
    requests += [recommend(to_user("a"), 1)] * 16
    stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests))
    requests.append(requests[0])
    with pytest.raises(grpc.RpcError, match="count_whole_domain") as caught:
        stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests))
    assert_field(caught.value, "requests")


def test_a_product_to_start_from_that_is_unknown_is_not_found(stub: Stub) -> None:
    request = recommendation_pb2.SimilarProductsRequest(user=USER, product_id="nothing", k=3)
    with pytest.raises(grpc.RpcError) as caught:
        stub.SimilarProducts(request)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    assert details_of(caught.value, error_details_pb2.ErrorInfo).reason == "PRODUCT_UNKNOWN"


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x12\x02\x0a\xff", b"\x0a\x01\xff", b"\x12\x7f"])
def test_bytes_that_are_no_request_are_an_invalid_argument(server: Server, data: bytes) -> None:
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary("/prudence.v1.RecommendationService/Recommend")
        with pytest.raises(grpc.RpcError) as caught:
            call(data)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(caught.value, error_details_pb2.ErrorInfo).reason == "MESSAGE_MALFORMED"


def test_an_oversized_message_is_refused_by_grpc(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recommend(recommend(USER, exclude_product_ids=["x" * 1000] * 1100))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_deadline_that_has_passed_is_deadline_exceeded(stub: Stub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recommend(recommend(USER), timeout=0.000001)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_profile_values_out_of_range_count_as_missing(stub: Stub) -> None:
    for changes in ({"risk_level": 9}, {"risk_level": -1}, {"assessments_today": -4}):
        answer = stub.Recommend(recommend(to_user("a", eligible_user() | changes), 300, domain=2))
        assert all(not product.HasField("risk_score_limit") for product in answer.products)
        assert {count.code for count in answer.withheld_counts} & {
            "USR_ASSESSMENT_MISSING",
            "USR_ASSESSMENT_COUNT_UNKNOWN",
        }


def test_dates_and_times_that_do_not_exist_count_as_missing(stub: Stub) -> None:
    user = to_user("a", eligible_user())
    user.profile.assessed_on.CopyFrom(profile_pb2.Date(year=2026, month=2, day=30))
    user.profile.profile_as_of_time.seconds = 2**62
    answer = stub.Recommend(recommend(user, 300, domain=2))
    assert "USR_ASSESSMENT_MISSING" in {count.code for count in answer.withheld_counts}


def test_a_history_with_impossible_times_is_read_as_just_now_or_long_ago(stub: Stub) -> None:
    for seconds in (2**62, -(2**62)):
        user = to_user("a", eligible_user(), [("x0001", 3, NOW)])
        user.history[0].event_time.seconds = seconds
        assert len(stub.Recommend(recommend(user, 5)).products) == 5


def test_the_server_answers_after_all_of_this(stub: Stub) -> None:
    assert len(stub.Recommend(recommend(USER, 5)).products) == 5
