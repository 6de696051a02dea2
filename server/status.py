"""What a caller sees of an error: one table from error class to gRPC code and reason.

Only errors of ours carry their text to the caller. Anything else is INTERNAL with an opaque id, and the id is
what the log line holds.
"""

import secrets
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from server import errors
from server.current_call import CurrentCall

DOMAIN = "prudence"
RETRY_DELAY_MS = 100
TEXT_BYTES_MAX = 1000
"""A status travels in trailers: each byte may take three there, and its details repeat it. A client that gets
more than 8 KiB of them sees that in place of the error."""

VIOLATION_COUNT_MAX = 16
"""Most fields at fault that one status names, for the same reason."""

_log = structlog.get_logger("server")


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """What one error class becomes. `shows_text` is false where the text is not the caller's business."""

    code: grpc.StatusCode
    reason: str
    retryable: bool = False
    shows_text: bool = True


TABLE: dict[type[errors.ServerError], ErrorRow] = {
    errors.InvalidArgumentError: ErrorRow(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"),
    errors.InvalidFeaturesError: ErrorRow(grpc.StatusCode.INVALID_ARGUMENT, "FEATURE_INVALID"),
    errors.RiskModelMissingError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "RISK_MODEL_MISSING"),
    errors.MalformedMessageError: ErrorRow(grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED"),
    errors.ProductUnknownError: ErrorRow(grpc.StatusCode.NOT_FOUND, "PRODUCT_UNKNOWN"),
    errors.ProfileRefusedError: ErrorRow(grpc.StatusCode.PERMISSION_DENIED, "PROFILE_SOURCE_REQUIRED"),
    errors.StoreMissingError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "STORE_MISSING"),
    errors.ProfileMissingError: ErrorRow(grpc.StatusCode.NOT_FOUND, "PROFILE_MISSING"),
    errors.UserErasedError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "USER_ERASED"),
    errors.VersionMismatchError: ErrorRow(grpc.StatusCode.ABORTED, "VERSION_MISMATCH"),
    errors.IdempotencyKeyError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "IDEMPOTENCY_KEY_REUSED"),
    errors.CallerUnknownError: ErrorRow(grpc.StatusCode.PERMISSION_DENIED, "CALLER_UNKNOWN"),
    errors.RoleMissingError: ErrorRow(grpc.StatusCode.PERMISSION_DENIED, "ROLE_MISSING"),
    errors.PolicyKeysMissingError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "POLICY_KEYS_MISSING"),
    errors.SignatureInvalidError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "SIGNATURE_INVALID"),
    errors.PolicyUnfitError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "POLICY_UNFIT"),
    errors.PolicyVersionOldError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "POLICY_VERSION_OLD"),
    errors.OverlaySequenceOldError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "OVERLAY_SEQUENCE_OLD"),
    errors.OverlayLooserError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "OVERLAY_LOOSER"),
    errors.FeedbackOffError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "FEEDBACK_OFF"),
    errors.DeadlineError: ErrorRow(grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_PASSED"),
    errors.CancelledError: ErrorRow(grpc.StatusCode.CANCELLED, "CALL_CANCELLED"),
    errors.OverloadError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "OVERLOADED", retryable=True),
    errors.QuotaError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "QUOTA_EXCEEDED", retryable=True),
    errors.NotReadyError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "NOT_READY", retryable=True),
    errors.StoreReadError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retryable=True),
    # Asking again changes nothing: an operator must.
    errors.StoreRowError: ErrorRow(grpc.StatusCode.DATA_LOSS, "STORE_ROW_CORRUPT"),
    errors.StoreWriteError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retryable=True),
    errors.ModelOutputError: ErrorRow(grpc.StatusCode.INTERNAL, "MODEL_OUTPUT_INVALID", shows_text=False),
    errors.FeedbackLogError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "FEEDBACK_LOG_FAILED", retryable=True),
    errors.CatalogueOffError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "CATALOGUE_STATE_MISSING"),
    errors.SeveralProcessesError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "SEVERAL_PROCESSES"),
    errors.CatalogueSequenceError: ErrorRow(grpc.StatusCode.ABORTED, "CATALOGUE_SEQUENCE_MISMATCH"),
    errors.CatalogueLogError: ErrorRow(grpc.StatusCode.INTERNAL, "CATALOGUE_LOG_FAILED"),
    errors.BundleMissingError: ErrorRow(grpc.StatusCode.NOT_FOUND, "BUNDLE_MISSING"),
    errors.BundleUnsignedError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_UNSIGNED"),
    errors.BundleCorruptError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_CORRUPT"),
    errors.BundleOlderError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_OLDER"),
    errors.BundleUnfitError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_UNFIT"),
    errors.BundleWorseError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_WORSE"),
    errors.BundleMismatchError: ErrorRow(grpc.StatusCode.ABORTED, "BUNDLE_VERSION_MISMATCH"),
    errors.NoOtherBundleError: ErrorRow(grpc.StatusCode.FAILED_PRECONDITION, "BUNDLE_NO_OTHER"),
    errors.BundleReadError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "BUNDLE_UNREADABLE", retryable=True),
    errors.BundleBusyError: ErrorRow(grpc.StatusCode.UNAVAILABLE, "BUNDLE_BUSY", retryable=True),
    errors.BundleLogError: ErrorRow(grpc.StatusCode.INTERNAL, "BUNDLE_STATE_FAILED"),
    # Not worth retrying as it is: it may be stored, and then a later one must follow it.
    errors.OrderUnsureError: ErrorRow(grpc.StatusCode.UNKNOWN, "ORDER_UNSURE"),
    # Told with its text: an officer must know that a halt is not in force, and why.
    errors.PolicyLogError: ErrorRow(grpc.StatusCode.INTERNAL, "POLICY_LOG_FAILED"),
}
_UNKNOWN = ErrorRow(grpc.StatusCode.INTERNAL, "INTERNAL", shows_text=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the caller sees it; `more` are further fields at fault with their problems."""

    row: ErrorRow
    field: str
    problem: str
    message: str
    more: tuple[tuple[str, str], ...] = ()


def find_row(error: BaseException) -> ErrorRow:
    """Returns the error's row; that of an unexpected error where it has none."""
    return TABLE.get(type(error), _UNKNOWN) if isinstance(error, errors.ServerError) else _UNKNOWN


def describe(error: BaseException) -> Failure:
    """Finds the error's row; logs what the caller may not read under an opaque id."""
    row = find_row(error)
    if row.shows_text:
        violations = _list_violations(error) or (("", str(error)),)
        (field, problem), more = violations[0], violations[1:VIOLATION_COUNT_MAX]
        return Failure(row=row, field=field, problem=_cut(problem), message=_cut(str(error)), more=more)
    error_id = secrets.token_hex(8)
    _log.error("request failed", error_id=error_id, reason=row.reason, exc_info=error)
    text = f"internal error {error_id}"
    return Failure(row=row, field="", problem=text, message=text)


def to_status(failure: Failure, call: CurrentCall) -> grpc.Status:
    """Builds the gRPC status with its google.rpc details, and what else is told of the call."""
    details = [error_details_pb2.ErrorInfo(reason=failure.row.reason, domain=DOMAIN)]
    if failure.field:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=problem)
            for field, problem in ((failure.field, failure.problem), *failure.more)
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if failure.row.retryable:
        delay = duration_pb2.Duration(nanos=RETRY_DELAY_MS * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    details.append(
        error_details_pb2.RequestInfo(request_id=call.request_id, serving_data=call.bundle_version)
    )
    packed = []
    for detail in details:
        box = any_pb2.Any()
        box.Pack(detail)
        packed.append(box)
    # A named tuple, which the library's type hides.
    status: Any = rpc_status.to_status(
        status_pb2.Status(code=failure.row.code.value[0], message=failure.message, details=packed)
    )
    told: grpc.Status = status._replace(trailing_metadata=(*status.trailing_metadata, *call.to_metadata()))
    return told


def _list_violations(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Lists the fields at fault, each with its problem."""
    if isinstance(error, errors.InvalidFeaturesError):
        return error.violations
    return ((error.field, error.problem),) if isinstance(error, errors.InvalidArgumentError) else ()


def _cut(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= TEXT_BYTES_MAX:
        return text
    return encoded[: TEXT_BYTES_MAX - 4].decode("utf-8", "ignore") + " ..."
