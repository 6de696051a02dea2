"""The door of every method: who may call, what does not parse, errors, calls beyond what may wait, silence.

gRPC's own answers to these leak or mislead: a request that does not parse is INTERNAL, and an exception's
text goes to the peer. A thread is held by a call from its first byte, so a call whose message never comes is
cancelled, and streams, which last as long as their callers like, have threads of their own.
"""

import copy
import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import grpc
from google.protobuf.message import DecodeError

from server.call_metrics import CallMetrics
from server.errors import MalformedMessageError, NotReadyError, OverloadError, ServingError
from server.identity.access_log import Access, AccessLog
from server.identity.admission import ANYBODY, Admission, acting
from server.status import describe, to_status

REJECTION_COUNT_MAX = 4096
STREAM_THREAD_COUNT = 4
URGENT_THREAD_COUNT = 4
WRITE_THREAD_COUNT = 64
MESSAGE_WAIT_S = 5.0
"""How long a call may hold a thread before its request message is there."""
PRESSED_WAIT_S = 1.0
"""The same, while other calls wait for a thread."""
WATCH_INTERVAL_S = 0.25

if TYPE_CHECKING:
    # The stubs make these generic; the classes themselves are not.
    Handler = grpc.RpcMethodHandler[Any, Any]
    Interceptor = grpc.ServerInterceptor[Any, Any]
else:
    Handler = grpc.RpcMethodHandler
    Interceptor = grpc.ServerInterceptor


