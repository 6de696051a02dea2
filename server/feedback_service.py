"""The gRPC service through which callers report what users did."""

import time
from collections.abc import Iterable, Sequence
from typing import Final

import grpc
from prudence.v1 import feedback_pb2, feedback_pb2_grpc

from server.batch_queue import WAIT_S_MAX, Call
from server.clock import Clock
from server.columns import to_microseconds
from server.deadlines import read_time_left_s
from server.errors import FeedbackOffError, InvalidArgumentError, NotReadyError
from server.events import EventVerdict
from server.feedback.recorder import Recorder
from server.feedback_convert import InvalidEvent, StatedEvent, read_events, render_result

STREAM_EVENT_COUNT_MAX: Final = 1_000_000
REFUSED_COUNT_MAX: Final = 1000
"""So many refused events of a stream are named in its answer."""

SERVICE_NAME: Final = feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"].full_name


class FeedbackService(feedback_pb2_grpc.FeedbackServiceServicer):
    """Records events, once the log is open."""

    def __init__(self, clock: Clock, *, kept: bool) -> None:
        """Answers NOT_READY until `open`, or for good that there is no feedback log.

        Args:
            clock: what event times are compared with.
            kept: whether this server keeps a feedback log.
        """
        self._clock = clock
        self._kept = kept
        self._recorder: Recorder | None = None

    def open(self, recorder: Recorder) -> None:
        """Starts recording."""
        self._recorder = recorder

    def RecordEvents(
        self, request: feedback_pb2.RecordEventsRequest, context: grpc.ServicerContext
    ) -> feedback_pb2.RecordEventsResponse:
        """Answers RecordEvents."""
        patience_s = min(read_time_left_s(context), WAIT_S_MAX)
        outcomes = self._record(request.tenant_id, request.events, context, patience_s)
        results = [
            render_result(event.event_id, outcome)
            for event, outcome in zip(request.events, outcomes, strict=True)
        ]
        return feedback_pb2.RecordEventsResponse(results=results)

    def StreamEvents(
        self, request_iterator: Iterable[feedback_pb2.StreamEventsRequest], context: grpc.ServicerContext
    ) -> feedback_pb2.StreamEventsResponse:
        """Answers StreamEvents: a batch is read from the network only when the one before it is durable."""
        response = feedback_pb2.StreamEventsResponse()
        count = 0
        for request in request_iterator:
            count += len(request.events)
            if count > STREAM_EVENT_COUNT_MAX:
                raise InvalidArgumentError("events", f"expected at most {STREAM_EVENT_COUNT_MAX} in a stream")
            patience_s = min(read_time_left_s(context), WAIT_S_MAX)
            outcomes = self._record(request.tenant_id, request.events, context, patience_s)
            _add(response, request.events, outcomes)
        return response

    def _record(
        self,
        tenant_id: str,
        messages: Sequence[feedback_pb2.Event],
        context: grpc.ServicerContext,
        patience_s: float,
    ) -> list[EventVerdict | InvalidEvent]:
        recorder = self._ready()
        now_us = to_microseconds(self._clock.now())
        read = read_events(tenant_id, messages, now_us)
        stated = [(each.user_id, each.event) for each in read if isinstance(each, StatedEvent)]
        call = Call(time.monotonic() + patience_s, context.is_active)
        found = iter(recorder.record(stated, now_us, call))
        return [each if isinstance(each, InvalidEvent) else next(found) for each in read]

    def _ready(self) -> Recorder:
        if not self._kept:
            raise FeedbackOffError("this server keeps no feedback log")
        if self._recorder is None:
            raise NotReadyError("the server is starting")
        return self._recorder


def _add(
    response: feedback_pb2.StreamEventsResponse,
    messages: Sequence[feedback_pb2.Event],
    outcomes: Sequence[EventVerdict | InvalidEvent],
) -> None:
    """Adds the outcomes of one batch to a stream's answer."""
    for message, outcome in zip(messages, outcomes, strict=True):
        if outcome is EventVerdict.ACCEPTED:
            response.accepted_count += 1
        elif outcome is EventVerdict.DUPLICATE:
            response.duplicate_count += 1
        else:
            response.refused_count += 1
            if len(response.refused) < REFUSED_COUNT_MAX:
                response.refused.append(render_result(message.event_id, outcome))
