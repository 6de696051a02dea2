"""Events and answers as JSON lines, under the names of the columns that compaction makes of them.

Instants are whole microseconds since 1970-01-01 UTC.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from server.errors import FeedbackStateError
from server.events import FeedbackEvent

# ASCII alone: a line break inside a text would otherwise depend on who splits the lines.
_encode: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=True).encode
_EVENT_COLUMNS: Final = tuple((field.name, field.name.removesuffix("_us")) for field in fields(FeedbackEvent))
_EVENT_FIELDS: Final = {column: field for field, column in _EVENT_COLUMNS}
_UNSTATED: Final = (None, "")


@dataclass(frozen=True, slots=True)
class LoggedProduct:
    """One product of an answer; the source says what found it: model, association or segment."""

    product_id: str
    score: int
    source: str = "model"


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """An answer as it was given, and what the user tower read for it.

    Attributes:
        answer_id: its id, which events name.
        user: the user's pseudonym, hexadecimal; empty for a user that nobody knows.
        method: the rpc that gave it.
        decision_time_us: instant it was decided for, microseconds since 1970-01-01 UTC.
        bundle_version, policy_hash, overlay_sequence: what it was decided with.
        placement, campaign: tags of the request.
        experiments: experiment and variant of each.
        segment_id: the user's segment; empty for none.
        products: in the order shown.
        history: product id, event type and time of what the tower read, the latest first.
        features: the profile's features as the tower read them.
        withheld: code and number of products.
        latency_us: what making it took, from the checked request on.
        personalised: whether history or profile ranked it.
    """

    answer_id: str
    user: str
    method: str
    decision_time_us: int
    bundle_version: str
    policy_hash: str
    overlay_sequence: int
    placement: str
    campaign: str
    experiments: tuple[tuple[str, str], ...]
    segment_id: str
    products: tuple[LoggedProduct, ...]
    history: tuple[tuple[str, str, int], ...]
    features: Mapping[str, str | float | None]
    withheld: tuple[tuple[str, int], ...]
    latency_us: int
    personalised: bool


def write_events(events: Iterable[FeedbackEvent]) -> bytes:
    """Writes one line for each event; what was not stated is left out."""
    return b"".join(_line(_event_columns(event)) for event in events)


def read_events(payload: bytes, sequence: int) -> list[FeedbackEvent]:
    """Reads what `write_events` wrote as the block of a sequence.

    Raises:
        FeedbackStateError: a line is no event, which its checksum excludes unless another program wrote it.
    """
    try:
        return [_read_event(json.loads(line)) for line in payload.splitlines()]
    except (ValueError, TypeError) as error:
        raise FeedbackStateError(f"feedback_log: block {sequence} holds a line that is no event") from error


def write_answers(answers: Sequence[LoggedAnswer]) -> bytes:
    """Writes one line for each answer, in the columns of the Parquet table."""
    return b"".join(_line(_answer_columns(answer)) for answer in answers)


def drop_users(payload: bytes, users: frozenset[str]) -> bytes:
    """Returns the lines without those of some users."""
    kept = [line for line in payload.splitlines(keepends=True) if json.loads(line).get("user") not in users]
    return b"".join(kept)


def _event_columns(event: FeedbackEvent) -> dict[str, Any]:
    return {
        name: value for field, name in _EVENT_COLUMNS if (value := getattr(event, field)) not in _UNSTATED
    }


def _read_event(columns: Mapping[str, Any]) -> FeedbackEvent:
    return FeedbackEvent(**{_EVENT_FIELDS.get(name, name): value for name, value in columns.items()})


def _answer_columns(answer: LoggedAnswer) -> dict[str, Any]:
    return {
        "answer_id": answer.answer_id,
        "user": answer.user,
        "method": answer.method,
        "decision_time": answer.decision_time_us,
        "bundle_version": answer.bundle_version,
        "policy_hash": answer.policy_hash,
        "overlay_sequence": answer.overlay_sequence,
        "placement": answer.placement,
        "campaign": answer.campaign,
        "experiments": [{"experiment": name, "variant": variant} for name, variant in answer.experiments],
        "segment_id": answer.segment_id,
        "product_ids": [product.product_id for product in answer.products],
        "scores": [product.score for product in answer.products],
        "sources": [product.source for product in answer.products],
        "history": [
            {"product_id": product_id, "event_type": event_type, "event_time": time_us}
            for product_id, event_type, time_us in answer.history
        ],
        "features": json.dumps(answer.features, allow_nan=False, sort_keys=True),
        "withheld": [{"code": code, "count": count} for code, count in answer.withheld],
        "latency_us": answer.latency_us,
        "personalised": answer.personalised,
    }


def _line(columns: Mapping[str, Any]) -> bytes:
    return _encode(columns).encode("ascii") + b"\n"
