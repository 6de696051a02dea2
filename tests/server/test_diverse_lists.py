"""Lists chosen for variety: from what is eligible alone, the same however asked for, and said to be so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from prudence.v1 import recommendation_pb2, recommendation_pb2_grpc

from index.bundle import Bundle
from server import pipeline as pipeline_module
from server.active_policy import ActivePolicy
from server.clock import Clock
from server.diversity import WHOLE
from server.messages import Domain, ListAnswer, ResponseReason
from server.pipeline import Pipeline
from server.users.directory import Directory
from suitability.overlay import load_overlay
from tests.server.cases import CHANNEL, NOW, eligible_user
from tests.server.conftest import CLOCK, Platform, start_server
from tests.server.desk import open_tiny
from tests.server.officers import make_overlay
from tests.server.test_diversity import define
from tests.server.test_lists import recommend as ask
from tests.server.wire import recommend, to_user

Stub = recommendation_pb2_grpc.RecommendationServiceStub


@pytest.fixture(scope="module")
def pipeline(tiny_bundles: Path) -> Iterator[Pipeline]:
    clock = Clock(NOW)
    active = ActivePolicy([open_tiny(tiny_bundles)], clock)
    made = Pipeline(active, Directory(None), clock=clock, channel=CHANNEL, queue_limit=8)
    yield made
    made.close()


def list_ids(answer: ListAnswer) -> list[str]:
    return [product.product_id for product in answer.products]


def diversify_by_definition(bundle: Bundle, best: ListAnswer, k: int, trade_off: int) -> list[str]:
    """What is to be chosen from the whole list by score."""
    rows = [bundle.product_ids.index(name) for name in list_ids(best)]
    vectors = bundle.item_vectors[rows, :-1].tolist()
    scores = [product.score for product in best.products]
    return [list_ids(best)[place] for place in define(scores, vectors, k, trade_off)]


@pytest.mark.parametrize("trade_off", [0, 3000, 7000, 9000])
@pytest.mark.parametrize("domain", list(Domain))
def test_a_list_is_chosen_from_all_that_is_eligible(
    pipeline: Pipeline, trade_off: int, domain: Domain
) -> None:
    everything = ask(pipeline, 90, domain=domain)  # Fewer are eligible, so that the pool is all of them.
    assert ResponseReason.FEWER_ELIGIBLE_THAN_K in everything.reasons
    answer = ask(pipeline, 10, trade_off=trade_off, domain=domain)
    bundle = pipeline.active.pin().bundle
    assert list_ids(answer) == diversify_by_definition(bundle, everything, 10, trade_off)
    assert (answer.trade_off, everything.trade_off) == (trade_off, WHOLE)
    by_id = {product.product_id: product for product in everything.products}
    assert list(answer.products) == [by_id[name] for name in list_ids(answer)]  # Verdicts are the same.


def test_everything_eligible_is_kept_in_another_order(pipeline: Pipeline) -> None:
    by_score, varied = ask(pipeline, 90), ask(pipeline, 90, trade_off=2000)
    assert list_ids(varied) != list_ids(by_score)
    assert sorted(list_ids(varied)) == sorted(list_ids(by_score))
    assert (varied.reasons, varied.withheld) == (by_score.reasons, by_score.withheld)


def test_what_is_halted_after_the_search_is_not_chosen(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = list_ids(ask(pipeline, 10, trade_off=5000))
    gate, build = pipeline.active.pin().gate, pipeline_module.build_list

    def halt(*arguments: Any) -> Any:
        gate.set_overlay(load_overlay(make_overlay(1, halted_products=before[:3])))
        return build(*arguments)

    monkeypatch.setattr(pipeline_module, "build_list", halt)
    after = list_ids(ask(pipeline, 10, trade_off=5000))
    gate.set_overlay(None)
    assert len(after) == 10
    assert not set(after) & set(before[:3])


def test_a_server_answers_the_same_alone_and_in_a_batch_and_says_how_it_chose(stub: Stub) -> None:
    user = to_user("a", eligible_user(), [("x0001", 3, NOW)])
    stated = (None, 0.5, 1.0, 0.99999, 7.0, 0.5)
    singles = [recommend(user, 12, diversity_trade_off=value) for value in stated]
    for number, single in enumerate(singles):
        single.context.request_id = str(number)
    results = stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=singles)).results
    plain, varied, off, nearly_off, refused, again = results
    assert (refused.error.reason, refused.error.field) == ("FIELD_INVALID", "diversity_trade_off")
    assert varied.response.products == again.response.products == stub.Recommend(singles[1]).products
    assert varied.response.diversity_trade_off == 0.5
    assert plain.response.products == off.response.products == nearly_off.response.products
    assert plain.response.products != varied.response.products
    assert not any(one.response.HasField("diversity_trade_off") for one in (plain, off, nearly_off))


def test_a_request_that_states_nothing_gets_the_trade_off_of_the_settings(
    platform: Platform, tmp_path: Path
) -> None:
    arguments = ("--bundles", str(platform.bundles), "--clock", CLOCK, "--diversity-trade-off", "0.5")
    user = to_user("a", eligible_user())
    with start_server(tmp_path, *arguments) as server, grpc.insecure_channel(server.target) as channel:
        stub = Stub(channel)
        info = stub.GetServingInfo(recommendation_pb2.GetServingInfoRequest())
        default, stated = (
            stub.Recommend(recommend(user, diversity_trade_off=value)) for value in (None, 1.0)
        )
    assert info.diversity_trade_off == default.diversity_trade_off == 0.5
    assert not stated.HasField("diversity_trade_off")
    assert stated.products != default.products
