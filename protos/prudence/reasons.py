"""An error class for each reason that a server gives, so that callers catch what they can act on."""

from collections.abc import Mapping
from typing import Final

from prudence.errors import CallError, CallFault


class RefusedError(CallError):
    """The request as it is will never be answered: mend it."""


class FieldInvalidError(RefusedError):
    """A field is wrong; `fault.violations` names it."""


class FeatureInvalidError(RefusedError):
    """Features of a borrower are wrong; `fault.violations` names each."""


class RiskModelMissingError(RefusedError):
    """The bundle that serves has no risk model."""


class MessageMalformedError(RefusedError):
    """The bytes are no message of the method."""


class ProductUnknownError(RefusedError):
    """The bundle does not know the product."""


class BundleMissingError(RefusedError):
    """There is no such bundle."""


class ProfileSourceRequiredError(RefusedError):
    """Only a trusted source may send profiles, and this caller is none."""


class CallerUnknownError(RefusedError):
    """The client's certificate names nobody that the server knows."""


class RoleMissingError(RefusedError):
    """The caller has none of the roles that the method asks for."""


class ProfileMissingError(RefusedError):
    """Nothing is stored about the user that could be read or changed."""


class UserErasedError(RefusedError):
    """The user was erased; nothing is stored under the id again."""


class VersionMismatchError(RefusedError):
    """The stored profile is not the one that the change was made for: read it again."""


class IdempotencyKeyReusedError(RefusedError):
    """The key came with another request before: a new request needs a new key."""


class StoreMissingError(RefusedError):
    """The server has no store of users."""


class FeedbackOffError(RefusedError):
    """The server keeps no feedback log."""


class ChangeRefusedError(CallError):
    """A change of policy, overlay or catalogue was refused; nothing changed."""


class PolicyKeysMissingError(ChangeRefusedError):
    """The server knows no officer's key, so its policy never changes."""


class SignatureInvalidError(ChangeRefusedError):
    """Signatures are missing, wrong, too old or by too few people."""


class PolicyUnfitError(ChangeRefusedError):
    """The document is no policy or overlay that may come into force."""


class PolicyVersionOldError(ChangeRefusedError):
    """The version is not above every version activated before."""


class OverlaySequenceOldError(ChangeRefusedError):
    """The sequence is not above that of the overlay in force."""


class OverlayLooserError(ChangeRefusedError):
    """The overlay lifts something, and is signed for tightening only."""


class CatalogueStateMissingError(ChangeRefusedError):
    """The server has no folder to keep patches of products in."""


class SeveralProcessesError(ChangeRefusedError):
    """The server has several processes, which take no such order; the message says what to do."""


class CatalogueSequenceMismatchError(ChangeRefusedError):
    """The catalogue has another sequence than expected: read it and decide again."""


class BundleUnsignedError(ChangeRefusedError):
    """No publisher that the server knows has signed the bundle."""


class BundleCorruptError(ChangeRefusedError):
    """A file of the bundle is missing, changed, or not what it should be."""


class BundleOlderError(ChangeRefusedError):
    """The bundle is older than the one that serves: only a rollback goes there."""


class BundleUnfitError(ChangeRefusedError):
    """The bundle is whole, and cannot serve there; the message says why."""


class BundleWorseError(ChangeRefusedError):
    """The bundle is worse than the one that serves; the message has the figures."""


class BundleVersionMismatchError(ChangeRefusedError):
    """Another bundle serves than expected: look and decide again."""


class BundleNoOtherError(ChangeRefusedError):
    """No other bundle served before: name the one to go back to."""


class PassingError(CallError):
    """Nothing is wrong with the request: the same one may be answered later or elsewhere."""


class OverloadedError(PassingError):
    """The server has too much to do; `fault.retry_delay_s` says when to ask again."""


class QuotaExceededError(PassingError):
    """The caller made more calls than its quota allows; `fault.retry_delay_s` says when to ask again."""


class NotReadyError(PassingError):
    """The server starts or drains."""


class StoreUnavailableError(PassingError):
    """The store of users failed; a change may have been made, and may be sent again with its key."""


class FeedbackLogFailedError(PassingError):
    """The events could not be made durable; none of them was acknowledged."""


class BundleUnreadableError(PassingError):
    """The server's disk failed under the bundle."""


class BundleBusyError(PassingError):
    """Too many orders of bundles wait already."""


class DeadlinePassedError(PassingError):
    """The call's time was up."""


class CallCancelledError(PassingError):
    """The caller gave the call up."""


