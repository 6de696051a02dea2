"""What a request asks and what an answer holds, as plain frozen values.

Protobuf stops in `convert` (requests) and `render` (answers).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any

from index.features import Event
from server.diversity import WHOLE
from suitability.codes import ReasonCode, Remedy
from suitability.overlay import Overlay
from suitability.policy import Policy

UNAVAILABLE = ReasonCode(0, "UNAVAILABLE", "product_unavailable", Remedy.NONE, "")
"""Stands in an answer for every code that may not be disclosed; it is in no registry and in no mask."""


class Domain(IntEnum):
    """Part of the catalogue; the numbers are the wire's."""

    LEARNING = 1
    FINANCIAL = 2
    BOTH = 3


class ResponseReason(IntEnum):
    """Why an answer is short or plain; the numbers are the wire's."""

    NOTHING_ELIGIBLE = 1
    FEWER_ELIGIBLE_THAN_K = 2
    USER_UNKNOWN = 3
    HISTORY_EMPTY = 4
    RULES_CHANGED = 5
    PERSONALISATION_OFF = 6
    SEGMENT_FALLBACK = 7


class ProductSource(IntEnum):
    """What brought a product into a list; the numbers are the wire's."""

    MODEL = 1
    ASSOCIATION = 2
    SEGMENT = 3


@dataclass(frozen=True, slots=True)
class UserInput:
    """The user as the request states it. `profile` is None when the store is to be read."""

    user_id: str
    profile: Mapping[str, Any] | None
    history: tuple[Event, ...]
    personalised: bool = True


@dataclass(frozen=True, slots=True)
class Subject:
    """The user that a decision is made for, after the store was read.

    Attributes:
        profile: suitability's field names, `pseudonym` among them when the user is known.
        history: what the user did, in any order.
        assumed_fields: fields of the profile that were filled by assumption.
        known: whether there is a profile, inline or stored.
        pseudonym: names the user in everything that is stored, logged or counted.
        recordable: whether answers may be logged under it; not where nobody could say whether it was erased.
        hidden_product_ids: products that the user said no to.
        personalised: whether behaviour and tastes may rank products.
    """

    profile: Mapping[str, Any]
    history: tuple[Event, ...]
    assumed_fields: tuple[str, ...]
    known: bool
    pseudonym: bytes = b""
    recordable: bool = True
    hidden_product_ids: frozenset[str] = frozenset()
    personalised: bool = True


@dataclass(frozen=True, slots=True)
class Tags:
    """What a request says for logs alone."""

    placement: str = ""
    campaign: str = ""


@dataclass(frozen=True, slots=True)
class RecommendQuery:
    """Asks for up to k eligible products; `trade_off` is that of `server.diversity`.

    `trade_off_stated` says whether the request itself states it; an experiment may change it otherwise.
    """

    user: UserInput
    domain: Domain
    k: int
    risk_score_limit: int | None
    include_product_ids: tuple[str, ...]
    exclude_product_ids: tuple[str, ...]
    allow_seen: bool
    request_id: str
    include_trace: bool
    count_whole_domain: bool
    trade_off: int = WHOLE
    trade_off_stated: bool = False
    tags: Tags = Tags()


@dataclass(frozen=True, slots=True)
class SimilarQuery:
    """Asks for eligible products close to one product."""

    user: UserInput
    product_id: str
    domain: Domain
    k: int
    risk_score_limit: int | None
    request_id: str
    tags: Tags = Tags()


@dataclass(frozen=True, slots=True)
class NamedQuery:
    """Asks about named products: their scores, or only whether they are eligible."""

    user: UserInput
    product_ids: tuple[str, ...]
    user_initiated: bool
    risk_score_limit: int | None
    request_id: str
    tags: Tags = Tags()


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """What an answer copies from the catalogue."""

    product_id: str
    title: str
    alternate_title: str
    family: str
    issuer: str
    scale: str


