"""Accounts for calls: who made one, how it ended, what its caller is told of that, and what is kept of it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol

import grpc

from server.call_metrics import CallMetrics
from server.current_call import CurrentCall, begin_call, end_call
from server.errors import CallerUnknownError
from server.identity.access_log import Access, AccessLog
from server.identity.admission import Admission, act_for
from server.identity.callers import ANYBODY, Caller
from server.status import Failure, describe, to_status


class Traces(Protocol):
    """What records calls; `server.tracing` does."""

    def record(
        self,
        method: str,
        metadata: Iterable[tuple[str, str | bytes]],
        came: datetime,
        elapsed_s: float,
        code: grpc.StatusCode,
        call: CurrentCall,
    ) -> None:
        """Records one call that has ended."""


@dataclass(frozen=True, slots=True)
class Accounting:
    """Where calls are accounted for.

    Attributes:
        admission: says who may call what.
        access_log: has a line for each call; None for nowhere.
        metrics: counts calls; None where nobody reads the count.
        traces: records calls; None where nobody collects traces.
    """

    admission: Admission
    access_log: AccessLog | None = None
    metrics: CallMetrics | None = None
    traces: Traces | None = None

    def keep(
        self,
        came: datetime,
        caller: Caller,
        method: str,
        context: grpc.ServicerContext,
        call: CurrentCall,
        ended: tuple[grpc.StatusCode, str, float],
    ) -> None:
        """Keeps that a call has ended.

        Args:
            came: when it came.
            caller: who made it.
            method: full name.
            context: of the call.
            call: its id, bundle and stages.
            ended: its code, the reason of it, which is empty where all went well, and the seconds it took.
        """
        code, reason, elapsed_s = ended
        name = code.name
        if self.metrics is not None:
            self.metrics.end(method, name, reason, elapsed_s)
        if self.traces is not None:
            self.traces.record(method, context.invocation_metadata(), came, elapsed_s, code, call)
        if self.access_log is not None:
            self.access_log.write(
                Access(came, caller.name, context.peer(), method, call.request_id, name, reason, elapsed_s)
            )


class EnteredCall:
    """A call on its thread: lets its caller in, and turns what goes wrong into a row of the table.

    A context manager by hand: every call goes through it, and as a generator it took half as long again.
    """

    __slots__ = ("_accounting", "_call", "_caller", "_came", "_context", "_method", "_start_s", "_watched")

    def __init__(
        self, accounting: Accounting, method: str, context: grpc.ServicerContext, *, watched: bool = False
    ) -> None:
        """Begins the call.

        Args:
            accounting: where it is accounted for.
            method: full name.
            context: of the call.
            watched: whether clients watch health by it.
        """
        self._came, self._start_s = datetime.now(UTC), time.perf_counter()
        self._accounting, self._method, self._context = accounting, method, context
        self._watched, self._caller = watched, ANYBODY
        self._call = begin_call(context.invocation_metadata())

    def __enter__(self) -> Caller:
        """Returns the caller, who may make the call."""
        admission = self._accounting.admission
        try:
            caller = self._caller = admission.identify(self._context)
            admission.admit(caller, self._method)
            act_for(caller)
        except Exception as error:
            self._end(error)
            raise
        return caller

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tells the caller how the call ended, and accounts for it."""
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        code, reason = grpc.StatusCode.OK, ""
        try:
            if error is None:
                self._context.set_trailing_metadata(self._call.to_metadata())
            elif isinstance(error, grpc.RpcError):
                # The caller is gone; gRPC raised this and wants it back.
                code, reason = grpc.StatusCode.CANCELLED, "CALL_CANCELLED"
            elif isinstance(error, Exception):
                # The last door: whatever it is, the caller gets a row of the table and none of its text.
                failure = self._describe(error)
                code, reason = failure.row.code, failure.row.reason
                self._context.abort_with_status(to_status(failure, self._call))
        finally:
            ended = (code, reason, time.perf_counter() - self._start_s)
            self._accounting.keep(self._came, self._caller, self._method, self._context, self._call, ended)
            act_for(ANYBODY)
            end_call()

    def _describe(self, error: Exception) -> Failure:
        failure = describe(error)
        if self._watched and isinstance(error, CallerUnknownError):
            # Clients that follow health take any other code for a server that is not healthy, and never
            # make the call that would tell them why.
            return replace(failure, row=replace(failure.row, code=grpc.StatusCode.UNIMPLEMENTED))
        return failure
