"""What the bundle manager is told and what it asks for: plain values, so that all can be played again."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Reason(StrEnum):
    """Why a bundle or an order was refused; callers see it as the reason of the error."""

    POINTER = "BUNDLE_POINTER_UNREADABLE"
    """CURRENT cannot be read, or names nothing that could be a bundle."""
    MISSING = "BUNDLE_MISSING"
    """There is no such bundle."""
    UNREADABLE = "BUNDLE_UNREADABLE"
    """The disk failed under it."""
    UNSIGNED = "BUNDLE_UNSIGNED"
    """No publisher's signature holds for it."""
    CORRUPT = "BUNDLE_CORRUPT"
    """A file is missing, a link, not what the manifest says, or not what it should be."""
    OLDER = "BUNDLE_OLDER"
    """It was built before the one that serves, and nobody asked to roll back."""
    ROLLED_BACK = "BUNDLE_ROLLED_BACK"
    """It was rolled back from; only an order brings it back."""
    UNFIT = "BUNDLE_UNFIT"
    """It is whole, and cannot serve here: golden answers, device, assumed data or experiments."""
    WORSE = "BUNDLE_WORSE"
    """It is worse than the one that serves, and the order did not allow that."""
    MISMATCH = "BUNDLE_VERSION_MISMATCH"
    """Another bundle serves than the one that the order expects."""
    NO_OTHER = "BUNDLE_NO_OTHER"
    """There is no bundle to roll back to."""
    BUSY = "BUNDLE_BUSY"
    """Too many orders wait already."""
    KEY = "IDEMPOTENCY_KEY_REUSED"
    """The idempotency key came with another order before."""
    STATE = "BUNDLE_STATE_FAILED"
    """The change could not be written, so it did not take effect."""
    FAILED = "BUNDLE_FAILED"
    """Something failed that should not; the log says what."""


PASSING = frozenset(
    {Reason.MISSING, Reason.UNREADABLE, Reason.UNSIGNED, Reason.CORRUPT, Reason.STATE, Reason.FAILED}
)
"""What may be otherwise in a while although CURRENT stays: files that are still being copied, a full disk."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was refused, in a code and in words."""

    reason: Reason
    problem: str


@dataclass(frozen=True, slots=True)
class Pointer:
    """What CURRENT names, and a stamp that changes whenever it is written."""

    version: str
    stamp: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the manifest of a bundle says, proven to be signed where that is asked for."""

    version: str
    created: datetime
    manifest_sha256: str
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one gate says of an opened bundle.

    Attributes:
        name: of the gate.
        figure: what was measured.
        limit: what it had to reach.
        passed: whether it does.
        comparative: whether it only says that the bundle is worse than the one that serves, below `limit`.
    """

    name: str
    figure: float
    limit: float
    passed: bool
    comparative: bool

    def __str__(self) -> str:
        bound = "at least " if self.comparative else ""
        return f"{self.name} is {self.figure:.6g}, expected {bound}{self.limit:.6g}"


class Goal(StrEnum):
    """What an order wants."""

    LOAD = "load"
    ACTIVATE = "activate"
    ROLLBACK = "rollback"
    PIN = "pin"
    UNPIN = "unpin"


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asks for.

    Attributes:
        goal: what is wanted.
        version: of the bundle; empty to roll back to the one before.
        expected: version that must serve; empty for any.
        allow_worse: whether a bundle that is worse than the one that serves may take its place.
        by: who asks.
        why: the caller's words.
        key: under which a repeated order is answered as the first one was; empty for none.
    """

    goal: Goal
    version: str = ""
    expected: str = ""
    allow_worse: bool = False
    by: str = ""
    why: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What is written down of a change before it takes effect.

    Attributes:
        kind: what changed; an activation by the watcher is one like any other.
        facts: the bundle that serves from then on; of a pin, the one that serves.
        settled: the version that CURRENT named: while it names that, nothing is to be done.
        order: what asked for it; None for the watcher and the first start.
        findings: what the gates said.
    """

    kind: Goal
    facts: Facts
    settled: str
    order: Order | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether another bundle serves after it."""
        return self.kind not in {Goal.PIN, Goal.UNPIN}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order that was carried out; `sequence` counts the changes written down."""

    version: str
    previous: str
    sequence: int
    pinned: bool
    findings: tuple[Finding, ...] = ()
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class PointerRead:
    """The watcher looked at CURRENT, at an instant of the monotonic clock."""

    now_s: float
    read: Pointer | Refusal


@dataclass(frozen=True, slots=True)
class Ordered:
    """A caller asks for something; `number` names the order in its answer."""

    number: int
    order: Order


@dataclass(frozen=True, slots=True)
class Examined:
    """The manifest of the bundle asked about was read."""

    result: Facts | Refusal


@dataclass(frozen=True, slots=True)
class Opened:
    """The bundle asked for was opened, warmed and judged."""

    result: tuple[Finding, ...] | Refusal


@dataclass(frozen=True, slots=True)
class Kept:
    """The change was written down and took effect, or it was not and did not."""

    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """What was to be done failed for a reason that nobody foresaw; no other event answers it."""


Event = PointerRead | Ordered | Examined | Opened | Kept | Failed


@dataclass(frozen=True, slots=True)
class Examine:
    """Read the manifest of a bundle, and nothing else; answered by Examined."""

    version: str


@dataclass(frozen=True, slots=True)
class Open:
    """Open, warm and judge a bundle beside the one that serves; answered by Opened."""

    facts: Facts


@dataclass(frozen=True, slots=True)
class Keep:
    """Write a change down, then bring it into force; answered by Kept. A pin moves no bundle."""

    change: Change


@dataclass(frozen=True, slots=True)
class Drop:
    """Let go of a bundle that was opened."""

    version: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer an order."""

    number: int
    result: Outcome | Refusal


@dataclass(frozen=True, slots=True)
class Tell:
    """Say in log and metrics what happened.

    Attributes:
        goal: what was wanted.
        version: of the bundle that it was wanted of; empty where CURRENT could not be read.
        by: who wanted it.
        before: version that served until then, or serves still.
        refusal: why it did not come about; None where it did.
    """

    goal: Goal
    version: str
    by: str
    before: str
    refusal: Refusal | None = None


Action = Examine | Open | Keep | Drop | Reply | Tell
