"""Refuses calls at once: no message is read, no thread taken, and the status is made once for all of a kind.

A server that is asked ten times too much refuses nine calls for each that it answers, so a refusal may cost
next to nothing. What is left of it is mostly gRPC's own.
"""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc

from server.call_metrics import CallMetrics
from server.current_call import REQUEST_ID_KEY, CurrentCall, begin_call, end_call
from server.errors import CallerUnknownError, ServingError
from server.identity.access_log import Access, AccessLog
from server.identity.admission import Admission
from server.identity.callers import ANYBODY
from server.overload.inline_pool import InlinePool
from server.status import describe, to_status

if TYPE_CHECKING:
    # The stubs make these generic; the classes themselves are not.
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler


class Refusals:
    """Makes handlers that refuse, one for each method and error."""

    def __init__(
        self, admission: Admission, access_log: AccessLog | None, metrics: CallMetrics | None
    ) -> None:
        """Starts without any.

        Args:
            admission: says who calls, for the access log.
            access_log: where calls are accounted for; None for nowhere.
            metrics: counts calls; None where nobody reads the count.
        """
        self._admission = admission
        self._access_log = access_log
        self._metrics = metrics
        self._inline = InlinePool()
        self._made: dict[tuple[str, str], Handler] = {}

    def find(self, method: str, error: ServingError) -> Handler:
        """Returns what refuses calls of a method.

        Args:
            method: full name, of a method that exists.
            error: why; one of a few, since each is remembered by its text.
        """
        key = (method, str(error))
        if key not in self._made:
            self._made[key] = self._make(method, error)
        return self._made[key]

    def _make(self, method: str, error: ServingError) -> Handler:
        failure = describe(error)
        code, reason = failure.row.code.name, failure.row.reason
        # A named tuple, which the library's type hides. The id of a call is told beside it alone.
        status: Any = to_status(failure, CurrentCall())
        details = tuple(pair for pair in status.trailing_metadata if pair[0] != REQUEST_ID_KEY)

        def refuse(_: object, context: grpc.ServicerContext) -> None:
            call = begin_call(context.invocation_metadata())
            try:
                if self._metrics is not None:
                    self._metrics.refuse(method, code, reason)
                if self._access_log is not None:
                    now, name, peer = datetime.now(UTC), self._find_name(context), context.peer()
                    self._access_log.write(
                        Access(now, name, peer, method, call.request_id, code, reason, 0.0)
                    )
                context.abort_with_status(status._replace(trailing_metadata=(*details, *call.to_metadata())))
            finally:
                end_call()

        # gRPC runs a behaviour on its own pool when it names one: a refusal must not wait behind the work.
        refuse.experimental_thread_pool = self._inline  # type: ignore[attr-defined]
        # A handler of many messages is called before the first has come.
        return grpc.stream_unary_rpc_method_handler(refuse)

    def _find_name(self, context: grpc.ServicerContext) -> str:
        try:
            return self._admission.identify(context).name
        except CallerUnknownError:
            return ANYBODY.name
