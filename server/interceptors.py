"""The door of every method: bytes that do not parse, errors, and calls beyond what may wait.

gRPC's own answers to these leak or mislead: a request that does not parse is INTERNAL, and an exception's
text goes to the peer.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError

from server.errors import MalformedMessageError, NotReadyError, OverloadError, ServingError
from server.status import describe, to_status

REJECTION_COUNT_MAX = 4096

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


class DoorInterceptor(Interceptor):
    """Wraps each unary method once, and refuses calls while too many wait."""

    def __init__(self, pool: CallPool, waiting_limit: int) -> None:
        self._pool = pool
        self._waiting_limit = waiting_limit
        self._guarded: dict[str, Handler] = {}
        self._rejections = CallPool(1, "reject")
        self._draining = False

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Finds the method's guarded handler; unknown methods and streams pass as they are."""
        method = handler_call_details.method
        # Only methods that exist are remembered, so the table is bounded.
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = continuation(handler_call_details)
            if handler is None or handler.request_streaming or handler.response_streaming:
                return handler
            guarded = self._guarded.setdefault(method, _guard(handler))
        if self._draining:
            return self._reject(NotReadyError("the server is draining"))
        if self._pool.waiting_count >= self._waiting_limit:
            return self._reject(OverloadError("too many calls wait; retry later"))
        return guarded

    def refuse_all(self) -> None:
        """Answers every further call as worth retrying elsewhere."""
        self._draining = True

    def close(self) -> None:
        """Stops the thread that answers refused calls."""
        self._rejections.shutdown(wait=False)

    def _reject(self, error: ServingError) -> Handler | None:
        if self._rejections.waiting_count >= REJECTION_COUNT_MAX:
            return None

        def refuse(_: object, context: grpc.ServicerContext) -> None:
            _abort(context, error)

        # gRPC runs a behaviour on its own pool when it names one: a refusal must not wait behind the work.
        refuse.experimental_thread_pool = self._rejections  # type: ignore[attr-defined]
        return grpc.unary_unary_rpc_method_handler(refuse, request_deserializer=bytes)


def _guard(handler: Handler) -> Handler:
    parse = handler.request_deserializer
    behave = handler.unary_unary
    assert parse is not None
    assert behave is not None

    def deserialize(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return MalformedMessageError(f"expected the method's request message: {type(error).__name__}")

    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            if isinstance(request, MalformedMessageError):
                raise request
            return behave(request, context)
        except Exception as error:  # noqa: BLE001
            # The last door: whatever it is, the caller gets a row of the table and none of its text.
            return _abort(context, error)

    return grpc.unary_unary_rpc_method_handler(
        answer, request_deserializer=deserialize, response_serializer=handler.response_serializer
    )


def _abort(context: grpc.ServicerContext, error: Exception) -> None:
    context.abort_with_status(to_status(describe(error)))
