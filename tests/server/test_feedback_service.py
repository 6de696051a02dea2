"""Events over gRPC: verdicts, histories, hidden products, answer ids, restarts."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest
from prudence.client import Client
from prudence.v1 import (
    feedback_pb2,
    feedback_pb2_grpc,
    profile_pb2,
    profile_service_pb2,
    profile_service_pb2_grpc,
    recommendation_pb2,
    recommendation_pb2_grpc,
)

from benchmarks.load.client import read_reason
from server.events import FEEDBACK_EVENT_TYPES, EventVerdict
from server.feedback.segments import list_segments
from tests.server.cases import NOW
from tests.server.conftest import CLOCK, Platform, Server, run_command, start_server
from tests.server.wire import to_timestamp

FeedbackStub = feedback_pb2_grpc.FeedbackServiceStub
Stub = recommendation_pb2_grpc.RecommendationServiceStub


class Place:
    """A server with a feedback log, and stubs on it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.channel = grpc.insecure_channel(server.target)
        self.feedback = FeedbackStub(self.channel)
        self.lists = Stub(self.channel)

    def record(self, *events: feedback_pb2.Event) -> list[EventVerdict]:
        request = feedback_pb2.RecordEventsRequest(events=events)
        results = self.feedback.RecordEvents(request, timeout=20).results
        assert [result.event_id for result in results] == [event.event_id for event in events]
        return [EventVerdict(result.verdict) for result in results]

    def recommend(self, user_id: str, **fields: Any) -> recommendation_pb2.RecommendResponse:
        user = profile_pb2.User(user_id=user_id)
        request = recommendation_pb2.RecommendRequest(user=user, **({"k": 10} | fields))
        return self.lists.Recommend(request, timeout=20)


def start(platform: Platform, directory: Path, folder: Path, store: Path, *more: str) -> Place:
    options = ("--bundles", str(platform.bundles), "--store", str(store), "--clock", CLOCK, "--allow-assumed")
    return Place(start_server(directory, *options, "--feedback-log", str(folder), *more), folder)


