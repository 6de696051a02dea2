"""Orders of bundles off the wire and their outcomes onto it: the bundles' part of the admin service."""

from pathlib import Path
from typing import Any, Final

import grpc
from prudence.v1 import admin_pb2

from index.errors import BundleError
from index.manifest import require_version_name
from server import errors
from server.batch_queue import WAIT_S_MAX
from server.bundles.keeper import Keeper
from server.bundles.listing import Entry, list_bundles
from server.bundles.messages import Finding, Goal, Order, Outcome, Reason, Refusal
from server.bundles.opener import Opener
from server.convert import ID_BYTES_MAX, read_context
from server.deadlines import read_time_left_s
from server.identity.admission import current_caller
from server.render import render_instant

EXPLANATION_BYTES_MAX: Final = 1000

_ERRORS: Final[dict[Reason, type[errors.ServerError]]] = {
    Reason.MISSING: errors.BundleMissingError,
    Reason.UNREADABLE: errors.BundleReadError,
    Reason.UNSIGNED: errors.BundleUnsignedError,
    Reason.CORRUPT: errors.BundleCorruptError,
    Reason.OLDER: errors.BundleOlderError,
    Reason.UNFIT: errors.BundleUnfitError,
    Reason.WORSE: errors.BundleWorseError,
    Reason.MISMATCH: errors.BundleMismatchError,
    Reason.NO_OTHER: errors.NoOtherBundleError,
    Reason.BUSY: errors.BundleBusyError,
    Reason.KEY: errors.IdempotencyKeyError,
    Reason.STATE: errors.BundleLogError,
}


