"""An error class for each reason that a server gives, so that callers catch what they can act on."""

from collections.abc import Mapping
from typing import Final

from prudence.errors import CallError, CallFault


class RefusedError(CallError):
    """The request as it is will never be answered: mend it."""


class FieldInvalidError(RefusedError):
    """A field is wrong; `fault.violations` names it."""


class MessageMalformedError(RefusedError):
    """The bytes are no message of the method."""


class ProductUnknownError(RefusedError):
    """The bundle does not know the product."""


class ProfileSourceRequiredError(RefusedError):
    """Only a trusted source may send profiles, and this caller is none."""


class ChangeRefusedError(CallError):
    """A change of policy or overlay was not authorised; nothing changed."""


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


class PassingError(CallError):
    """Nothing is wrong with the request: the same one may be answered later or elsewhere."""


class OverloadedError(PassingError):
    """The server has too much to do; `fault.retry_delay_s` says when to ask again."""


class NotReadyError(PassingError):
    """The server starts or drains."""


class DeadlinePassedError(PassingError):
    """The call's time was up."""


class CallCancelledError(PassingError):
    """The caller gave the call up."""


class ServerFaultError(CallError):
    """The server failed; its log has the id in the message."""


class StoreFailedError(ServerFaultError):
    """The store of users could not be read."""


class ModelOutputInvalidError(ServerFaultError):
    """The model gave no finite vector."""


class PolicyLogFailedError(ServerFaultError):
    """The change could not be stored, so it is not in force."""


ERROR_BY_REASON: Final[Mapping[str, type[CallError]]] = {
    "FIELD_INVALID": FieldInvalidError,
    "MESSAGE_MALFORMED": MessageMalformedError,
    "PRODUCT_UNKNOWN": ProductUnknownError,
    "PROFILE_SOURCE_REQUIRED": ProfileSourceRequiredError,
    "POLICY_KEYS_MISSING": PolicyKeysMissingError,
    "SIGNATURE_INVALID": SignatureInvalidError,
    "POLICY_UNFIT": PolicyUnfitError,
    "POLICY_VERSION_OLD": PolicyVersionOldError,
    "OVERLAY_SEQUENCE_OLD": OverlaySequenceOldError,
    "OVERLAY_LOOSER": OverlayLooserError,
    "DEADLINE_PASSED": DeadlinePassedError,
    "CALL_CANCELLED": CallCancelledError,
    "OVERLOADED": OverloadedError,
    "NOT_READY": NotReadyError,
    "STORE_FAILED": StoreFailedError,
    "MODEL_OUTPUT_INVALID": ModelOutputInvalidError,
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
