"""Decides whether a change of policy or overlay is authorised, from documents, keys and history alone.

The same checks run when an officer sends a change and when the policy log is read back; then the age of
signatures is left out, since it was judged when the change was accepted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from server.errors import (
    ChangeRefusedError,
    InvalidArgumentError,
    OverlayLooserError,
    OverlaySequenceOldError,
    PolicyStateError,
    PolicyUnfitError,
    PolicyVersionOldError,
    SignatureInvalidError,
)
from server.policy_log import ChangeKind, PolicyLog, Record
from suitability.errors import DocumentError, SignatureError
from suitability.json_documents import canonical_bytes, read_bytes
from suitability.overlay import Overlay, is_tighter, load_overlay
from suitability.policy import Policy, load_policy
from suitability.policy_lint import lint
from suitability.signatures import (
    SIGNER_COUNT,
    KeyRing,
    Purpose,
    SignatureSet,
    load_keys,
    load_signatures,
    verify,
)

SEQUENCE_STEP_MAX: Final = 1000
"""One signature puts a halt in force; it must not use up the numbers that every later overlay needs."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What authorises a change: signatures by these keys, none older than this."""

    keys: KeyRing
    signature_age_max: timedelta


@dataclass(frozen=True, slots=True)
class OverlayChange:
    """An overlay and the signatures on it."""

    overlay: Overlay
    signatures: SignatureSet


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A version of the policy and the signatures on it."""

    policy: Policy
    signatures: SignatureSet


@dataclass(frozen=True, slots=True)
class History:
    """What the accepted changes amount to: the versions in the order of activation, and the last overlay."""

    policies: tuple[Policy, ...] = ()
    overlay: Overlay | None = None


_NOTHING: Final = History()


@dataclass(slots=True)
class Control:
    """What changes are checked against and written to; `history` is what has been accepted so far."""

    authority: Authority
    log: PolicyLog
    history: History


def load_authority(path: Path, signature_days_max: int) -> Authority:
    """Loads the officers' keys.

    Raises:
        PolicyStateError: the file is not there or holds anything else.
    """
    try:
        return Authority(load_keys(path), timedelta(days=signature_days_max))
    except DocumentError as error:
        raise PolicyStateError(f"policy_keys: {error}") from error


def read_overlay_change(document: bytes, signatures: bytes) -> OverlayChange:
    """Reads an overlay and its signatures. Raises: InvalidArgumentError: one of them is malformed."""
    try:
        overlay = load_overlay(document)
    except DocumentError as error:
        raise InvalidArgumentError("overlay_document", str(error)) from error
    return OverlayChange(overlay, _read_signatures(signatures))


def read_policy_change(document: bytes, signatures: bytes) -> PolicyChange:
    """Reads a policy and its signatures. Raises: InvalidArgumentError: one of them is malformed."""
    try:
        policy = load_policy(document)
    except DocumentError as error:
        raise InvalidArgumentError("policy_document", str(error)) from error
    return PolicyChange(policy, _read_signatures(signatures))


def check_overlay_change(
    change: OverlayChange, history: History, authority: Authority, now: datetime | None
) -> None:
    """Checks that an overlay may replace the one in force.

    Args:
        change: the overlay and its signatures.
        history: what is in force.
        authority: whose signatures count.
        now: the instant at which signatures are judged for age; None leaves age out.

    Raises:
        ChangeRefusedError: it may not; the class says why.
    """
    overlay, in_force = change.overlay, history.overlay
    policy_id = history.policies[-1].policy_id
    if overlay.policy_id != policy_id:
        raise PolicyUnfitError(
            f"the overlay is for another policy: expected {policy_id!r:.80}, got {overlay.policy_id!r:.80}"
        )
    if in_force is not None and overlay.sequence <= in_force.sequence:
        raise OverlaySequenceOldError(
            f"expected a sequence above {in_force.sequence}, that of the overlay in force, "
            f"got {overlay.sequence}"
        )
    sequence_max = SEQUENCE_STEP_MAX + (0 if in_force is None else in_force.sequence)
    if overlay.sequence > sequence_max:
        raise PolicyUnfitError(f"sequence: expected at most {sequence_max}, got {overlay.sequence}")
    tighter = in_force is None or is_tighter(overlay, in_force)
    if not tighter and change.signatures.purpose is not Purpose.LOOSEN:
        raise OverlayLooserError(
            "the overlay lifts something that the one in force holds: "
            f"expected {SIGNER_COUNT[Purpose.LOOSEN]} signatures to {Purpose.LOOSEN}, "
            f"got signatures to {change.signatures.purpose}"
        )
    purpose = Purpose.TIGHTEN if tighter else Purpose.LOOSEN
    _verify(change.signatures, overlay.sha256, purpose, authority, now)


def check_policy_change(
    change: PolicyChange, history: History, authority: Authority, now: datetime | None
) -> None:
    """Checks that a version of the policy may be activated, as `check_overlay_change` does for an overlay."""
    policy = change.policy
    findings = lint(policy)
    if findings:
        raise PolicyUnfitError("; ".join(findings))
    version = _read_version(policy)
    if history.policies:
        latest = history.policies[-1]
        if policy.policy_id != latest.policy_id:
            raise PolicyUnfitError(
                f"policy_id: expected {latest.policy_id!r:.80}, got {policy.policy_id!r:.80}"
            )
        if version <= _read_version(latest):
            raise PolicyVersionOldError(
                f"expected a version above {latest.version}, the latest activated, got {policy.version}"
            )
    _verify(change.signatures, policy.sha256, Purpose.ACTIVATE, authority, now)


def follow(history: History, change: OverlayChange | PolicyChange) -> History:
    """Returns the history with one more accepted change."""
    if isinstance(change, OverlayChange):
        return History(history.policies, change.overlay)
    return History((*history.policies, change.policy), history.overlay)


def replay(records: Sequence[Record], authority: Authority, history: History = _NOTHING) -> History:
    """Reads accepted changes back, after those that made a history, and checks each again.

    Raises:
        PolicyStateError: a change would not be accepted; the message names its line.
    """
    for record in records:
        document, signatures = record.document.encode(), record.signatures.encode()
        change: OverlayChange | PolicyChange
        try:
            if record.kind is ChangeKind.OVERLAY:
                if not history.policies:
                    raise PolicyUnfitError("an overlay before any policy")
                change = read_overlay_change(document, signatures)
                check_overlay_change(change, history, authority, None)
            else:
                change = read_policy_change(document, signatures)
                check_policy_change(change, history, authority, None)
        except (ChangeRefusedError, InvalidArgumentError) as error:
            raise PolicyStateError(f"policy_state: policy log line {record.sequence}: {error}") from error
        history = follow(history, change)
    return history


def read_start_policy(path: Path, authority: Authority) -> PolicyChange:
    """Reads the policy that a server with keys starts under the first time, and checks its signatures.

    Age is left out: the file is the operator's own, and no older version can follow a newer one.

    Args:
        path: the policy; its signatures lie beside it, where `python -m suitability sign` puts them.
        authority: whose signatures count.

    Raises:
        PolicyStateError: one of the files cannot be used.
    """
    signatures = path.with_name(f"{path.name}.sig.json")
    try:
        change = read_policy_change(read_bytes(path), read_bytes(signatures))
        check_policy_change(change, History(), authority, None)
    except (DocumentError, ChangeRefusedError, InvalidArgumentError) as error:
        raise PolicyStateError(
            f"policy: {path} needs its {SIGNER_COUNT[Purpose.ACTIVATE]} signatures in {signatures.name}: "
            f"{error}"
        ) from error
    return change


def signature_bytes(signatures: SignatureSet) -> bytes:
    """Returns the canonical bytes of a set of signatures, as the log keeps them."""
    return canonical_bytes(signatures.values())


def _read_signatures(document: bytes) -> SignatureSet:
    try:
        return load_signatures(document)
    except DocumentError as error:
        raise InvalidArgumentError("signature_document", str(error)) from error


def _read_version(policy: Policy) -> tuple[int, ...]:
    parts = policy.version.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        raise PolicyUnfitError(
            f"version: expected numbers with dots between, for example 2026.11.0, got {policy.version!r:.80}"
        )
    return tuple(int(part) for part in parts)


def _verify(
    signatures: SignatureSet, sha256: str, purpose: Purpose, authority: Authority, now: datetime | None
) -> None:
    if now is not None:
        _check_none_retired(signatures, authority, now)
    try:
        verify(
            signatures,
            sha256,
            purpose,
            authority.keys,
            now=now,
            age_max=authority.signature_age_max,
            signer_count=SIGNER_COUNT[purpose],
        )
    except SignatureError as error:
        raise SignatureInvalidError(str(error)) from error


def _check_none_retired(signatures: SignatureSet, authority: Authority, now: datetime) -> None:
    """Refuses keys that are retired by now: whoever stole one would sign with a date before that."""
    for signature in signatures.signatures:
        key = authority.keys.keys.get(signature.key_id)
        if key is not None and key.retired_at is not None and key.retired_at <= now:
            retired_at = key.values()["retired_at"]
            raise SignatureInvalidError(
                f"key {key.key_id!r:.80} was retired at {retired_at}: it signs no new change"
            )
