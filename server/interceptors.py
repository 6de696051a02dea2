"""The door of every method: who may call, what does not parse, errors, calls beyond what may wait, silence.

gRPC's own answers to these leak or mislead: a request that does not parse is INTERNAL, and an exception's
text goes to the peer. A thread is held by a call from its first byte, so messages are waited for under a
watch, and streams, which last as long as their callers like, have threads of their own.
"""

import copy
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf.message import DecodeError

from server.accounting import Accounting, EnteredCall, Traces
from server.call_metrics import CallMetrics
from server.deadlines import read_time_left_s
from server.errors import MalformedMessageError, NotReadyError, OverloadError
from server.identity.access_log import AccessLog
from server.identity.admission import Admission
from server.message_watch import CallPool, MessageWatch, StreamPool, require_sound
from server.overload.controller import TOO_MANY, OverloadController
from server.refusals import Refusals

STREAM_THREAD_COUNT = 16
REFLECTION_THREAD_COUNT = 4
URGENT_THREAD_COUNT = 4
OFFICE_THREAD_COUNT = 4
WATCH_THREAD_COUNT = 4
WRITE_THREAD_COUNT = 64

if TYPE_CHECKING:
    # The stubs make these generic; the classes themselves are not.
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Handler = grpc.RpcMethodHandler
    Interceptor = grpc.ServerInterceptor


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A method as it is served, and the threads that it runs on."""

    handler: Handler
    pool: CallPool


class DoorInterceptor(Interceptor):
    """Wraps each method once, and refuses calls while too many wait."""

    def __init__(
        self,
        pool: CallPool,
        waiting_limit: int,
        urgent: Sequence[str] = (),
        *,
        office_service: str = "",
        writing_service: str = "",
        overload: OverloadController | None = None,
        admission: Admission | None = None,
        access_log: AccessLog | None = None,
        metrics: CallMetrics | None = None,
        traces: Traces | None = None,
    ) -> None:
        """Starts the threads beside the pool.

        Args:
            pool: the threads that take calls.
            waiting_limit: calls that may wait for one of them.
            urgent: methods and services whose calls never wait behind the others: a halt must get through.
            office_service: the service of officers and publishers: some of its calls take seconds.
            writing_service: the service whose calls wait for a disk: they hold threads of their own.
            overload: says how many calls of the pool may be under way; None for as many as there are threads.
            admission: says who may call what; None for anybody and everything.
            access_log: where calls are accounted for; None for nowhere.
            metrics: counts calls; None where nobody reads the count.
            traces: records calls; None where nobody collects traces.
        """
        self._pool = pool
        self._admission = admission or Admission(None)
        self._accounting = Accounting(self._admission, access_log, metrics, traces)
        self._urgent = CallPool(URGENT_THREAD_COUNT, "urgent")
        self._watching = CallPool(WATCH_THREAD_COUNT, "watching")
        self._office = CallPool(OFFICE_THREAD_COUNT, "office")
        self._writing = CallPool(WRITE_THREAD_COUNT, "write")
        self._pools = {office_service: self._office, writing_service: self._writing}
        self._pools |= dict.fromkeys(urgent, self._urgent)
        self._overload = overload
        self._waiting_limit = waiting_limit
        self._guarded: dict[str, _Guarded] = {}
        self._refusals = Refusals(self._admission, access_log, metrics)
        self._streams = StreamPool(STREAM_THREAD_COUNT, "stream")
        self._reflection = StreamPool(REFLECTION_THREAD_COUNT, "reflect")
        self._beside = (
            *(self._streams, self._reflection, self._watching, self._urgent, self._office, self._writing),
        )
        if metrics is not None:
            metrics.watch_calls(lambda: self._pool.waiting_count, self._count_answered)
        self._messages = MessageWatch()
        self._draining = False

    def beside(self) -> Self:
        """Returns the same door, on the same threads, for a second server with methods of its own."""
        other = copy.copy(self)
        other._guarded = {}
        return other

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Finds the method's guarded handler; unknown methods, and streams that hold no thread, pass."""
        method = handler_call_details.method
        # Only methods that exist are remembered, so the table is bounded.
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = continuation(handler_call_details)
            own = self._pools.get(method) or self._pools.get(method[1:].rpartition("/")[0], self._pool)
            guarded = None if handler is None else self._guard(method, handler, own)
            if guarded is None:
                return handler
            self._guarded[method] = guarded
        if self._draining:
            return self._refusals.find(method, NotReadyError("the server is draining"))
        if guarded.pool.refuses(self._waiting_limit):
            return self._refusals.find(method, OverloadError("too many calls wait; retry later"))
        if guarded.pool is self._pool and not self._has_room(method):
            return self._refusals.find(method, OverloadError(TOO_MANY))
        return guarded.handler

    @property
    def call_count_max(self) -> int:
        """How many calls all threads and queues hold: more are never under way at once."""
        pools = (self._pool, *self._beside)
        return sum(pool.thread_count + self._waiting_limit for pool in pools)

    def refuse_all(self) -> None:
        """Answers every further call as worth retrying elsewhere."""
        self._draining = True

    def close(self) -> None:
        """Stops the threads beside the pool."""
        self._messages.close()
        for pool in self._beside:
            pool.shutdown(wait=False, cancel_futures=True)

    def _count_answered(self) -> int:
        """Counts the calls that threads answer now."""
        return sum(pool.busy_count - pool.waiting_count for pool in (self._pool, *self._beside))

    def _has_room(self, method: str) -> bool:
        """Tells whether one more call may have a thread; calls that keep silent keep nobody else out."""
        if self._overload is None:
            return True

        def count_talking() -> int:
            return max(0, self._pool.busy_count - self._messages.count_silent(self._pool))

        return self._overload.has_room(method, self._pool.busy_count, count_talking)

    def _guard(self, method: str, handler: Handler, pool: CallPool) -> _Guarded | None:
        if handler.unary_unary is not None:
            return _Guarded(self._guard_unary(method, handler, pool), pool)
        if handler.stream_unary is not None:
            return _Guarded(self._guard_batches(method, handler), self._streams)
        behave = handler.stream_stream or handler.unary_stream
        if behave is None:
            return None
        if getattr(behave, "experimental_non_blocking", False):
            # It holds no thread once it has answered, and says itself when it is done.
            pool = self._watching

            @functools.wraps(behave)
            def watch(request: Any, context: grpc.ServicerContext, *send: Any) -> Any:
                # Its caller may take nothing, and a thread that sends waits until what it sends is taken.
                with (
                    EnteredCall(self._accounting, method, context, watched=True),
                    self._messages.limited(context, pool),
                ):
                    return behave(require_sound(request), context, *send)

            watch.experimental_thread_pool = pool  # type: ignore[attr-defined]
            return _Guarded(
                grpc.unary_stream_rpc_method_handler(
                    watch, _tell_malformed(handler), handler.response_serializer
                ),
                pool,
            )

        def stream(request: Any, context: grpc.ServicerContext) -> Any:
            with EnteredCall(self._accounting, method, context):
                sound = map(require_sound, request) if handler.request_streaming else require_sound(request)
                yield from behave(sound, context)

        stream.experimental_thread_pool = self._reflection  # type: ignore[attr-defined]
        make: Any = grpc.unary_stream_rpc_method_handler
        if handler.request_streaming:
            make = grpc.stream_stream_rpc_method_handler
        made = make(stream, _tell_malformed(handler), handler.response_serializer)
        return _Guarded(made, self._reflection)

    def _guard_unary(self, method: str, handler: Handler, pool: CallPool) -> Handler:
        behave = handler.unary_unary
        assert behave is not None
        overload = self._overload if pool is self._pool else None

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with EnteredCall(self._accounting, method, context) as caller:
                request = self._messages.receive(requests, context, pool)
                if overload is None:
                    return behave(request, context)
                # Only now: a call whose message never comes holds a thread, but keeps nobody else out.
                slot = overload.enter(method, caller.priority, read_time_left_s(context))
                answered = False
                try:
                    with slot:
                        response = behave(request, context)
                    answered = True
                    return response
                finally:
                    overload.leave(slot, answered=answered, behind_s=self._messages.behind_s)

        answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
        # A stream of one message is the same on the wire, and only it lets us watch for the message.
        return grpc.stream_unary_rpc_method_handler(
            answer, _tell_malformed(handler), handler.response_serializer
        )

    def _guard_batches(self, method: str, handler: Handler) -> Handler:
        """Guards a method that takes many messages; each is admitted as a call of its own."""
        behave = handler.stream_unary
        assert behave is not None

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with (
                EnteredCall(self._accounting, method, context) as caller,
                self._streams.held_by(caller.name),
            ):
                messages = self._messages.receive_all(requests, context, self._streams)
                return behave(self._admit_each(messages, method, context), context)

        answer.experimental_thread_pool = self._streams  # type: ignore[attr-defined]
        return grpc.stream_unary_rpc_method_handler(
            answer, _tell_malformed(handler), handler.response_serializer
        )

    def _admit_each(
        self, messages: Iterator[Any], method: str, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        """Admits every message but the first, which came with the call, as a call of its own.

        Whoever was shut out of the callers' file since, or lost the role, gets no further one through.
        """
        for number, message in enumerate(messages):
            if number:
                self._admission.admit(self._admission.identify(context), method)
            yield message


def _tell_malformed(handler: Handler) -> Callable[[bytes], Any]:
    """Returns what parses a method's messages, and gives an error in place of one that is none."""
    parse = handler.request_deserializer
    assert parse is not None

    def deserialize(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            return MalformedMessageError("expected the method's request message, got bytes that are none")

    return deserialize
