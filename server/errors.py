"""Errors of the server.

ServerError
|-- RequestError              the caller's fault; answered, never logged as ours
|   |-- InvalidArgumentError  a field is wrong; `.field` names it
|   |-- InvalidFeaturesError  features of a borrower are wrong; `.violations` names each
|   |-- RiskModelMissingError the bundle that serves has no risk model
|   |-- MalformedMessageError the bytes are not the message that the method takes
|   |-- ProductUnknownError   the product asked about is not in the bundle
|   |-- BundleMissingError    there is no such bundle
|   |-- ProfileRefusedError   this server takes no inline profiles, or no changes of stored ones
|   |-- StoreMissingError     this server has no store of users
|   |-- ProfileMissingError   nothing is stored about the user that could be read or changed
|   |-- UserErasedError       the user was erased; nothing may be stored about them
|   |-- VersionMismatchError  the stored profile has another version than the caller expected
|   |-- IdempotencyKeyError   the idempotency key came with another request before
|   |-- ChangeRefusedError    a change of policy, overlay or catalogue is refused; what was in force stays
|   |   |-- PolicyKeysMissingError   this server has no officers' keys, so nothing can authorise a change
|   |   |-- SignatureInvalidError    the signatures do not authorise this change
|   |   |-- PolicyUnfitError         the policy fails lint, or it or the overlay does not fit what is in force
|   |   |-- PolicyVersionOldError    the version is not above every version activated before
|   |   |-- OverlaySequenceOldError  the sequence is not above that of the overlay in force
|   |   |-- OverlayLooserError       the overlay lifts something and is not signed for that
|   |   |-- BundleUnsignedError      no publisher's signature holds for the bundle
|   |   |-- BundleCorruptError       a file of the bundle is missing, changed, or not what it should be
|   |   |-- BundleOlderError         the bundle is older than the one that serves
|   |   |-- BundleUnfitError         the bundle is whole, and cannot serve here
|   |   |-- BundleWorseError         the bundle is worse than the one that serves
|   |   |-- BundleMismatchError      another bundle serves than the caller expected
|   |   |-- NoOtherBundleError       no other bundle served before
|   |   |-- SeveralProcessesError    not every process of several can carry out this order
|   |   |-- CatalogueOffError        this server has no folder to keep patches of products in
|   |   `-- CatalogueSequenceError   the catalogue has another sequence than the caller expected
|   |-- FeedbackOffError      this server keeps no feedback log
|   |-- CallerUnknownError    the certificate names no known caller, or several
|   |-- RoleMissingError      the caller has none of the roles that the method asks for
|   |-- DeadlineError         the caller's deadline passed before the answer
|   `-- CancelledError        the caller went away before the answer
|-- ServingError              our fault or our state; answered
|   |-- OverloadError         the queue is full; worth retrying
|   |-- QuotaError            the caller made too many calls; worth retrying
|   |-- NotReadyError         starting or draining; worth retrying
|   |-- StoreReadError        the store failed under a request; worth retrying
|   |   `-- StoreRowError     what is stored about one user cannot be read; names the field
|   |-- StoreWriteError       the store failed under a change; worth retrying with the same key
|   |-- ModelOutputError      the user tower gave no usable vector for this request
|   |-- FeedbackLogError      events could not be made durable; none of them is acknowledged, worth retrying
|   |-- CatalogueLogError     a patch could not be written; it did not take effect
|   |-- OrderUnsureError      what became of a change is not known in every process
|   |-- BundleReadError       the disk failed under a bundle; worth retrying
|   |-- BundleBusyError       too many orders of bundles wait; worth retrying
|   |-- BundleLogError        a change of bundles could not be written; it did not take effect
|   `-- PolicyLogError        a change could not be written; it did not take effect
`-- StartError                stops the program with one line
    |-- SettingsError         a setting is unknown or bad; the message names it
    |-- PortError             the address cannot be bound
    |-- ProcessError          a supervised process did not start, or did not drain
    |-- DeviceError           the device asked for did not load
    |-- StoreError            the store is missing, corrupt or of another version
    |-- PseudonymKeyError     the key file is missing, open to others, or not the store's
    |-- SnapshotError         bundle, policy and stages do not make a servable whole
    |-- AssumedDataError      assumed data without leave to serve it
    |-- FeedbackStateError    the feedback log cannot be opened, is corrupt or does not fit the store
    |-- CertificateError      a certificate, key or authority cannot be read, or they do not fit
    |-- CallersFileError      the callers' file cannot be read
    |-- AccessLogError        the access log cannot be opened
    |-- ExperimentsError      the experiments file, or what it asks for, is not usable; names the field
    |-- CatalogueStateError   the catalogue log is not usable
    |-- BundleStateError      the bundle log is not usable
    `-- PolicyStateError      policy log, officers' keys or the first policy's signatures are not usable

The class decides what a caller sees; the one table is in `status.py`.
"""

from collections.abc import Sequence


class ServerError(Exception):
    """Root of the errors of this package."""


class RequestError(ServerError):
    """The caller's fault."""


