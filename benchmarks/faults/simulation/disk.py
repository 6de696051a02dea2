"""The simulated disk, which outlives a crash: bundles with and without flaws, CURRENT, the log of changes."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from benchmarks.faults.simulation.world import Fault, World
from server.bundles.messages import Change, Facts, Finding, Goal, Pointer, Reason, Refusal
from server.bundles.state import State, follow

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Flaw(StrEnum):
    """What may be wrong with a bundle."""

    NONE = "none"
    MISSING = "missing"
    UNSIGNED = "unsigned"
    CORRUPT = "corrupt"
    UNFIT = "unfit"
    WORSE = "worse"


_REFUSALS = {
    Flaw.MISSING: Reason.MISSING,
    Flaw.UNSIGNED: Reason.UNSIGNED,
    Flaw.CORRUPT: Reason.CORRUPT,
}


@dataclass(frozen=True)
class Bundle:
    """One bundle as it is on the disk now."""

    version: str
    day: int
    flaw: Flaw

    def facts(self) -> Facts:
        """Returns what its manifest says."""
        return Facts(self.version, _EPOCH + timedelta(days=self.day), f"sha of {self.version}")


@dataclass
class Disk:
    """What a crash leaves."""

    world: World
    bundles: dict[str, Bundle] = field(default_factory=dict)
    current: str = ""
    stamp: int = 0
    log: list[Change] = field(default_factory=list)

    def publish(self, day: int, flaw: Flaw) -> None:
        """Writes a bundle and has CURRENT name it."""
        version = f"b{len(self.bundles)}"
        self.bundles[version] = Bundle(version, day, flaw)
        self.point(version)

    def point(self, version: str) -> None:
        """Has CURRENT name a bundle."""
        self.current, self.stamp = version, self.stamp + 1

    def repair(self, version: str) -> None:
        """Takes a bundle's flaw away, as a copy that comes to its end does."""
        self.bundles[version] = replace(self.bundles[version], flaw=Flaw.NONE)

    def state(self) -> State:
        """Returns what the log adds up to."""
        state: State | None = None
        for change in self.log:
            state = follow(state, change)
        assert state is not None, "the first bundle was written down"
        return state

    def read_pointer(self) -> Pointer | Refusal:
        """Reads CURRENT."""
        if self.world.happens(0.05):
            return Refusal(Reason.POINTER, "CURRENT cannot be read")
        return Pointer(self.current, (self.stamp,))

    def examine(self, version: str) -> Facts | Refusal:
        """Reads a manifest."""
        bundle = self.bundles.get(version)
        if bundle is None or bundle.flaw in (Flaw.MISSING, Flaw.UNSIGNED):
            flaw = Flaw.MISSING if bundle is None else bundle.flaw
            return Refusal(_REFUSALS[flaw], f"{version} is {flaw}")
        return bundle.facts()

    def open(self, version: str) -> Bundle | Refusal:
        """Opens a bundle."""
        bundle = self.bundles[version]
        if bundle.flaw in _REFUSALS:
            return Refusal(_REFUSALS[bundle.flaw], f"{version} is {bundle.flaw}")
        return bundle

    def judge(self, bundle: Bundle) -> tuple[Finding, ...]:
        """Returns what the gates say."""
        return (
            Finding("golden", 0.0, 0.0, bundle.flaw is not Flaw.UNFIT, comparative=False),
            Finding("recall", 0.0, 0.0, bundle.flaw is not Flaw.WORSE, comparative=True),
        )

    def _age_of(self, state: State) -> datetime:
        return self.bundles[state.serving.version].facts().created

    def require_allowed(self, change: Change, bundle: Bundle | None, before: State) -> None:
        """Reports a change that brings into force what may not serve; knows the rules, not the machine."""
        allow_worse = change.kind is Goal.ROLLBACK or (change.order is not None and change.order.allow_worse)
        version = change.facts.version
        wrong = ""
        if bundle is None:
            wrong = "was not opened"
        elif bundle.flaw not in (Flaw.NONE, Flaw.WORSE) or (bundle.flaw is Flaw.WORSE and not allow_worse):
            wrong = f"is {bundle.flaw}"
        elif change.kind is not Goal.ROLLBACK and bundle.facts().created < self._age_of(before):
            wrong = "is older"
        elif change.order is None and (before.pinned or version in before.rolled_back):
            wrong = "was pinned away or rolled back from"
        if wrong:
            self.world.report(Fault.REFUSED_SERVED, f"bundle {version} serves and {wrong}")