class BundleDesk:
    """Carries orders to the bundle manager."""

    def __init__(self, keeper: Keeper, opener: Opener, folder: Path, *, kept: bool, alone: bool) -> None:
        """Keeps whom it asks.

        Args:
            keeper: runs the manager.
            opener: reads manifests.
            folder: the folder of bundles.
            kept: whether changes outlive a restart.
            alone: whether this is the only process of the server; another one would not hear of an order.
        """
        self._keeper = keeper
        self._opener = opener
        self._folder = folder
        self._kept = kept
        self._alone = alone

    def list(self) -> admin_pb2.ListBundlesResponse:
        """Answers ListBundles."""
        machine = self._keeper.machine
        try:
            entries = list_bundles(self._folder, self._opener, machine)
        except OSError as error:
            raise errors.BundleReadError(f"the folder of bundles cannot be read: {error.strerror}") from error
        state, trouble = machine.state, machine.trouble
        unreadable = trouble is not None and trouble.reason is Reason.POINTER
        return admin_pb2.ListBundlesResponse(
            bundles=[_write_entry(entry) for entry in entries],
            serving_bundle_version=state.serving.version,
            pinned=state.pinned,
            current_bundle_version="" if unreadable else machine.current,
            current_refusal_reason="" if trouble is None else trouble.reason.value,
            current_refusal_message="" if trouble is None else trouble.problem,
            bundle_sequence=state.sequence,
            kept_over_restart=self._kept,
        )

    def load(
        self, request: admin_pb2.LoadBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.LoadBundleResponse:
        """Answers LoadBundle."""
        request_id = read_context(request)
        version = _read_version("bundle_version", request.bundle_version)
        outcome = self._carry_out(Order(Goal.LOAD, version, by=current_caller().name), context)
        return admin_pb2.LoadBundleResponse(findings=_write_findings(outcome), request_id=request_id)

    def activate(
        self, request: admin_pb2.ActivateBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ActivateBundleResponse:
        """Answers ActivateBundle."""
        request_id = read_context(request)
        version = _read_version("bundle_version", request.bundle_version)
        order = _read_order(request, Goal.ACTIVATE, version, allow_worse=request.allow_worse)
        outcome = self._carry_out(order, context)
        return admin_pb2.ActivateBundleResponse(**self._write_move(outcome), request_id=request_id)

    def roll_back(
        self, request: admin_pb2.RollbackBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RollbackBundleResponse:
        """Answers RollbackBundle."""
        request_id = read_context(request)
        version = _read_version("bundle_version", request.bundle_version, required=False)
        outcome = self._carry_out(_read_order(request, Goal.ROLLBACK, version), context)
        return admin_pb2.RollbackBundleResponse(**self._write_move(outcome), request_id=request_id)

    def pin(
        self, request: admin_pb2.PinBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.PinBundleResponse:
        """Answers PinBundle."""
        request_id = read_context(request)
        goal = Goal.PIN if request.pinned else Goal.UNPIN
        outcome = self._carry_out(_read_order(request, goal, ""), context)
        return admin_pb2.PinBundleResponse(
            bundle_version=outcome.version,
            pinned=outcome.pinned,
            bundle_sequence=outcome.sequence,
            repeated_answer=outcome.repeated,
            kept_over_restart=self._kept,
            request_id=request_id,
        )

    def _carry_out(self, order: Order, context: grpc.ServicerContext) -> Outcome:
        """Has an order carried out.

        Raises:
            ServerError: it was refused, as its reason says; what serves stays.
        """
        if not self._alone:
            raise errors.SeveralProcessesError(
                "an order would reach one of this server's processes alone: publish the bundle, since each "
                "follows CURRENT; or serve with processes 1"
            )
        try:
            # A call without a deadline has all the time there is, which no thread can wait for.
            result = self._keeper.carry_out(order, min(read_time_left_s(context), WAIT_S_MAX))
        except TimeoutError as error:
            raise errors.DeadlineError("the deadline passed; the order goes on") from error
        if isinstance(result, Refusal):
            raise _ERRORS.get(result.reason, errors.ServerError)(result.problem)
        return result

    def _write_move(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "bundle_version": outcome.version,
            "previous_bundle_version": outcome.previous,
            "findings": _write_findings(outcome),
            "bundle_sequence": outcome.sequence,
            "repeated_answer": outcome.repeated,
            "kept_over_restart": self._kept,
        }


def _read_order(request: Any, goal: Goal, version: str, *, allow_worse: bool = False) -> Order:
    """Reads what every order of a change has.

    Raises:
        InvalidArgumentError: a field is wrong; the error names it.
    """
    for name, limit in (("idempotency_key", ID_BYTES_MAX), ("explanation", EXPLANATION_BYTES_MAX)):
        length = len(getattr(request, name).encode())
        if length > limit:
            raise errors.InvalidArgumentError(name, f"expected at most {limit} bytes, got {length}")
    return Order(
        goal,
        version,
        expected=_read_version("expected_bundle_version", request.expected_bundle_version, required=False),
        allow_worse=allow_worse,
        by=current_caller().name,
        why=request.explanation,
        key=request.idempotency_key,
    )


def _read_version(field: str, text: str, *, required: bool = True) -> str:
    if not text and not required:
        return ""
    try:
        return require_version_name(text)
    except BundleError as error:
        raise errors.InvalidArgumentError(field, "expected a bundle version") from error


def _write_findings(outcome: Outcome) -> list[admin_pb2.BundleFinding]:
    return [_write_finding(finding) for finding in outcome.findings]


def _write_finding(finding: Finding) -> admin_pb2.BundleFinding:
    return admin_pb2.BundleFinding(
        gate=finding.name,
        figure=finding.figure,
        limit=finding.limit,
        passed=finding.passed,
        comparative=finding.comparative,
    )


def _write_entry(entry: Entry) -> admin_pb2.BundleEntry:
    # The generated stubs type enum values as a class that does not exist at run time.
    state: Any = admin_pb2.BundleState.Value(f"BUNDLE_STATE_{entry.standing.name}")
    if isinstance(entry.result, Refusal):
        return admin_pb2.BundleEntry(
            bundle_version=entry.version,
            state=state,
            refusal_reason=entry.result.reason.value,
            refusal_message=entry.result.problem,
            rolled_back=entry.rolled_back,
        )
    return admin_pb2.BundleEntry(
        bundle_version=entry.version,
        state=state,
        create_time=render_instant(entry.result.created),
        manifest_hash=entry.result.manifest_sha256,
        signers=entry.result.signers,
        rolled_back=entry.rolled_back,
    )
