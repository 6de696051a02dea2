"""Does what the bundle manager's machine asks for: on the disk, in memory, and in what is served."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import structlog

from index.bundle import read_current
from index.errors import BundleError
from index.files import CURRENT
from server.active_policy import ActivePolicy
from server.bundles.log import BundleLog
from server.bundles.messages import Change, Facts, Finding, Pointer, Reason, Refusal, Tell
from server.bundles.metrics import BundleMetrics
from server.bundles.opener import Opener, to_refusal
from server.family import Family, policy_of
from server.pace import Pace

_log = structlog.get_logger("server")

_Result = TypeVar("_Result")


class LivePorts:
    """The folder of bundles, the bundles opened beside those that serve, and what is in force."""

    def __init__(
        self,
        bundles: Path,
        opener: Opener,
        active: ActivePolicy,
        log: BundleLog | None,
        metrics: BundleMetrics | None,
    ) -> None:
        """Keeps what it works on.

        Args:
            bundles: the folder of bundles.
            opener: opens one.
            active: holds what is served.
            log: keeps changes over a restart; None where nobody does.
            metrics: count; None where nobody reads them.
        """
        self._bundles = bundles
        self._opener = opener
        self._active = active
        self._log = log
        self._metrics = metrics
        self._opened: dict[str, Family] = {}

    def read_pointer(self) -> Pointer | Refusal:
        """Reads CURRENT."""
        try:
            status = (self._bundles / CURRENT).lstat()
            return Pointer(read_current(self._bundles).name, (status.st_ino, status.st_mtime_ns))
        except OSError as error:
            return Refusal(Reason.POINTER, f"{CURRENT} cannot be read: {error.strerror}")
        except BundleError as error:
            return Refusal(Reason.POINTER, str(error))

    def examine(self, version: str) -> Facts | Refusal:
        """Reads the manifest of a bundle."""
        return _refuse_errors(lambda: self._opener.examine(version))

    def open(self, facts: Facts) -> tuple[Finding, ...] | Refusal:
        """Opens, warms and judges a bundle, and keeps it until it is dropped or serves."""
        return _refuse_errors(lambda: self._open(facts))

    def keep(self, change: Change) -> Refusal | None:
        """Writes a change down and brings it into force."""
        if not change.moves:
            return _refuse_errors(lambda: self._write_down(change))
        made = self._opened.pop(change.facts.version)
        refusal = _refuse_errors(lambda: self._active.replace_bundles(made, lambda: self._write_down(change)))
        if refusal is None and self._metrics is not None:
            self._metrics.set_serving(change.facts.version)
        return refusal

    def drop(self, version: str) -> None:
        """Lets go of a bundle that was opened."""
        self._opened.pop(version, None)

    def tell(self, told: Tell) -> None:
        """Says what happened in log and metrics."""
        if self._metrics is not None:
            self._metrics.observe(told)
        fields = {"goal": told.goal.value, "bundle": told.version, "by": told.by, "before": told.before}
        if told.refusal is None:
            _log.info("bundle changed", **fields)
        else:
            _log.warning(
                "bundle refused", **fields, reason=told.refusal.reason.value, problem=told.refusal.problem
            )

    def _write_down(self, change: Change) -> None:
        if self._log is not None:
            self._log.append(datetime.now(UTC), change)

    def _open(self, facts: Facts) -> tuple[Finding, ...] | Refusal:
        versions, start_s = self._active.family.versions, time.monotonic()
        policies = [policy_of(version) for version in versions]
        pace = Pace()
        made = self._opener.open(facts.version, policies, versions[0], pace.rest)
        if made.versions[0][0].bundle.manifest.sha256 != facts.manifest_sha256:
            return Refusal(Reason.CORRUPT, f"bundle {facts.version}: its manifest was changed meanwhile")
        findings = self._opener.judge(made, self._active.pin(), pace.rest)
        if self._metrics is not None:
            self._metrics.observe_load(time.monotonic() - start_s)
        self._opened[facts.version] = made
        return findings


def _refuse_errors(work: Callable[[], _Result]) -> _Result | Refusal:
    """Returns what work returns, or why there is nothing to return."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whatever a bundle does, the one that serves goes on.
        refusal = to_refusal(error)
        if refusal is not None:
            return refusal
        _log.error("a bundle could not be opened", exc_info=error)
        return Refusal(Reason.FAILED, f"{type(error).__name__}; the log has more")