class InvalidArgumentError(RequestError):
    """A field of the request is wrong."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidFeaturesError(RequestError):
    """Features of a borrower are wrong; `violations` names each with its problem, and no value."""

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{field}: {problem}" for field, problem in violations))
        self.violations = tuple(violations)


class RiskModelMissingError(RequestError):
    """The bundle that serves has no risk model."""


class MalformedMessageError(RequestError):
    """The bytes are not the message that the method takes."""


class ProductUnknownError(RequestError):
    """The product asked about is not in the bundle."""


class BundleMissingError(RequestError):
    """There is no such bundle."""


class ProfileRefusedError(RequestError):
    """This server takes no inline profiles, or no changes of stored ones."""


class StoreMissingError(RequestError):
    """This server has no store of users."""


class ProfileMissingError(RequestError):
    """Nothing is stored about the user that could be read or changed."""


class UserErasedError(RequestError):
    """The user was erased; nothing may be stored about them."""


class VersionMismatchError(RequestError):
    """The stored profile has another version than the caller expected."""


class IdempotencyKeyError(RequestError):
    """The idempotency key came with another request before."""


class ChangeRefusedError(RequestError):
    """A change of policy, overlay or catalogue is refused; what was in force stays."""


class PolicyKeysMissingError(ChangeRefusedError):
    """This server has no officers' keys, so nothing can authorise a change."""


class SignatureInvalidError(ChangeRefusedError):
    """The signatures do not authorise this change."""


class PolicyUnfitError(ChangeRefusedError):
    """The policy fails lint, or it or the overlay does not fit what is in force."""


class PolicyVersionOldError(ChangeRefusedError):
    """The version is not above every version activated before."""


class OverlaySequenceOldError(ChangeRefusedError):
    """The sequence is not above that of the overlay in force."""


class OverlayLooserError(ChangeRefusedError):
    """The overlay lifts something and is not signed for that."""


class SeveralProcessesError(ChangeRefusedError):
    """Not every process of several can carry out this order."""


class FeedbackOffError(RequestError):
    """This server keeps no feedback log."""


class CallerUnknownError(RequestError):
    """The certificate names no known caller, or several."""


class RoleMissingError(RequestError):
    """The caller has none of the roles that the method asks for."""


class CatalogueOffError(ChangeRefusedError):
    """This server has no folder to keep patches of products in."""


class CatalogueSequenceError(ChangeRefusedError):
    """The catalogue has another sequence than the caller expected."""


class BundleUnsignedError(ChangeRefusedError):
    """No publisher's signature holds for the bundle."""


class BundleCorruptError(ChangeRefusedError):
    """A file of the bundle is missing, changed, or not what it should be."""


class BundleOlderError(ChangeRefusedError):
    """The bundle is older than the one that serves, and nobody asked to roll back."""


class BundleUnfitError(ChangeRefusedError):
    """The bundle is whole, and cannot serve here."""


class BundleWorseError(ChangeRefusedError):
    """The bundle is worse than the one that serves."""


class BundleMismatchError(ChangeRefusedError):
    """Another bundle serves than the caller expected."""


class NoOtherBundleError(ChangeRefusedError):
    """No other bundle served before."""


class DeadlineError(RequestError):
    """The caller's deadline passed before the answer."""


class CancelledError(RequestError):
    """The caller went away before the answer."""


class ServingError(ServerError):
    """Our fault or our state."""


class OverloadError(ServingError):
    """The queue is full."""


class QuotaError(ServingError):
    """The caller made more calls than its quota allows."""


class NotReadyError(ServingError):
    """The server is starting or draining."""


class StoreReadError(ServingError):
    """The store failed under a request."""


class StoreRowError(StoreReadError):
    """What is stored about one user cannot be read; `field` names the part."""

    def __init__(self, field: str) -> None:
        super().__init__(f"{field}: what is stored of this user cannot be read")
        self.field = field


class StoreWriteError(ServingError):
    """The store failed under a change; whether it was made is not known."""


class ModelOutputError(ServingError):
    """The user tower gave no usable vector for this request."""


class FeedbackLogError(ServingError):
    """Events could not be made durable; none of them is acknowledged."""


class OrderUnsureError(ServingError):
    """What became of a change is not known: it may be stored, and in force in some processes."""


class PolicyLogError(ServingError):
    """A change could not be written; it did not take effect."""


class CatalogueLogError(ServingError):
    """A patch could not be written; it did not take effect."""


class BundleReadError(ServingError):
    """The disk failed under a bundle."""


class BundleBusyError(ServingError):
    """Too many orders of bundles wait."""


class BundleLogError(ServingError):
    """A change of bundles could not be written; it did not take effect."""


class StartError(ServerError):
    """Stops the program with one line."""


class SettingsError(StartError):
    """A setting is unknown or bad."""


class PortError(StartError):
    """The address cannot be bound."""


class ProcessError(StartError):
    """A supervised process did not start, or did not drain."""


class DeviceError(StartError):
    """The device asked for did not load."""


class StoreError(StartError):
    """The store is missing, corrupt or of another version."""


class PseudonymKeyError(StartError):
    """The key file is missing, open to others, or not the one that the store was written with."""


class SnapshotError(StartError):
    """Bundle, policy and stages do not make a servable whole."""


class AssumedDataError(StartError):
    """The data holds assumed values and the settings do not allow that."""


class FeedbackStateError(StartError):
    """The feedback log cannot be opened, is corrupt or does not fit the store."""


class CertificateError(StartError):
    """A certificate, key or authority cannot be read, or they do not fit together."""


class CallersFileError(StartError):
    """The callers' file cannot be read or is not what it should be."""


class AccessLogError(StartError):
    """The access log cannot be opened."""


class ExperimentsError(StartError):
    """The experiments file, or what it asks for, is not usable."""


class CatalogueStateError(StartError):
    """The catalogue log is not usable."""


class BundleStateError(StartError):
    """The bundle log is not usable."""


class PolicyStateError(StartError):
    """Policy log, officers' keys or the first policy's signatures are not usable."""
