"""Opens the bundle that a start serves: the one that served last, or the one that CURRENT names."""

from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from server.bundles.log import BundleLog
from server.bundles.messages import Change, Goal
from server.bundles.opener import Opener, facts_of, to_refusal
from server.errors import BundleLogError, BundleStateError, SnapshotError, StartError
from server.family import Family
from suitability.policy import Policy

_log = structlog.get_logger("server")


def open_first(opener: Opener, log: BundleLog | None, policies: Sequence[Policy]) -> Family:
    """Opens the bundle that a start serves.

    What CURRENT names by now is followed later, like anything that is published, and under the same gates.

    Args:
        opener: opens bundles.
        log: what served before; None where nothing is kept.
        policies: those that are or will be in force, soonest first.

    Raises:
        StartError: no bundle can be opened that may serve.
    """
    kept = None if log is None else log.state
    if kept is not None:
        try:
            family = _open(opener, kept.serving.version, policies)
            if facts_of(family.versions[0][0]).manifest_sha256 != kept.serving.manifest_sha256:
                raise SnapshotError(f"bundle {kept.serving.version}: it is not the one that served last")
            return family
        except StartError as error:
            current = opener.read_current()
            if kept.pinned or current == kept.serving.version or current in kept.rolled_back:
                raise
            _log.warning("the bundle that served last cannot be opened", problem=str(error), current=current)
    current = opener.read_current()
    family = _open(opener, current, policies)
    change = Change(Goal.ACTIVATE, facts_of(family.versions[0][0]), current)
    if log is not None:
        try:
            log.append(datetime.now(UTC), change)
        except BundleLogError as error:
            raise BundleStateError(f"bundle_state: {error}") from error
    return family


def _open(opener: Opener, version: str, policies: Sequence[Policy]) -> Family:
    """Opens a bundle; one that is refused is told of as the watcher tells of it."""
    try:
        return opener.open(version, policies)
    except StartError as error:
        refusal = to_refusal(error)
        if refusal is not None:
            _log.warning(
                "bundle refused", bundle=version, reason=refusal.reason.value, problem=refusal.problem
            )
        raise