class ServerFaultError(CallError):
    """The server failed; its log has the id in the message."""


class ModelOutputInvalidError(ServerFaultError):
    """The model gave no finite vector."""


class StoreRowCorruptError(ServerFaultError):
    """What is stored about this user cannot be read; the message names the field."""


class CatalogueLogFailedError(ServerFaultError):
    """The patch could not be stored, so it is not in force."""


class BundleStateFailedError(ServerFaultError):
    """The change of bundles could not be stored, so it is not in force."""


class OrderUnsureError(ServerFaultError):
    """What became of the change is not known: ask what is in force before sending another."""


class PolicyLogFailedError(ServerFaultError):
    """The change could not be stored, so it is not in force."""


ERROR_BY_REASON: Final[Mapping[str, type[CallError]]] = {
    "FIELD_INVALID": FieldInvalidError,
    "FEATURE_INVALID": FeatureInvalidError,
    "RISK_MODEL_MISSING": RiskModelMissingError,
    "MESSAGE_MALFORMED": MessageMalformedError,
    "PRODUCT_UNKNOWN": ProductUnknownError,
    "PROFILE_SOURCE_REQUIRED": ProfileSourceRequiredError,
    "CALLER_UNKNOWN": CallerUnknownError,
    "ROLE_MISSING": RoleMissingError,
    "PROFILE_MISSING": ProfileMissingError,
    "USER_ERASED": UserErasedError,
    "VERSION_MISMATCH": VersionMismatchError,
    "IDEMPOTENCY_KEY_REUSED": IdempotencyKeyReusedError,
    "STORE_MISSING": StoreMissingError,
    "FEEDBACK_OFF": FeedbackOffError,
    "POLICY_KEYS_MISSING": PolicyKeysMissingError,
    "SIGNATURE_INVALID": SignatureInvalidError,
    "POLICY_UNFIT": PolicyUnfitError,
    "POLICY_VERSION_OLD": PolicyVersionOldError,
    "OVERLAY_SEQUENCE_OLD": OverlaySequenceOldError,
    "OVERLAY_LOOSER": OverlayLooserError,
    "STORE_UNAVAILABLE": StoreUnavailableError,
    "FEEDBACK_LOG_FAILED": FeedbackLogFailedError,
    "CATALOGUE_STATE_MISSING": CatalogueStateMissingError,
    "SEVERAL_PROCESSES": SeveralProcessesError,
    "CATALOGUE_SEQUENCE_MISMATCH": CatalogueSequenceMismatchError,
    "BUNDLE_MISSING": BundleMissingError,
    "BUNDLE_UNSIGNED": BundleUnsignedError,
    "BUNDLE_CORRUPT": BundleCorruptError,
    "BUNDLE_OLDER": BundleOlderError,
    "BUNDLE_UNFIT": BundleUnfitError,
    "BUNDLE_WORSE": BundleWorseError,
    "BUNDLE_VERSION_MISMATCH": BundleVersionMismatchError,
    "BUNDLE_NO_OTHER": BundleNoOtherError,
    "BUNDLE_UNREADABLE": BundleUnreadableError,
    "BUNDLE_BUSY": BundleBusyError,
    "BUNDLE_STATE_FAILED": BundleStateFailedError,
    "DEADLINE_PASSED": DeadlinePassedError,
    "CALL_CANCELLED": CallCancelledError,
    "OVERLOADED": OverloadedError,
    "QUOTA_EXCEEDED": QuotaExceededError,
    "NOT_READY": NotReadyError,
    "MODEL_OUTPUT_INVALID": ModelOutputInvalidError,
    "STORE_ROW_CORRUPT": StoreRowCorruptError,
    "CATALOGUE_LOG_FAILED": CatalogueLogFailedError,
    "ORDER_UNSURE": OrderUnsureError,
    "POLICY_LOG_FAILED": PolicyLogFailedError,
    "INTERNAL": ServerFaultError,
}

_ERROR_BY_CODE: Final[Mapping[str, type[CallError]]] = {
    # What gRPC itself says where no server did.
    "UNAVAILABLE": PassingError,
    "DEADLINE_EXCEEDED": DeadlinePassedError,
    "CANCELLED": CallCancelledError,
}


def to_error(fault: CallFault) -> CallError:
    """Returns the error of the fault's reason; one that only a newer server knows is a CallError."""
    if fault.reason:
        return ERROR_BY_REASON.get(fault.reason, CallError)(fault)
    return _ERROR_BY_CODE.get(fault.code, CallError)(fault)
