"""What an order of policy or overlay is told of beside its authority, and what the log says of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import structlog

from server.errors import PolicyUnfitError, ServerError
from server.family import effective_from
from server.messages import ActivateAnswer
from server.policy_changes import OverlayChange, PolicyChange
from server.policy_log import ChangeKind
from server.snapshot import Snapshot
from server.status import find_row
from suitability.errors import OverlayError
from suitability.overlay import Overlay, tighten
from suitability.policy import Policy

_log = structlog.get_logger("server")


def log_accepted(kind: ChangeKind, change: OverlayChange | PolicyChange, request_id: str) -> None:
    """Says that a change was stored, and who signed it."""
    document = change.overlay if isinstance(change, OverlayChange) else change.policy
    _log.info(
        "change accepted",
        kind=kind.value,
        hash=document.sha256,
        signers=[each.key_id for each in change.signatures.signatures],
        request_id=request_id,
    )


def answer_activated(
    policy: Policy, now: datetime, waiting: Sequence[Policy], kept: Sequence[Policy], request_id: str
) -> ActivateAnswer:
    """Returns what a version that was activated is answered with.

    Args:
        policy: the version.
        now: the instant of decisions at which it was accepted.
        waiting: those that waited before it.
        kept: those that are or will be in force with it; whoever waited and is not among them was replaced.
        request_id: of the order.
    """
    replaced = tuple(each.version for each in waiting if each not in kept)
    if replaced:
        _log.warning(
            "versions that waited were replaced", versions=replaced, by=policy.version, request_id=request_id
        )
    start = effective_from(policy)
    return ActivateAnswer(policy, max(start, now), start > now, request_id, replaced)


def check_tightens(policy: Policy, change: OverlayChange) -> None:
    """Checks that an overlay only tightens a policy. Raises: PolicyUnfitError: it does not."""
    try:
        tighten(policy, change.overlay)
    except OverlayError as error:
        raise PolicyUnfitError(str(error)) from error


def find_unknown(overlay: Overlay, snapshot: Snapshot) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the halted products and issuers that the bundle does not have, each sorted."""
    products = overlay.halted_products - snapshot.row_of.keys()
    issuers = set(overlay.halted_issuers)
    if issuers:
        issuers.difference_update(snapshot.bundle.products.rows.distinct("issuer").values)
    return tuple(sorted(products)), tuple(sorted(issuers))


@contextmanager
def refusals_logged(kind: ChangeKind, request_id: str) -> Iterator[None]:
    """Says why a change was refused, and lets the error go on."""
    try:
        yield
    except ServerError as error:
        _log.warning(
            "change refused",
            kind=kind.value,
            reason=find_row(error).reason,
            problem=str(error),
            request_id=request_id,
        )
        raise