class CallPool(ThreadPoolExecutor):
    """The threads that take calls; knows how many calls wait for one."""

    def __init__(self, thread_count: int, name: str) -> None:
        super().__init__(max_workers=thread_count, thread_name_prefix=name)
        self._count_lock = threading.Lock()
        self._waiting_count = 0

    @property
    def waiting_count(self) -> int:
        """Number of calls that no thread has taken yet."""
        return self._waiting_count

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Queues one call."""
        with self._count_lock:
            self._waiting_count += 1
        return super().submit(self._run, fn, args, kwargs)

    def _run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with self._count_lock:
            self._waiting_count -= 1
        return fn(*args, **kwargs)


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
        urgent_service: str = "",
        *,
        writing_service: str = "",
        admission: Admission | None = None,
        access_log: AccessLog | None = None,
        metrics: CallMetrics | None = None,
    ) -> None:
        """Starts the threads beside the pool.

        Args:
            pool: the threads that take calls.
            waiting_limit: calls that may wait for one of them.
            urgent_service: the service whose calls never wait behind the others: a halt must get through.
            writing_service: the service whose calls wait for a disk: they hold threads of their own.
            admission: says who may call what; None for anybody and everything.
            access_log: where calls are accounted for; None for nowhere.
            metrics: counts calls; None where nobody reads the count.
        """
        self._pool = pool
        self._admission = admission or Admission(None)
        self._access_log = access_log
        self._metrics = metrics
        if metrics is not None:
            metrics.watch_calls(lambda: self._pool.waiting_count)
        self._urgent = CallPool(URGENT_THREAD_COUNT, "urgent")
        self._writing = CallPool(WRITE_THREAD_COUNT, "write")
        self._pools = {urgent_service: self._urgent, writing_service: self._writing}
        self._waiting_limit = waiting_limit
        self._guarded: dict[str, _Guarded] = {}
        self._rejections = CallPool(1, "reject")
        self._streams = CallPool(STREAM_THREAD_COUNT, "stream")
        self._awaited: dict[grpc.ServicerContext, float] = {}
        self._draining = False
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

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
            own = self._pools.get(method[1:].rpartition("/")[0], self._pool)
            guarded = None if handler is None else self._guard(method, handler, own)
            if guarded is None:
                return handler
            self._guarded[method] = guarded
        if self._draining:
            return self._reject(method, NotReadyError("the server is draining"))
        if guarded.pool.waiting_count >= self._waiting_limit:
            return self._reject(method, OverloadError("too many calls wait; retry later"))
        return guarded.handler

    def refuse_all(self) -> None:
        """Answers every further call as worth retrying elsewhere."""
        self._draining = True

    def close(self) -> None:
        """Stops the threads beside the pool."""
        self._closed.set()
        self._rejections.shutdown(wait=False)
        for pool in (self._streams, self._urgent, self._writing):
            pool.shutdown(wait=False, cancel_futures=True)

    def _reject(self, method: str, error: ServingError) -> Handler:
        def refuse(_: object, context: grpc.ServicerContext) -> None:
            with self._entered(method, context, admit=False):
                raise error

        # gRPC runs a behaviour on its own pool when it names one: a refusal must not wait behind the work.
        refuse.experimental_thread_pool = self._rejections  # type: ignore[attr-defined]
        return grpc.unary_unary_rpc_method_handler(refuse, request_deserializer=bytes)

    def _guard(self, method: str, handler: Handler, pool: CallPool) -> _Guarded | None:
        if handler.unary_unary is not None:
            return _Guarded(self._guard_unary(method, handler, pool), pool)
        if handler.stream_unary is not None:
            return _Guarded(self._guard_batches(method, handler), self._streams)
        behave = handler.stream_stream or handler.unary_stream
        if behave is None:
            return None
        if getattr(behave, "experimental_non_blocking", False):
            # It holds no thread, and says itself when it is done.
            @functools.wraps(behave)
            def watch(request: Any, context: grpc.ServicerContext, *send: Any) -> Any:
                with self._entered(method, context):
                    return behave(request, context, *send)

            return _Guarded(
                grpc.unary_stream_rpc_method_handler(
                    watch, handler.request_deserializer, handler.response_serializer
                ),
                self._streams,
            )

        def stream(request: Any, context: grpc.ServicerContext) -> Any:
            with self._entered(method, context):
                yield from behave(request, context)

        stream.experimental_thread_pool = self._streams  # type: ignore[attr-defined]
        make: Any = grpc.unary_stream_rpc_method_handler
        if handler.request_streaming:
            make = grpc.stream_stream_rpc_method_handler
        made = make(stream, handler.request_deserializer, handler.response_serializer)
        return _Guarded(made, self._streams)

    def _guard_unary(self, method: str, handler: Handler, pool: CallPool) -> Handler:
        behave = handler.unary_unary
        assert behave is not None

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with self._entered(method, context):
                return behave(self._receive(requests, context), context)

        answer.experimental_thread_pool = pool  # type: ignore[attr-defined]
        # A stream of one message is the same on the wire, and only it lets us watch for the message.
        return grpc.stream_unary_rpc_method_handler(
            answer, _tell_malformed(handler), handler.response_serializer
        )

    def _guard_batches(self, method: str, handler: Handler) -> Handler:
        """Guards a method that takes many messages; each has as long to come as the only one of others."""
        behave = handler.stream_unary
        assert behave is not None

        def answer(requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with self._entered(method, context):
                return behave(self._receive_all(requests, context), context)

        answer.experimental_thread_pool = self._streams  # type: ignore[attr-defined]
        return grpc.stream_unary_rpc_method_handler(
            answer, _tell_malformed(handler), handler.response_serializer
        )

    @contextmanager
    def _entered(self, method: str, context: grpc.ServicerContext, *, admit: bool = True) -> Iterator[None]:
        """Lets the caller in, accounts for the call, and turns what goes wrong into a row of the table."""
        came, start_s = datetime.now(UTC), time.perf_counter()
        caller, code, reason = ANYBODY, grpc.StatusCode.OK, ""
        if self._metrics is not None:
            self._metrics.begin()
        try:
            caller = self._admission.identify(context)
            if admit:
                self._admission.admit(caller, method)
            with acting(caller):
                yield
        except grpc.RpcError:
            # The caller is gone; gRPC raised this and wants it back.
            code, reason = grpc.StatusCode.CANCELLED, "CALL_CANCELLED"
            raise
        except Exception as error:  # noqa: BLE001
            # The last door: whatever it is, the caller gets a row of the table and none of its text.
            failure = describe(error)
            code, reason = failure.row.code, failure.row.reason
            context.abort_with_status(to_status(failure))
        finally:
            elapsed_s = time.perf_counter() - start_s
            if self._metrics is not None:
                self._metrics.end(method, code.name, reason, elapsed_s)
            if self._access_log is not None:
                self._access_log.write(
                    Access(came, caller.name, context.peer(), method, code.name, reason, elapsed_s)
                )

    def _receive_all(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        while (request := self._next(requests, context)) is not None:
            yield request

    def _receive(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        request = self._next(requests, context)
        if request is None:
            raise MalformedMessageError("expected one request message, got none")
        return request

    def _next(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """Waits for a message while the watch is on; None once the caller has sent its last."""
        self._awaited[context] = time.monotonic()
        try:
            request = next(requests, None)
        finally:
            del self._awaited[context]
        if isinstance(request, MalformedMessageError):
            raise request
        return request

    def _watch(self) -> None:
        """Cancels calls whose message does not come, so that silent callers cannot hold every thread."""
        while not self._closed.wait(WATCH_INTERVAL_S):
            now_s = time.monotonic()
            patience_s = PRESSED_WAIT_S if self._pool.waiting_count else MESSAGE_WAIT_S
            # A copy is made in one step; other threads change the table meanwhile.
            for context, start_s in self._awaited.copy().items():
                if now_s - start_s > patience_s:
                    context.cancel()  # type: ignore[no-untyped-call]


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
