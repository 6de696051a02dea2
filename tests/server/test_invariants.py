"""What holds of every answer, whatever else changes: invariants of the rules, end to end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prudence.v1 import profile_pb2, recommendation_pb2, recommendation_pb2_grpc

from index.build import build_bundle
from tests.conftest import DIM
from tests.server.answers import find_faults
from tests.server.cases import NOW, eligible_product, eligible_user
from tests.server.conftest import CLOCK, Platform, Server, start_server
from tests.server.wire import recommend, to_user

Stub = recommendation_pb2_grpc.RecommendationServiceStub

CLICK = profile_pb2.EVENT_TYPE_CLICK
CANARY = "canary-7f3a91e0c5"
BASE = [eligible_product(f"b{number:03}", "FUND", 1 + number % 5) for number in range(40)]
COURSES = [eligible_product(f"c{number:03}", "COURSE") for number in range(20)]
HISTORY = [("b003", CLICK, NOW - timedelta(days=1)), ("c004", CLICK, NOW - timedelta(days=2))]
QUICK = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@contextmanager
def serve(
    make_export: Callable[..., Any], directory: Path, rows: Sequence[Any], vectors: Any = None
) -> Iterator[Stub]:
    """Serves a bundle of the given products for the length of the block."""
    case = make_export(directory / "made", rows=rows, vectors=vectors)
    bundles = directory / "bundles"
    build_bundle(export=case.export, products=case.products, policy=case.policy, bundles=bundles, version="v")
    with start_server(directory / "server", "--bundles", str(bundles), "--clock", CLOCK) as running:
        with grpc.insecure_channel(running.target) as channel:
            yield Stub(channel)
        assert running.stop() == 0


def ask(stub: Stub, *risk_levels: int, k: int = 30) -> list[recommendation_pb2.RecommendResponse]:
    users = [to_user("u", eligible_user(level), HISTORY) for level in risk_levels]
    return [stub.Recommend(recommend(user, k)) for user in users]


def list_ids(answer: recommendation_pb2.RecommendResponse) -> list[str]:
    return [product.product_id for product in answer.products]


@pytest.fixture(scope="module")
def base_answers(
    make_export: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> list[recommendation_pb2.RecommendResponse]:
    """The answers to risk levels 1, 3 and 5 over the base catalogue."""
    with serve(make_export, tmp_path_factory.mktemp("base"), [*BASE, *COURSES]) as stub:
        answers = ask(stub, 1, 3, 5)
    assert min(len(answer.products) for answer in answers) >= 20
    return answers


def test_permuted_catalogue_rows_and_commissions_change_nothing(
    make_export: Callable[..., Any], base_answers: list[Any], tmp_path: Path
) -> None:
    rows = [*BASE, *COURSES]
    order = np.random.default_rng(4).permutation(len(rows))
    permuted = [rows[position] | {"commission_bps": int(position) * 37 % 500} for position in order]
    with serve(make_export, tmp_path, permuted) as stub:
        assert ask(stub, 1, 3, 5) == base_answers


def test_an_ineligible_product_more_never_changes_a_list(
    make_export: Callable[..., Any], base_answers: list[Any], tmp_path: Path
) -> None:
    added = [
        eligible_product("z001", "FUND") | {"status": "WITHDRAWN"},
        eligible_product("z002", "FUND") | {"sale_end": NOW},
        eligible_product("z003", "INS_LINKED") | {"channels": ["branch"]},
        eligible_product("z004", "FUND") | {"licence_until": NOW},
        eligible_product("z005", "TRUST") | {"level_distributor": None},
        eligible_product("z006", "FUND") | {"risk_score": 10_001},
        eligible_product("z007", "COURSE") | {"sale_start": NOW + timedelta(seconds=1)},
    ]
    with serve(make_export, tmp_path, [*BASE, *added, *COURSES]) as stub:
        assert [list_ids(answer) for answer in ask(stub, 1, 3, 5)] == [list_ids(a) for a in base_answers]


def test_equal_scores_are_listed_by_id(make_export: Callable[..., Any], tmp_path: Path) -> None:
    ids = ["b", "a10", "a9", "Z", "é", "a"]
    rows = [eligible_product(product_id, "COURSE") for product_id in ids]
    with serve(make_export, tmp_path, rows, np.ones((len(rows), DIM), np.float32)) as stub:
        answer = stub.Recommend(recommend(to_user("u", eligible_user(), [("gone", CLICK, NOW)]), 5))
    assert len({product.score for product in answer.products}) == 1
    assert list_ids(answer) == sorted(ids, key=str.encode)[:5]


@given(
    wishes=st.dictionaries(
        st.from_regex(r"x-[a-z]{1,12}", fullmatch=True),
        st.from_regex(r"[a-z0-9]{1,9}", fullmatch=True),
        max_size=8,
    )
)
@QUICK
def test_no_header_changes_a_recommendation(stub: Stub, wishes: dict[str, str]) -> None:
    request = recommend(to_user("cautious"), 60)
    pairs = [*wishes.items(), ("x-waive", "MAT_LEVEL_OVER_TOLERANCE")]
    assert stub.Recommend(request, metadata=pairs) == stub.Recommend(request)


def test_a_confirmed_purchase_never_opens_a_recommendation(stub: Stub, platform: Platform) -> None:
    request = recommend(to_user("cautious"), 1000)
    before = stub.Recommend(request)
    ids = sorted(platform.products)
    stub.CheckEligibility(
        recommendation_pb2.CheckEligibilityRequest(
            user=to_user("cautious"), product_ids=ids, intent=recommendation_pb2.INTENT_USER_INITIATED
        )
    )
    assert stub.Recommend(request) == before


@given(order=st.permutations(range(8)))
@QUICK
def test_events_of_one_instant_are_read_the_same_in_any_order(stub: Stub, order: list[int]) -> None:
    events = [(f"x{number * 7:04}", CLICK, NOW - timedelta(hours=1)) for number in range(8)]
    permuted = [events[position] for position in order]
    lists = [
        stub.Recommend(recommend(to_user("u", eligible_user(), history), 40))
        for history in (events, permuted)
    ]
    assert lists[0] == lists[1]


@given(levels=st.lists(st.integers(0, 5), min_size=1, max_size=12), k=st.integers(1, 60))
@QUICK
def test_a_batch_gives_the_bytes_of_single_calls(
    stub: Stub, platform: Platform, levels: list[int], k: int
) -> None:
    requests = [
        recommend(to_user(f"u{row}", eligible_user(level), HISTORY), k) for row, level in enumerate(levels)
    ]
    results = stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=requests)).results
    for request, result in zip(requests, results, strict=True):
        alone = stub.Recommend(request)
        assert result.response.SerializeToString(deterministic=True) == alone.SerializeToString(
            deterministic=True
        )
        assert find_faults(request, alone, platform) == []


def test_the_terms_of_a_product_are_the_same_for_everybody(stub: Stub) -> None:
    terms: dict[str, set[tuple[Any, ...]]] = {}
    for level in range(6):
        for product in stub.Recommend(recommend(to_user(f"u{level}", eligible_user(level)), 1000)).products:
            shown = (product.title, product.alternate_title, product.issuer, product.risk_score)
            terms.setdefault(product.product_id, set()).add(shown)
    assert len(terms) > 100
    assert all(len(shown) == 1 for shown in terms.values())


def test_no_output_holds_a_raw_user_id(server: Server, stub: Stub, platform: Platform) -> None:
    before = platform.store.read_bytes()
    user = to_user(CANARY, eligible_user(), HISTORY)
    ids = sorted(platform.products)[:50]
    single = recommend(user, 30, include_trace=True)
    bad = recommend(user, 0)
    answers = [
        stub.Recommend(single),
        stub.Recommend(recommend(to_user(CANARY), 5)),
        stub.BatchRecommend(recommendation_pb2.BatchRecommendRequest(requests=[single, bad])),
        stub.ScoreProducts(recommendation_pb2.ScoreProductsRequest(user=user, product_ids=ids)),
        stub.CheckEligibility(recommendation_pb2.CheckEligibilityRequest(user=user, product_ids=ids)),
        stub.SimilarProducts(recommendation_pb2.SimilarProductsRequest(user=user, product_id=ids[0], k=5)),
    ]
    assert not any(CANARY.encode() in answer.SerializeToString() for answer in answers)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Recommend(bad)
    assert CANARY not in str(caught.value)
    assert CANARY.encode() not in server.log.read_bytes()
    # A caller's id is no event to keep: what was asked about is not what is stored.
    assert platform.store.read_bytes() == before
