"""Lets the simulated users visit a running server over gRPC: they ask and respond, which is recorded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from prudence.client import Client
from prudence.v1 import feedback_pb2, profile_pb2
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.errors import EventRefusedError
from benchmarks.loop.people import IntArray, People, Response, find_alone, respond

K: Final = 10
_BATCH_COUNT: Final = 500


@dataclass(frozen=True)
class Visits:
    """What happened in one round of visits.

    Attributes:
        touched: courses that users did something with beyond being shown them, bool [users, courses].
        shown_count, click_count, event_count: totals.
    """

    touched: NDArray[np.bool_]
    shown_count: int
    click_count: int
    event_count: int


def visit(
    client: Client, people: People, taken: NDArray[np.bool_], rng: np.random.Generator, *, name: str
) -> Visits:
    """Lets every user ask once and respond, and some find a course without the server.

    Args:
        client: of the server.
        people: the truth.
        taken: what users have had before, bool [users, courses].
        rng: what responses are drawn from.
        name: of the round, for the ids of its events.

    Raises:
        EventRefusedError: an event was not accepted.
    """
    touched = np.zeros(people.click.shape, np.bool_)
    shown_count = click_count = event_count = 0
    batch: list[feedback_pb2.Event] = []
    for user_row, answer in _ask_all(client, people):
        shown = _find_rows(people, answer)
        shown_count += len(shown)
        for number, response in enumerate(respond(people, user_row, shown, rng)):
            touched[user_row, response.course_row] |= response.event_type != "impression"
            click_count += response.event_type == "click"
            event_id = f"{name}-{user_row}-{number}"
            batch.append(_make_event(people, user_row, response, answer.answer_id, event_id))
        if len(batch) >= _BATCH_COUNT:
            event_count += _record(client, batch)
            batch = []
    event_count += _record(client, batch)
    own = _record_own(client, people, taken | touched, rng, name)
    return Visits(touched | own, shown_count, click_count, event_count + 2 * int(own.sum()))


def _record_own(
    client: Client, people: People, taken: NDArray[np.bool_], rng: np.random.Generator, name: str
) -> NDArray[np.bool_]:
    """Records what users found without the server, two events each; returns what, bool [users, courses]."""
    own = np.zeros(taken.shape, np.bool_)
    for user_row, responses in find_alone(people, taken, rng):
        own[user_row, responses[0].course_row] = True
        events = [
            _make_event(people, user_row, response, "", f"{name}-{user_row}-own-{number}")
            for number, response in enumerate(responses)
        ]
        _record(client, events)
    return own


def list_all(client: Client, people: People) -> IntArray:
    """Asks for every user's list and nothing else, int64 [users, K]; -1 where a list is shorter."""
    lists = np.full((len(people.user_ids), K), -1)
    for user_row, answer in _ask_all(client, people):
        rows = _find_rows(people, answer)
        lists[user_row, : len(rows)] = rows
    return lists


def _ask_all(client: Client, people: People) -> Iterator[tuple[int, pb.RecommendResponse]]:
    for user_row, user_id in enumerate(people.user_ids):
        user = profile_pb2.User(user_id=user_id)
        yield user_row, client.recommend(pb.RecommendRequest(user=user, domain=pb.DOMAIN_LEARNING, k=K))


def _find_rows(people: People, answer: pb.RecommendResponse) -> IntArray:
    # The number in a simulated course's id is its row.
    return np.array([int(product.product_id[1:]) for product in answer.products], np.int64)


def _make_event(
    people: People, user_row: int, response: Response, answer_id: str, event_id: str
) -> feedback_pb2.Event:
    return feedback_pb2.Event(
        event_id=event_id,
        user_id=people.user_ids[user_row],
        product_id=people.course_ids[response.course_row],
        event_type=f"EVENT_TYPE_{response.event_type.upper()}",
        answer_id=answer_id,
        position=response.position,
        dwell_s=response.dwell_s,
    )


def _record(client: Client, events: list[feedback_pb2.Event]) -> int:
    if not events:
        return 0
    results = client.record_events(feedback_pb2.RecordEventsRequest(events=events)).results
    for result in results:
        if result.verdict != feedback_pb2.EVENT_VERDICT_ACCEPTED:
            verdict = feedback_pb2.EventVerdict.Name(result.verdict)
            raise EventRefusedError(f"{result.event_id}: expected it to be accepted, got {verdict}")
    return len(results)
