"""Personalisation off: popularity alone ranks what suits the user, and nothing else about them matters."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from prudence.client import Client
from prudence.v1 import profile_pb2, recommendation_pb2
from prudence.v1 import profile_service_pb2 as pb

from index.bundle import Bundle, open_bundle, read_current
from server.users.opening import StoreAddress, make_store, open_directory
from server.users.store import UserEvent
from tests.server.answers import POLICY
from tests.server.cases import CHANNEL, NOW, draw_users, eligible_user
from tests.server.checker import judge
from tests.server.conftest import CLOCK, Platform, start_server
from tests.server.wire import as_sent, recommend, to_profile, to_user

OFF = recommendation_pb2.RESPONSE_REASON_PERSONALISATION_OFF
CLICK, ENROL = profile_pb2.EVENT_TYPE_CLICK, profile_pb2.EVENT_TYPE_ENROL
HISTORIES: list[Any] = [
    (),
    [("x0001", CLICK, NOW)],
    [(f"x{number:04}", ENROL, NOW) for number in range(0, 700, 7)],
]
K = 30


@pytest.fixture(scope="module")
def bundle(platform: Platform) -> Bundle:
    return open_bundle(read_current(platform.bundles))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("store") / "users.sqlite")
    make_store(StoreAddress(path))
    return path


@pytest.fixture(scope="module")
def client(platform: Platform, store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    plan = ("--bundles", str(platform.bundles), "--store", store, "--clock", CLOCK)
    with (
        start_server(tmp_path_factory.mktemp("run"), *plan) as running,
        Client(running.target) as client,
    ):
        yield client
        running.stop()


def most_popular(bundle: Bundle, ids: set[str], k: int) -> list[str]:
    """Ranks products by the popularity that the bundle keeps, then by id: the definition, in plain Python."""
    popularity = dict(zip(bundle.product_ids, bundle.item_vectors[:, -1].tolist(), strict=True))
    return sorted(ids, key=lambda product_id: (-popularity[product_id], product_id))[:k]


def turned_off(user_id: str, profile: dict[str, Any], history: Sequence[Any] = ()) -> profile_pb2.User:
    user = to_user(user_id, profile, history)
    user.personalisation_off = True
    return user


def ids_of(answer: recommendation_pb2.RecommendResponse) -> list[str]:
    return [product.product_id for product in answer.products]


def test_the_most_popular_of_what_suits_is_listed_whoever_asks_and_whatever_they_did(
    client: Client, bundle: Bundle, platform: Platform
) -> None:
    random = np.random.default_rng(17)
    shown = 0
    for number, drawn in enumerate(draw_users(random, 25)):
        user = as_sent(drawn)
        eligible = {
            product_id
            for product_id, row in platform.products.items()
            if judge(user, row, POLICY, NOW, CHANNEL, None) == set()
        }
        k = (3, K, 400)[number % 3]
        for history in HISTORIES:
            answer = client.recommend(recommend(turned_off(f"u{number}", user, history), k))
            assert ids_of(answer) == most_popular(bundle, eligible, k)
            assert OFF in answer.reasons
            assert recommendation_pb2.RESPONSE_REASON_HISTORY_EMPTY not in answer.reasons
            shown += len(answer.products)
    assert shown > 1000


@pytest.mark.parametrize("domain", [recommendation_pb2.DOMAIN_LEARNING, recommendation_pb2.DOMAIN_BOTH])
def test_behaviour_and_fields_that_suitability_does_not_use_change_no_byte(
    client: Client, domain: recommendation_pb2.Domain
) -> None:
    """Metamorphic: behaviour never counts, and where only learning content is asked for no field does."""
    profile = eligible_user(5)
    changed = [eligible_user(1), {}] if domain == recommendation_pb2.DOMAIN_LEARNING else []
    answers = set()
    for variant in (profile, *changed):
        for history in HISTORIES:
            answer = client.recommend(recommend(turned_off("ana", variant, history), K, domain=domain))
            answers.add(answer.SerializeToString(deterministic=True))
    assert len(answers) == 1


def test_with_personalisation_the_same_changes_do_count(client: Client) -> None:
    """The tests above could not fail if nothing ever changed a list."""
    profile = eligible_user(5)
    lists = {
        tuple(ids_of(client.recommend(recommend(to_user("ana", profile, past), K)))) for past in HISTORIES
    }
    assert len(lists) > 1


def test_a_stored_choice_holds_for_stored_and_inline_requests(client: Client, bundle: Bundle) -> None:
    profile = eligible_user(5)
    history = HISTORIES[1]
    client.put_profile(pb.PutProfileRequest(user_id="bo", profile=to_profile(profile)))
    requests = [recommend(user, K) for user in (to_user("bo"), to_user("bo", profile, history))]
    before = [client.recommend(request) for request in requests]
    client.set_personalisation(pb.SetPersonalisationRequest(user_id="bo", personalised=False))
    off = [client.recommend(request) for request in requests]
    asked = client.recommend(recommend(turned_off("bo", profile), K))
    assert ids_of(off[0]) == ids_of(off[1]) == ids_of(asked)
    assert all(OFF in answer.reasons for answer in (*off, asked))
    assert not any(OFF in answer.reasons for answer in before)
    client.set_personalisation(pb.SetPersonalisationRequest(user_id="bo", personalised=True))
    assert [ids_of(client.recommend(request)) for request in requests] == [
        ids_of(answer) for answer in before
    ]


def test_scores_are_popularity_too_and_similarity_asks_nothing_of_the_user(
    client: Client, bundle: Bundle
) -> None:
    profile = eligible_user(5)
    ids = ids_of(client.recommend(recommend(turned_off("cy", profile), K)))
    request = recommendation_pb2.ScoreProductsRequest(user=turned_off("cy", profile), product_ids=sorted(ids))
    assert [product.product_id for product in client.score_products(request).products] == ids
    similar = [
        client.similar_products(recommendation_pb2.SimilarProductsRequest(user=user, product_id=ids[0], k=5))
        for user in (turned_off("cy", profile), to_user("cy", profile))
    ]
    assert [product.product_id for product in similar[0].products] == [
        product.product_id for product in similar[1].products
    ]


@pytest.mark.parametrize("personalised", [True, False])
def test_a_hidden_product_is_gone_from_the_next_answer(
    client: Client, store: str, personalised: bool
) -> None:
    user_id = f"di {personalised}"
    client.put_profile(pb.PutProfileRequest(user_id=user_id, profile=to_profile(eligible_user(5))))
    client.set_personalisation(pb.SetPersonalisationRequest(user_id=user_id, personalised=personalised))
    before = ids_of(client.recommend(recommend(to_user(user_id), K)))
    users = open_directory(StoreAddress(store), allow_assumed=False)
    writer = users.require_store()
    hidden = UserEvent(
        f"hide {user_id}", users.pseudonyms.derive_all(user_id), before[0], "not_interested", 1.0
    )
    writer.append_events([hidden], log_id="test", log_position=1)
    writer.close()
    for user in (to_user(user_id), to_user(user_id, eligible_user(5))):
        after = ids_of(client.recommend(recommend(user, K)))
        assert before[0] not in after
        assert not personalised or after
    assert ids_of(client.recommend(recommend(to_user(user_id), K)))[: K - 1] == before[1:]
