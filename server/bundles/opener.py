"""Opens a bundle and what experiments serve beside it, under every version of the policy."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from index.bundle import examine_bundle, read_current
from index.errors import BundleError, BundleFormatError, BundleNotFoundError, BundleSignatureError
from index.manifest import MANIFEST
from server.bundles.gates import Limits, judge_bundle
from server.bundles.messages import Facts, Finding, Reason, Refusal
from server.config import Settings
from server.errors import (
    AssumedDataError,
    BundleLogError,
    DeviceError,
    ExperimentsError,
    SettingsError,
    SnapshotError,
    StartError,
)
from server.experiments.opening import open_experiments, read_plan
from server.experiments.plan import Plan
from server.family import Family
from server.pace import Rest, never_rest
from server.snapshot import CURRENT, Snapshot, all_under_policy, load_publishers, open_snapshot, warm_up
from suitability.policy import Policy

AHEAD_MAX: Final = timedelta(days=1)
"""Every bundle that is built later would be refused as older than one from the future."""


class Opener:
    """Opens bundles of one folder as the settings say."""

    def __init__(self, settings: Settings) -> None:
        """Reads the plan of experiments, and proves that the publishers' keys can be read.

        Raises:
            StartError: they cannot be read.
        """
        self._settings = settings
        signed = load_publishers(settings.bundle_keys) is not None
        if not signed and not settings.allow_unsigned:
            raise SettingsError(
                "bundle_keys: not set: expected the publishers' public keys, or --allow-unsigned to serve "
                "bundles without asking who made them"
            )
        if signed and settings.allow_unsigned:
            raise SettingsError("allow_unsigned: set with bundle_keys, which asks for signatures")
        self._plan = read_plan(settings)

    def judge(self, made: Family, serving: Snapshot, rest: Rest = never_rest) -> tuple[Finding, ...]:
        """Returns what the promotion gates say of an opened bundle beside the one that serves."""
        settings = self._settings
        limits = Limits(
            settings.bundle_recall_min, settings.bundle_quality_drop_max, settings.bundle_products_lost_max
        )
        now = settings.decision_clock().now()
        return judge_bundle(made.find_version(now)[CURRENT], serving, limits, now, settings.channel, rest)

    def follow(self, plan: Plan) -> None:
        """Opens every further bundle with what this plan serves beside it."""
        self._plan = plan

    def read_current(self) -> str:
        """Returns the version that CURRENT names.

        Raises:
            SnapshotError: it cannot be read, or what it names is not there.
        """
        try:
            return read_current(self._settings.bundles).name
        except BundleError as error:
            raise SnapshotError(f"bundle: {error}") from error

    def examine(self, version: str) -> Facts:
        """Reads the manifest of a bundle, proven to be signed where keys were given; no other file is read.

        The keys are read each time: one that was retired or added counts from the next bundle on.

        Raises:
            BundleError: it is not there, not signed, no manifest, or built after now.
            SettingsError: the keys cannot be read.
        """
        keys = load_publishers(self._settings.bundle_keys)
        manifest, signers = examine_bundle(self._settings.bundles / version, keys)
        ahead = manifest.created - datetime.now(UTC)
        if ahead > AHEAD_MAX:
            raise BundleFormatError(
                MANIFEST,
                f"create_time is {manifest.create_time}, {ahead.days} days from now: the clock of the "
                "machine that built it, or of this one, is wrong",
            )
        return Facts(version, manifest.created, manifest.sha256, signers)

    def open(
        self,
        version: str,
        policies: Sequence[Policy],
        serving: Sequence[Snapshot] = (),
        rest: Rest = never_rest,
    ) -> Family:
        """Opens a bundle and warms it up.

        Args:
            version: of the bundle.
            policies: those that are or will be in force, soonest first.
            serving: what serves already, under the first of the policies: bundles that experiments need are
                taken as they are.
            rest: called between pieces of the work; others are being answered meanwhile.

        Raises:
            StartError: the bundle is not whole, or cannot serve with these settings.
        """
        settings = self._settings
        current = open_snapshot(
            settings.bundles,
            policies[0],
            device=settings.device,
            thread_count=settings.threads,
            retriever=settings.retriever,
            allow_assumed=settings.allow_assumed,
            kernel=settings.kernel,
            version=version,
            keys=load_publishers(settings.bundle_keys),
            rest=rest,
        )
        opened = [each for each in serving if each.version != version]
        experiments, others = open_experiments(self._plan, settings, current, opened)
        served = (current, *others)
        for snapshot in served:
            # What serves already was warmed up, and its tower is for one thread at a time.
            if all(snapshot.encoder is not each.encoder for each in opened):
                warm_up(snapshot, rest)
        versions = [served, *(all_under_policy(served, policy) for policy in policies[1:])]
        return Family(versions, experiments)


def facts_of(snapshot: Snapshot) -> Facts:
    """Returns what the manifest of an open bundle says."""
    manifest = snapshot.bundle.manifest
    return Facts(snapshot.version, manifest.created, manifest.sha256, snapshot.bundle.signers)


def to_refusal(error: Exception) -> Refusal | None:
    """Returns why a bundle is refused, None for an error that is none of the bundle's."""
    cause = error.__cause__
    match error:
        case StartError() if isinstance(cause, BundleError):
            return to_refusal(cause)
        case BundleNotFoundError() if "/" in error.file:
            reason = Reason.MISSING
        case BundleSignatureError() | SettingsError():
            # Of the settings only the publishers' keys are read again: without them nobody has signed.
            reason = Reason.UNSIGNED
        case BundleError():
            reason = Reason.CORRUPT
        case OSError():
            reason = Reason.UNREADABLE
        case BundleLogError():
            reason = Reason.STATE
        case SnapshotError() | AssumedDataError() | DeviceError() | ExperimentsError():
            reason = Reason.UNFIT
        case _:
            return None
    return Refusal(reason, str(error))