@dataclass(frozen=True, slots=True)
class ListedProduct:
    """One product of an answer: an eligible verdict, and the catalogue's own facts about it."""

    product_id: str
    facts: ProductFacts
    score: int
    effective_level: int | None
    risk_score: int | None
    risk_score_limit: int | None
    warnings: tuple[str, ...]
    valid_until: datetime
    assumed_fields: tuple[str, ...]
    source: ProductSource = ProductSource.MODEL
    antecedent: ProductFacts | None = None  # Of the user's history, if a rule is the source.


@dataclass(frozen=True, slots=True)
class Withheld:
    """How many products one disclosable code removed, and one of them."""

    code: str
    product_count: int
    example_product_id: str
    example_risk_score: int | None


@dataclass(frozen=True, slots=True)
class StageTime:
    """Time one stage took, and the rows that left it where rows apply."""

    stage: str
    seconds: float
    row_count: int | None = None


@dataclass(frozen=True, slots=True)
class TraceDetail:
    """How an answer came about."""

    stages: tuple[StageTime, ...]
    batch_count: int
    search_round_count: int
    candidate_count: int
    removed_count: int
    history_event_count: int
    history_unknown_count: int
    rows_scanned_count: int
    retriever: str
    provider: str


@dataclass(frozen=True, slots=True)
class ExperimentVariant:
    """The variant that a user has in one experiment."""

    experiment: str
    variant: str


@dataclass(frozen=True, slots=True)
class DecisionStamp:
    """The versions behind an answer, and its id in the feedback log; empty where none is kept."""

    decision_time: datetime
    system_clock: bool
    bundle_version: str
    policy_hash: str
    overlay: Overlay | None
    request_id: str
    catalogue_sequence: int = 0
    answer_id: str = ""


@dataclass(frozen=True, slots=True)
class ListAnswer:
    """An answer of Recommend or SimilarProducts, and the trade-off that its list was chosen with."""

    products: tuple[ListedProduct, ...]
    reasons: tuple[ResponseReason, ...]
    withheld: tuple[Withheld, ...]
    decision: DecisionStamp
    trace: TraceDetail | None
    segment_id: str  # Empty where the user has none.
    trade_off: int = WHOLE
    experiments: tuple[ExperimentVariant, ...] = ()

    @property
    def withheld_count(self) -> int:
        """Products withheld, each as often as it has codes."""
        return sum(each.product_count for each in self.withheld)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one named product. `codes` may be told to the caller, in predicate order."""

    product_id: str
    known: bool
    eligible: bool
    codes: tuple[ReasonCode, ...]
    valid_until: datetime | None
    warnings: tuple[str, ...]
    assumed_fields: tuple[str, ...]
    waivable_codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoreAnswer:
    """An answer of ScoreProducts."""

    products: tuple[ListedProduct, ...]
    withheld: tuple[Verdict, ...]
    unknown_product_ids: tuple[str, ...]
    decision: DecisionStamp
    segment_id: str
    experiments: tuple[ExperimentVariant, ...] = ()

    @property
    def withheld_count(self) -> int:
        """Products withheld, each as often as it has codes."""
        return sum(len(verdict.codes) for verdict in self.withheld)


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """An answer of CheckEligibility."""

    products: tuple[Verdict, ...]
    decision: DecisionStamp


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """Asks for a change of policy or overlay: the document and the signatures on it, as they were sent."""

    document: bytes
    signatures: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class OverlayAnswer:
    """An answer of SetOverlay; what the bundle does not know is halted all the same."""

    overlay: Overlay
    effective_time: datetime
    request_id: str
    unknown_products: tuple[str, ...]
    unknown_issuers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActivateAnswer:
    """An answer of ActivatePolicy: a scheduled version waits for its time, replaced ones are gone."""

    policy: Policy
    effective_time: datetime
    scheduled: bool
    request_id: str
    replaced_versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """An answer of GetPolicy."""

    policy: Policy
    overlay: Overlay | None
    scheduled: tuple[Policy, ...]
    signature_required: bool
    decision_time: datetime