@pytest.fixture(scope="module")
def copied_store(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of this module's own, with its keys: events are written to it."""
    directory = tmp_path_factory.mktemp("feedback-store")
    for path in platform.store.parent.glob(f"{platform.store.name}*"):
        (directory / path.name).write_bytes(path.read_bytes())
        (directory / path.name).chmod(0o600)
    return directory / platform.store.name


@pytest.fixture(scope="module")
def place(
    platform: Platform, copied_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("feedback")
    place = start(platform, directory / "server", directory / "log", copied_store)
    with place.server:
        yield place


def make_event(
    product_id: str, kind: str = "click", user_id: str = "bold", /, **fields: Any
) -> feedback_pb2.Event:
    stated = {
        "event_id": uuid.uuid4().hex,
        "user_id": user_id,
        "product_id": product_id,
        "event_type": FEEDBACK_EVENT_TYPES.index(kind) + 1,
        "event_time": to_timestamp(NOW),
    }
    return feedback_pb2.Event(**(stated | fields))


def ids_of(response: Any) -> list[str]:
    return [product.product_id for product in response.products]


def test_every_event_type_of_the_wire_has_its_name() -> None:
    names = {
        value.number: value.name.removeprefix("EVENT_TYPE_").lower()
        for value in profile_pb2.EventType.DESCRIPTOR.values
        if value.number
    }
    assert names == dict(enumerate(FEEDBACK_EVENT_TYPES, start=1))
    verdicts = feedback_pb2.EventVerdict.DESCRIPTOR.values_by_number
    assert {
        number: value.name.removeprefix("EVENT_VERDICT_") for number, value in verdicts.items() if number
    } == {verdict.value: verdict.name for verdict in EventVerdict}


def test_an_event_is_in_the_next_answer_of_its_user(place: Place) -> None:
    first = place.recommend("bold")
    wanted = ids_of(first)[0]
    sent = make_event(wanted, answer_id=first.answer_id, position=1)
    assert place.record(sent) == [EventVerdict.ACCEPTED]
    second = place.recommend("bold")
    assert wanted not in ids_of(second)
    assert second.answer_id not in ("", first.answer_id)
    changed = place.recommend("bold", allow_seen=True, include_trace=True)
    assert [product.score for product in changed.products] != [product.score for product in first.products]


def test_not_interested_hides_the_product_at_once_and_for_that_user_alone(place: Place) -> None:
    wanted, anchor = ids_of(place.recommend("bold"))[:2]
    before = ids_of(place.recommend("cautious"))
    assert place.record(make_event(wanted, "not_interested")) == [EventVerdict.ACCEPTED]
    for fields in ({}, {"allow_seen": True}, {"include_product_ids": [wanted, anchor]}):
        assert wanted not in ids_of(place.recommend("bold", **fields))
    similar = recommendation_pb2.SimilarProductsRequest(
        user=profile_pb2.User(user_id="bold"), product_id=anchor, k=700
    )
    answer = place.lists.SimilarProducts(similar, timeout=20)
    assert wanted not in ids_of(answer)
    assert len(answer.products) > 10
    assert answer.answer_id
    assert ids_of(place.recommend("cautious")) == before
    # A caller who names a product is answered about it: hiding is taste, not suitability.
    named = recommendation_pb2.ScoreProductsRequest(
        user=profile_pb2.User(user_id="bold"), product_ids=[wanted]
    )
    scored = place.lists.ScoreProducts(named, timeout=20)
    assert ids_of(scored) == [wanted]
    assert scored.answer_id


def test_each_event_of_a_batch_has_its_own_verdict(place: Place, platform: Platform) -> None:
    product = sorted(platform.products)[0]
    good = make_event(product, "view")
    batch = [
        good,
        make_event("no such product"),
        make_event(product, user_id="nobody"),
        make_event(product, event_time=to_timestamp(NOW + timedelta(minutes=6))),
        make_event(product, event_time=to_timestamp(NOW - timedelta(days=29))),
        make_event(product, event_time=to_timestamp(NOW + timedelta(minutes=4))),
        make_event(product, "rating"),
        good,
    ]
    assert place.record(*batch) == [
        EventVerdict.ACCEPTED,
        EventVerdict.PRODUCT_UNKNOWN,
        EventVerdict.USER_UNKNOWN,
        EventVerdict.TIME_IN_FUTURE,
        EventVerdict.TIME_TOO_OLD,
        EventVerdict.ACCEPTED,
        EventVerdict.VALUE_INVALID,
        EventVerdict.DUPLICATE,
    ]
    assert place.record(good) == [EventVerdict.DUPLICATE]


@pytest.mark.parametrize(
    ("kind", "fields", "fault"),
    [
        ("click", {"event_id": ""}, "event_id"),
        ("click", {"event_id": "a\nb"}, "event_id"),
        ("click", {"event_id": "é" * 65}, "event_id"),
        ("click", {"user_id": ""}, "user_id"),
        ("click", {"product_id": "p" * 129}, "product_id"),
        ("click", {"event_type": 0}, "event_type"),
        ("click", {"event_type": 13}, "event_type"),
        ("click", {"event_type": -1}, "event_type"),
        ("click", {"answer_id": "q" * 129}, "answer_id"),
        ("click", {"placement": "p" * 129}, "placement"),
        ("click", {"campaign": "p" * 129}, "campaign"),
        ("click", {"event_time": {"seconds": -1}}, "event_time"),
        ("click", {"event_time": {"seconds": 2**62}}, "event_time"),
        ("click", {"event_time": {"nanos": -1}}, "event_time"),
        ("click", {"position": 1}, "position"),
        ("click", {"position": 0, "answer_id": "q"}, "position"),
        ("click", {"position": 10_001, "answer_id": "q"}, "position"),
        ("click", {"rating": 3.0}, "rating"),
        ("rating", {"rating": float("nan")}, "rating"),
        ("rating", {"rating": float("inf")}, "rating"),
        ("view", {"dwell_s": 3.0}, "dwell_s"),
        ("dwell", {}, "dwell_s"),
        ("dwell", {"dwell_s": float("nan")}, "dwell_s"),
        ("dwell", {"dwell_s": 86_401.0}, "dwell_s"),
        ("click", {"revenue_minor": 5}, "revenue_minor"),
        ("purchase", {"revenue_minor": -1}, "revenue_minor"),
        ("purchase", {"revenue_minor": 10**15 + 1}, "revenue_minor"),
    ],
)
def test_a_field_out_of_range_is_named(place: Place, kind: str, fields: dict[str, Any], fault: str) -> None:
    request = feedback_pb2.RecordEventsRequest(events=[make_event("x", kind, **fields)])
    (result,) = place.feedback.RecordEvents(request, timeout=20).results
    assert (result.verdict, result.field) == (EventVerdict.VALUE_INVALID, fault)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_the_wrong_size_is_refused_by_name(place: Place, count: int) -> None:
    request = feedback_pb2.RecordEventsRequest(events=[make_event("x")] * count)
    with pytest.raises(grpc.RpcError) as refused:
        place.feedback.RecordEvents(request, timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "events: expected 1 to 1000 events" in refused.value.details()


def test_a_stream_is_answered_once_with_what_was_refused(place: Place, platform: Platform) -> None:
    product = sorted(platform.products)[1]
    events = [make_event(product, "impression") for _ in range(7)]
    batches = [
        feedback_pb2.StreamEventsRequest(events=events[:5]),
        feedback_pb2.StreamEventsRequest(events=[*events[4:], make_event("no such product")]),
    ]
    answer = place.feedback.StreamEvents(iter(batches), timeout=20)
    assert (answer.accepted_count, answer.duplicate_count, answer.refused_count) == (7, 1, 1)
    assert [result.verdict for result in answer.refused] == [EventVerdict.PRODUCT_UNKNOWN]
    assert place.record(*events) == [EventVerdict.DUPLICATE] * 7


def test_a_stream_with_a_batch_of_the_wrong_size_fails_by_name(place: Place) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        place.feedback.StreamEvents(iter([feedback_pb2.StreamEventsRequest()]), timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stream_of_bytes_that_are_no_message_is_refused(place: Place) -> None:
    call = place.channel.stream_unary("/prudence.v1.FeedbackService/StreamEvents")
    with pytest.raises(grpc.RpcError) as refused:
        call(iter([b"\xff\xff\xff"]), timeout=20)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert read_reason(refused.value) == "MESSAGE_MALFORMED"


def test_an_empty_stream_is_answered_with_nothing(place: Place) -> None:
    assert place.feedback.StreamEvents(iter([]), timeout=20) == feedback_pb2.StreamEventsResponse()


def test_the_client_records_events(place: Place, platform: Platform) -> None:
    event = make_event(sorted(platform.products)[2], "impression")
    with Client(place.server.target) as client:
        answer = client.record_events(feedback_pb2.RecordEventsRequest(events=[event]))
    assert [result.verdict for result in answer.results] == [EventVerdict.ACCEPTED]


def test_a_server_without_a_log_refuses_events_and_gives_no_answer_ids(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            FeedbackStub(channel).RecordEvents(
                feedback_pb2.RecordEventsRequest(events=[make_event("x")]), timeout=20
            )
        request = recommendation_pb2.RecommendRequest(user=profile_pb2.User(user_id="bold"), k=1)
        assert Stub(channel).Recommend(request, timeout=20).answer_id == ""
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert read_reason(refused.value) == "FEEDBACK_OFF"


def test_a_log_without_a_store_stops_the_start(platform: Platform, tmp_path: Path) -> None:
    done = run_command("--bundles", str(platform.bundles), "--feedback-log", str(tmp_path))
    assert done.returncode == 1
    assert "feedback_log is set without store" in done.stderr


def test_an_erased_user_is_gone_from_the_log_when_that_is_acknowledged(
    platform: Platform, copied_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    place = start(platform, tmp_path / "server", folder, copied_store, "--allow-profile-changes")
    with place.server:
        product = ids_of(place.recommend("withdrawn"))[0]
        assert place.record(make_event(product, user_id="withdrawn")) == [EventVerdict.ACCEPTED]
        place.recommend("bold")
        profiles = profile_service_pb2_grpc.ProfileServiceStub(place.channel)
        profiles.EraseUser(profile_service_pb2.EraseUserRequest(user_id="withdrawn"), timeout=20)
        assert place.record(make_event(product, user_id="withdrawn")) == [EventVerdict.USER_ERASED]
        place.recommend("withdrawn")
        place.server.stop()
    assert run_command("compact", str(folder)).returncode == 0
    assert sum(part.num_rows for part in map(pq.read_table, (folder / "events").glob("*.parquet"))) == 0
    users = pq.read_table(folder / "answers")["user"].to_pylist()
    assert len(users) == 2
    assert users.count("") == 1  # The erased user asked again; the other answer is another user's.


def test_answers_and_events_are_in_parquet_after_a_stop(
    platform: Platform, copied_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    place = start(platform, tmp_path / "server", folder, copied_store)
    with place.server:
        context = recommendation_pb2.RequestContext(placement="home", campaign="spring")
        shown = place.recommend("cautious", context=context)
        wanted = ids_of(shown)[0]
        sent = make_event(wanted, "enrol", "cautious", answer_id=shown.answer_id, position=1)
        place.record(sent)
        place.recommend("nobody")
        assert place.server.stop() == 0
    done = run_command("compact", str(folder))
    assert done.returncode == 0, done.stderr
    assert len(list_segments(folder)) == 1
    (event,) = pq.read_table(folder / "events").to_pylist()
    known, unknown = pq.read_table(folder / "answers").to_pylist()
    assert (event["event_type"], event["product_id"], event["position"]) == ("enrol", wanted, 1)
    assert event["answer_id"] == known["answer_id"] == shown.answer_id
    assert event["user"] == known["user"] != ""
    assert unknown["user"] == ""
    assert known["product_ids"] == ids_of(shown)
    assert known["scores"] == [product.score for product in shown.products]
    assert (known["placement"], known["campaign"], known["method"]) == ("home", "spring", "Recommend")
    assert len(known["history"]) == len(platform.histories["cautious"])
    assert known["bundle_version"] == shown.decision.bundle_version
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"cautious" not in written
    assert b"nobody" not in written
