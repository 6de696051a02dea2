"""Every call of a running server, each answer verified by the second reading of the rules."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prudence.v1 import profile_pb2, recommendation_pb2, recommendation_pb2_grpc

from tests.server.answers import POLICY, find_faults
from tests.server.cases import CHANNEL, NOW, draw_users, eligible_user
from tests.server.checker import judge
from tests.server.conftest import Platform, Server
from tests.server.wire import as_sent, recommend, to_user

Stub = recommendation_pb2_grpc.RecommendationServiceStub

CLICK = profile_pb2.EVENT_TYPE_CLICK
FEW = [("x0001", CLICK, NOW), ("x0009", CLICK, None), ("x0016", CLICK, NOW)]


def ask(call: Any, request: Any, platform: Platform) -> Any:
    """Returns the answer of a call after checking all of it."""
    answer = call(request)
    assert find_faults(request, answer, platform) == []
    return answer


def eligible_ids(user: dict[str, Any], platform: Platform, limit: int | None = None) -> set[str]:
    return {
        product_id
        for product_id, row in platform.products.items()
        if judge(user, row, POLICY, NOW, CHANNEL, limit) == set()
    }


def test_recommend_gives_k_eligible_products_with_a_trace(stub: Stub, platform: Platform) -> None:
    user = eligible_user(5)
    answer = ask(stub.Recommend, recommend(to_user("a", user, FEW), include_trace=True), platform)
    assert len(answer.products) == 10
    assert [stage.stage for stage in answer.trace.stages] == [
        "user",
        "queue",
        "features",
        "embed",
        "retrieve",
        "score",
        "gate",
        "select",
    ]
    assert answer.trace.history_event_count == 3
    assert answer.trace.retriever == "exact"
    assert answer.trace.rows_scanned_count >= answer.trace.candidate_count >= 100
    assert answer.decision.decision_time.ToDatetime(NOW.tzinfo) == NOW
    assert (answer.decision.bundle_version, answer.decision.request_id) == ("test-1", "test")
    assert not answer.decision.system_clock
    assert answer.trace.removed_count > 0
    assert all(count.example_product_id for count in answer.withheld_counts)


def test_every_answer_for_many_kinds_of_users_passes_the_second_reading(
    stub: Stub, platform: Platform
) -> None:
    random = np.random.default_rng(11)
    shown = 0
    for number, drawn in enumerate(draw_users(random, 60)):
        user = as_sent(drawn)
        k = int(random.choice([1, 7, 50, 400]))
        domain = int(random.integers(0, 4))
        limit = None if number % 3 else int(random.choice([0, 2500, 9000]))
        request = recommend(
            to_user(f"u{number}", user, FEW),
            k,
            domain=domain,
            risk_score_limit=limit,
            allow_seen=True,
            diversity_trade_off=0.6 if number % 2 else None,
        )
        answer = ask(stub.Recommend, request, platform)
        assert {product.product_id for product in answer.products} <= eligible_ids(user, platform, limit)
        learning = {name for name, row in platform.products.items() if row.get("family") == "COURSE"}
        part = {1: learning, 2: set(platform.products) - learning}.get(domain, set(platform.products))
        assert len(answer.products) == min(k, len(eligible_ids(user, platform, limit) & part))
        shown += len(answer.products)
    assert shown > 1000


def test_learning_and_financial_domains_split_the_list(stub: Stub) -> None:
    families = {}
    for domain in (recommendation_pb2.DOMAIN_LEARNING, recommendation_pb2.DOMAIN_FINANCIAL):
        answer = stub.Recommend(recommend(to_user("a", eligible_user(), FEW), 30, domain=domain))
        families[domain] = {product.family for product in answer.products}
    course = recommendation_pb2.PRODUCT_FAMILY_COURSE
    assert families[recommendation_pb2.DOMAIN_LEARNING] == {course}
    assert course not in families[recommendation_pb2.DOMAIN_FINANCIAL]


def test_a_lower_risk_score_limit_shrinks_the_list_and_only_tightens(stub: Stub, platform: Platform) -> None:
    user = eligible_user(3)
    lists = []
    for limit in (None, 10_000, 2000, 500):
        request = recommend(
            to_user("a", user, FEW), 500, risk_score_limit=limit, domain=recommendation_pb2.DOMAIN_FINANCIAL
        )
        answer = ask(stub.Recommend, request, platform)
        lists.append({product.product_id for product in answer.products})
    assert lists[0] == lists[1]
    assert lists[0] > lists[2] > lists[3]


def test_a_bold_and_a_cautious_user_see_different_products(stub: Stub, platform: Platform) -> None:
    seen = {}
    for risk_level in (1, 5):
        user = eligible_user(risk_level)
        request = recommend(to_user("a", user, FEW), 1000, domain=2, include_trace=True)
        answer = ask(stub.Recommend, request, platform)
        seen[risk_level] = {product.product_id for product in answer.products}
    assert seen[1] < seen[5]


def test_exclude_include_and_seen_products_bound_the_list(stub: Stub) -> None:
    user = to_user("a", eligible_user(), FEW)
    everything = [product.product_id for product in stub.Recommend(recommend(user, 50)).products]
    assert not {"x0001", "x0009", "x0016"} & set(everything)
    assert {"x0016"} & {
        product.product_id for product in stub.Recommend(recommend(user, 500, allow_seen=True)).products
    }
    excluded = stub.Recommend(recommend(user, 50, exclude_product_ids=[*everything[:5], "no such product"]))
    assert [product.product_id for product in excluded.products][:45] == everything[5:50]
    included = stub.Recommend(
        recommend(user, 50, include_product_ids=[everything[30], everything[2], "nothing"])
    )
    assert [product.product_id for product in included.products] == [everything[2], everything[30]]


def test_the_same_request_gives_the_same_bytes(stub: Stub) -> None:
    request = recommend(to_user("a", eligible_user(), FEW), 40)
    answers = {stub.Recommend(request).SerializeToString(deterministic=True) for _ in range(5)}
    assert len(answers) == 1


def test_the_order_of_the_history_changes_nothing(stub: Stub) -> None:
    one = stub.Recommend(recommend(to_user("a", eligible_user(), FEW), 40))
    other = stub.Recommend(recommend(to_user("a", eligible_user(), FEW[::-1]), 40))
    assert one == other


def test_a_batch_answers_as_single_calls_do_and_keeps_errors_apart(stub: Stub) -> None:
    requests = [
        recommend(to_user(f"u{number}", eligible_user(number % 6), FEW[: number % 4]), 5 + number)
        for number in range(12)
    ]
    requests.insert(4, recommend(to_user("bad", eligible_user()), 0))
    results = stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests)).results
    error = results[4].error
    assert (error.code, error.reason, error.field) == (3, "FIELD_INVALID", "k")
    for request, result in zip(requests, results, strict=True):
        if request.k:
            assert result.response == stub.Recommend(request)


def test_concurrent_users_get_the_answers_they_get_alone(stub: Stub) -> None:
    requests = [
        recommend(
            to_user(f"u{number}", eligible_user(number % 6), [(f"x{number % 90 * 8:04}", CLICK, NOW)]),
            10,
            risk_score_limit=None if number % 2 else 1500,
        )
        for number in range(60)
    ]
    alone = [stub.Recommend(request) for request in requests]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(stub.Recommend, requests))
    assert together == alone


def test_stored_users_are_served_by_id_alone(stub: Stub, platform: Platform) -> None:
    for user_id in ("bold", "cautious"):
        answer = ask(stub.Recommend, recommend(to_user(user_id), 30), platform)
        assert len(answer.products) == 30
        assert not answer.reasons


@pytest.mark.parametrize("user_id", ["blocked", "withdrawn"])
def test_a_stored_hold_wins_over_an_inline_profile(stub: Stub, user_id: str) -> None:
    for user in (to_user(user_id), to_user(user_id, eligible_user(), FEW)):
        answer = stub.Recommend(recommend(user, 20))
        assert {product.family for product in answer.products} == {recommendation_pb2.PRODUCT_FAMILY_COURSE}
        assert "USR_RESTRICTED" not in {count.code for count in answer.withheld_counts}
        financial = stub.Recommend(recommend(user, 20, domain=recommendation_pb2.DOMAIN_FINANCIAL))
        assert list(financial.reasons) == [recommendation_pb2.RESPONSE_REASON_NOTHING_ELIGIBLE]


def test_an_unknown_user_sees_learning_content_only(stub: Stub) -> None:
    answer = stub.Recommend(recommend(to_user("never heard of"), 20))
    assert {product.family for product in answer.products} == {recommendation_pb2.PRODUCT_FAMILY_COURSE}
    assert recommendation_pb2.RESPONSE_REASON_USER_UNKNOWN in answer.reasons


def test_a_history_of_unknown_products_is_counted_and_explained(stub: Stub) -> None:
    history = [(f"unknown {number}", CLICK, NOW) for number in range(60)]
    answer = stub.Recommend(recommend(to_user("a", eligible_user(), history), 5, include_trace=True))
    assert (answer.trace.history_event_count, answer.trace.history_unknown_count) == (0, 60)
    assert list(answer.reasons) == [recommendation_pb2.RESPONSE_REASON_HISTORY_EMPTY]
    assert len(answer.products) == 5


def test_fewer_than_k_is_explained(stub: Stub) -> None:
    answer = stub.Recommend(recommend(to_user("a", eligible_user(), FEW), 1000))
    assert list(answer.reasons) == [recommendation_pb2.RESPONSE_REASON_FEWER_ELIGIBLE_THAN_K]


def test_score_products_splits_eligible_withheld_and_unknown(stub: Stub, platform: Platform) -> None:
    user = eligible_user(3)
    ids = [f"x{number:04}" for number in range(80)] + ["nothing", "nobody"]
    request = recommendation_pb2.ScoreProductsRequest(user=to_user("a", user, FEW), product_ids=ids)
    answer = ask(stub.ScoreProducts, request, platform)
    eligible = eligible_ids(user, platform) & set(ids)
    assert {product.product_id for product in answer.products} == eligible
    assert [entry.product_id for entry in answer.withheld] == [
        name for name in ids[:80] if name not in eligible
    ]
    assert all(entry.reasons and not entry.eligible for entry in answer.withheld)
    assert list(answer.unknown_product_ids) == ["nothing", "nobody"]


def test_scores_are_the_same_in_every_list(stub: Stub) -> None:
    user = to_user("a", eligible_user(), FEW)
    listed = {product.product_id: product.score for product in stub.Recommend(recommend(user, 30)).products}
    scored = stub.ScoreProducts(
        recommendation_pb2.ScoreProductsRequest(user=user, product_ids=list(listed))
    ).products
    assert {product.product_id: product.score for product in scored} == listed


def test_similar_products_leave_the_product_itself_out(stub: Stub, platform: Platform) -> None:
    user = eligible_user(5)
    request = recommendation_pb2.SimilarProductsRequest(user=to_user("a", user), product_id="x0008", k=20)
    answer = ask(stub.SimilarProducts, request, platform)
    assert len(answer.products) == 20
    assert "x0008" not in {product.product_id for product in answer.products}


def test_check_eligibility_names_every_code_of_every_product(stub: Stub, platform: Platform) -> None:
    ids = sorted(platform.products)
    for drawn in draw_users(np.random.default_rng(3), 12):
        user = as_sent(drawn)
        request = recommendation_pb2.CheckEligibilityRequest(
            user=to_user("a", user), product_ids=[*ids, "nothing"]
        )
        answer = ask(stub.CheckEligibility, request, platform)
        eligible = {entry.product_id for entry in answer.products if entry.eligible}
        assert eligible == eligible_ids(user, platform)
        assert (answer.products[-1].known, answer.products[-1].eligible) == (False, False)


def test_only_a_purchase_the_user_starts_has_a_waivable_code(stub: Stub) -> None:
    waivable = {}
    for intent in (recommendation_pb2.INTENT_RECOMMENDATION, recommendation_pb2.INTENT_USER_INITIATED):
        answer = stub.CheckEligibility(
            recommendation_pb2.CheckEligibilityRequest(
                user=to_user("a", eligible_user(1)),
                product_ids=[f"x{number:04}" for number in range(200)],
                intent=intent,
            )
        )
        waivable[intent] = {
            reason.code for entry in answer.products for reason in entry.reasons if reason.waivable
        }
    assert waivable == {1: set(), 2: {"MAT_LEVEL_OVER_TOLERANCE"}}


def test_serving_info_says_what_runs(stub: Stub, platform: Platform) -> None:
    info = stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest())
    assert info.learning_product_count + info.financial_product_count == len(platform.products)
    assert (info.provider, info.index_type) == ("CPUExecutionProvider", "IndexIVFFlat")
    assert info.policy_id == "cn-retail-default"
    assert info.decision_time.ToDatetime(NOW.tzinfo) == NOW
    assert info.cpu_time.ToNanoseconds() > 0
    assert not info.assumed_data


def test_health_says_serving_for_the_process_and_the_service(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        checks = health_pb2_grpc.HealthStub(channel)
        for name in ("", "prudence.v1.RecommendationService"):
            answer = checks.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_an_unknown_method_is_unimplemented(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(
            "/prudence.v1.RecommendationService/Waive",
            request_serializer=empty_pb2.Empty.SerializeToString,
        )
        with pytest.raises(grpc.RpcError) as caught:
            call(empty_pb2.Empty())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
