"""A family of snapshots: the bundles that are served together, under every version of the policy.

A request keeps its family from beginning to end, so that bundles may be replaced under it: its answer is
wholly of one family, decided by the version in force.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from server.errors import PolicyUnfitError
from server.experiments.assignment import Experiments
from server.snapshot import CURRENT, Snapshot
from suitability.policy import Policy
from suitability.policy_schema import parse_instant

SCHEDULED_COUNT_MAX: Final = 8
"""Each scheduled version holds a compiled catalogue."""

Version = tuple[Snapshot, ...]
"""All that is served, under one version of the policy; each snapshot stands at its place."""


class Family:
    """The versions of the policy that are or will be in force, soonest first, compiled for the same bundles.

    `versions` is replaced as a whole, by one assignment, where policy or patches change.
    """

    __slots__ = ("__weakref__", "experiments", "versions")

    def __init__(self, versions: Sequence[Version], experiments: Experiments | None = None) -> None:
        """Keeps what is served.

        Args:
            versions: at least one.
            experiments: assigns users to places; None where all are served alike.
        """
        self.versions = tuple(versions)
        self.experiments = experiments

    @property
    def place_count(self) -> int:
        """How many snapshots are served under one policy."""
        return len(self.versions[0])

    @property
    def policies(self) -> list[Policy]:
        """The policy of each version."""
        return [policy_of(version) for version in self.versions]

    def holds(self, version: Version) -> bool:
        """Tells whether a version was compiled for the bundles that are served."""
        served = self.versions[0]
        return len(version) == len(served) and all(
            made.bundle is each.bundle for made, each in zip(version, served, strict=True)
        )

    def list_waiting(self, now: datetime) -> list[Policy]:
        """Returns the policies that take over after an instant."""
        return [policy for policy in self.policies if effective_from(policy) > now]

    def find_version(self, now: datetime) -> Version:
        """Returns the version in force at an instant."""
        versions = self.versions
        for version in reversed(versions):
            if effective_from(policy_of(version)) <= now:
                return version
        return versions[0]

    def renew(self, snapshot: Snapshot, now: datetime) -> Snapshot:
        """Returns the bundle of one of its snapshots under the version in force at the instant of decision.

        The request may have waited, and another version may have taken over meanwhile.
        """
        in_force = self.find_version(now)[snapshot.place]
        assert in_force.bundle is snapshot.bundle, "every version is compiled for the same bundles"
        return in_force


def live_policies(policies: Sequence[Policy], now: datetime) -> tuple[Policy, ...]:
    """Returns the version in force and those still to come, soonest first.

    A version gives way to any activated later, from the instant on at which that one takes effect.

    Args:
        policies: versions in the order of activation, at least one.
        now: the instant in question.
    """
    live: list[Policy] = []
    for policy in policies:
        start = max(effective_from(policy), now)
        # A version stays only for the time before this one; the very first one stays even if nothing is due.
        live = [each for each in live if max(effective_from(each), now) < start]
        live.append(policy)
    return tuple(live)


def check_schedule(policy: Policy, known: Sequence[Policy], now: datetime) -> None:
    """Checks that a version can ever be in force, and that few enough wait beside it.

    Args:
        policy: the version.
        known: those that are or will be in force.
        now: the instant of decisions.

    Raises:
        PolicyUnfitError: it has ended already, or is one too many.
    """
    end = policy.values["effective_to"]
    if end is not None and parse_instant(end) <= now:
        raise PolicyUnfitError(f"effective_to: expected an instant to come, got {end}")
    kept = [each for each in live_policies([*known, policy], now) if each is not policy]
    if sum(effective_from(each) > now for each in kept) >= SCHEDULED_COUNT_MAX:
        raise PolicyUnfitError(f"expected at most {SCHEDULED_COUNT_MAX} scheduled versions, got one more")


def effective_from(policy: Policy) -> datetime:
    """Returns the instant from which a policy can be in force."""
    return parse_instant(policy.values["effective_from"])


def policy_of(version: Version) -> Policy:
    """Returns the policy of a version."""
    return version[CURRENT].policy
