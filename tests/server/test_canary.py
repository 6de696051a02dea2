"""A recognisable user id goes through every service, and no file, metric or log line holds it (I28)."""

import base64
import urllib.request
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from prudence.client import Client
from prudence.errors import CallError
from prudence.v1 import feedback_pb2, feedback_pb2_grpc, profile_pb2, recommendation_pb2
from prudence.v1 import profile_service_pb2 as pb

from benchmarks.redis_server import RedisServer
from server.users.opening import StoreAddress, fill_store
from server.users.pseudonyms import make_key_file
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, Server, start_server, write_tables
from tests.server.wire import recommend, to_profile, to_user

CANARY = "canary-83c1f0-汉"
OTHERS = (f"{CANARY}-inline", f"{CANARY}-put", f"{CANARY}-unknown", f"{CANARY}-" + "x" * 200)


def spell(text: str) -> set[bytes]:
    """Returns how an id could be written down so that it can be read again."""
    plain = text.encode()
    return {
        plain,
        plain.hex().encode(),
        base64.b64encode(plain).rstrip(b"="),
        text.encode("utf-16-le"),
        text.encode("unicode-escape"),
    }


def visit_every_service(client: Client, products: list[str]) -> None:
    """Calls everything that takes a user, in ways that succeed and in ways that are refused."""
    for user_id in (CANARY, *OTHERS):
        for user in (to_user(user_id), to_user(user_id, eligible_user(5), [(products[0], 3, None)])):
            named = {"user": user, "product_ids": products[:3]}
            calls = (
                lambda user=user: client.recommend(recommend(user, include_trace=True)),
                lambda user=user: client.recommend(recommend(user, k=-1)),
                lambda user=user: client.batch_recommend(
                    recommendation_pb2.BatchRecommendRequest(requests=[recommend(user)] * 2)
                ),
                lambda named=named: client.score_products(recommendation_pb2.ScoreProductsRequest(**named)),
                lambda named=named: client.check_eligibility(
                    recommendation_pb2.CheckEligibilityRequest(**named)
                ),
                lambda user=user: client.similar_products(
                    recommendation_pb2.SimilarProductsRequest(user=user, product_id=products[0], k=3)
                ),
            )
            for call in calls:
                attempt(call)
    profile = to_profile(eligible_user(5))
    for user_id in OTHERS:
        key = f"{user_id} key"
        for change in (
            lambda u=user_id, k=key: client.put_profile(
                pb.PutProfileRequest(user_id=u, profile=profile, idempotency_key=k)
            ),
            lambda u=user_id, k=key: client.put_profile(
                pb.PutProfileRequest(user_id=u, profile=profile_pb2.UserProfile(), idempotency_key=k)
            ),
            lambda u=user_id: client.patch_profile(
                pb.PatchProfileRequest(user_id=u, profile=profile_pb2.UserProfile(risk_level=9))
            ),
            lambda u=user_id: client.set_block(pb.SetBlockRequest(user_id=u, blocked=False)),
            lambda u=user_id: client.set_consent(pb.SetConsentRequest(user_id=u, consented=True)),
            lambda u=user_id: client.set_personalisation(
                pb.SetPersonalisationRequest(user_id=u, personalised=True)
            ),
            lambda u=user_id: client.get_profile(pb.GetProfileRequest(user_id=u)),
            lambda u=user_id: client.delete_profile(pb.DeleteProfileRequest(user_id=u, expected_version=1)),
        ):
            attempt(change)
    attempt(lambda: client.erase_user(pb.EraseUserRequest(user_id=OTHERS[0])))


def attempt(call: Callable[[], object]) -> None:
    # What is refused is told without the id, too.
    assert CANARY not in find_refusal(call)


def find_refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except CallError as error:
        return str(error)
    return ""


def record_events(server: Server, products: list[str]) -> None:
    events = [
        feedback_pb2.Event(
            event_id=f"event {number}",
            user_id=user_id,
            product_id=products[number % 3],
            event_type=profile_pb2.EVENT_TYPE_CLICK,
        )
        for number, user_id in enumerate((CANARY, *OTHERS))
    ]
    with grpc.insecure_channel(server.target) as channel:
        stub = feedback_pb2_grpc.FeedbackServiceStub(channel)
        results = stub.RecordEvents(feedback_pb2.RecordEventsRequest(events=events)).results
    assert results[0].verdict == feedback_pb2.EVENT_VERDICT_ACCEPTED


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_file_metric_or_log_line_holds_a_user_id(platform: Platform, tmp_path: Path, kind: str) -> None:
    tables, written = tmp_path / "tables", tmp_path / "written"
    tables.mkdir()
    written.mkdir()
    ids = sorted(platform.products)
    write_tables(tables, {CANARY: eligible_user(5)}, ids)
    with RedisServer(written) as redis:
        store = redis.url if kind == "redis" else str(written / "users.sqlite")
        address = StoreAddress(store, tables / "keys")
        make_key_file(tables / "keys")
        fill_store(
            address,
            profiles=tables / "profiles.parquet",
            interactions=tables / "interactions.parquet",
            force=False,
            on_progress=lambda *_: None,
        )
        plan = ("--bundles", str(platform.bundles), "--clock", CLOCK, "--metrics-port", "0")
        plan += ("--store", store, "--pseudonym-keys", str(tables / "keys"))
        plan += ("--feedback-log", str(written / "feedback"), "--access-log", str(written / "access"))
        plan += ("--recall-sample-fraction", "1")
        with start_server(written / "run", *plan) as running, Client(running.target) as client:
            visit_every_service(client, ids)
            record_events(running, ids)
            metrics = read_metrics(running)
            running.stop()
    files = {path: path.read_bytes() for path in written.rglob("*") if path.is_file()}
    assert len(files) >= 5
    assert sum(map(len, files.values())) > 10_000
    for spelling in spell(CANARY):
        assert spelling not in metrics
        assert [path for path, content in files.items() if spelling in content] == []


def test_the_search_would_find_an_id() -> None:
    """The test above could not fail if it looked for something that nobody writes."""
    found = b'{"user": "' + CANARY.encode() + b'-put"}'
    assert any(spelling in found for spelling in spell(CANARY))


def read_metrics(server: Server) -> bytes:
    address = next(
        line.split('"address": "')[1].split('"')[0]
        for line in server.log.read_text().splitlines()
        if '"event": "metrics"' in line
    )
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        content: bytes = response.read()
    assert b"prudence_searches" in content
    return content
