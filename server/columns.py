"""The catalogue compiled for the gate: a record per product, with all that needs no user already decided.

The kernel reads the records; their layout is `PRODUCT_DTYPE`, which `server.gate` compares with the kernel's
own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from server.set_bits import SetBits, compile_sets
from suitability import ratings, records
from suitability.cautions import ILLIQUID_FROM_MONTHS
from suitability.codes import CODES
from suitability.policy import Policy
from suitability.predicates.pair import Pair
from suitability.predicates.product import check_offering, check_quota, check_status
from suitability.predicates.risk import check_elder, check_vulnerable
from suitability.predicates.target_market import check_client_type
from suitability.predicates.user import check_capacity

NEVER_US: Final = 2**62
"""An instant, in microseconds, that no clock reaches."""
NO_LIMIT_ADMITS: Final = 2**15 - 1
"""A needed limit above every risk score limit."""
MISSING: Final = -1
MALFORMED: Final = -2

KNOWLEDGE_SLOTS: Final = {family: slot for slot, family in enumerate(sorted(records.FAMILIES))}
"""Where in a user's record the knowledge of a family stands."""
UNKNOWN_FAMILY_SLOT: Final = len(KNOWLEDGE_SLOTS)

PRODUCT_DTYPE: Final = np.dtype(
    [
        *((name, np.int64) for name in ("sale_start_us", "sale_end_us", "licence_until_us")),
        *((name, np.int64) for name in ("min_amount", "premium")),
        *((name, np.int32) for name in ("issuer", "dup_group")),
        *((name, np.int16) for name in ("risk_score", "max_loss_bps", "horizon_months")),
        *((name, np.int16) for name in ("min_age", "max_age", "pay_years")),
        *((name, np.uint8) for name in ("status_code", "window_code", "channel_code", "offering_code")),
        *((name, np.uint8) for name in ("quota_code", "client_type_code", "jurisdiction_code")),
        *((name, np.uint8) for name in ("currency_code", "objectives_code", "needs_code")),
        *((name, np.int8) for name in ("level", "min_knowledge", "loss_class")),
        *((name, np.uint8) for name in ("knowledge_slot", "over_tolerance", "financial", "rated")),
        *((name, np.uint8) for name in ("investment", "insurance", "high_risk", "over_limited_cap")),
        *((name, np.uint8) for name in ("over_elder_cap", "over_vulnerable_cap", "us_persons_ok")),
        ("padding", np.uint8, 4),
    ]
)

_NUMBERS: Final[Mapping[str | None, int]] = {None: 0} | {name: code.number for name, code in CODES.items()}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIELDS = records.PRODUCT_FIELDS
# Against this user every rule decides by the product alone: retail, limited, elder at any age, vulnerable.
_LEAST_PROTECTED: Final = {"capacity": "LIMITED", "birth_date": date(1, 1, 1)}

Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Columns:
    """Facts by row; every array and tuple is [product_count].

    Attributes:
        records: what the kernel reads, of PRODUCT_DTYPE.
        sets: channels, jurisdictions and so on.
        issuers, dup_groups: the number of each issuer and group.
        ids: product ids; None where missing.
        financial: not learning content (an unknown family is financial).
        rated: needs a valid risk assessment.
        insurance: of an insurance family.
        needed_limit: the smallest risk score limit that admits the row: -1 where none is needed.
        levels, risk_scores: what a list shows; None for learning content and where unknown.
        scales: the scale that a level is on.
        illiquid: the least time to hold is long or unknown.
        assumed_fields: names of the fields that were assumed.
        assumed: some field was.
    """

    records: Records
    sets: SetBits
    issuers: Mapping[str, int]
    dup_groups: Mapping[str, int]
    ids: tuple[str | None, ...]
    financial: NDArray[np.bool_]
    rated: NDArray[np.bool_]
    insurance: NDArray[np.bool_]
    needed_limit: NDArray[np.int16]
    levels: tuple[int | None, ...]
    risk_scores: tuple[int | None, ...]
    scales: tuple[str | None, ...]
    illiquid: NDArray[np.bool_]
    assumed_fields: tuple[tuple[str, ...], ...]
    assumed: NDArray[np.bool_]


def compile_columns(products: Sequence[Mapping[str, Any]], policy: Policy) -> Columns:
    """Reads every product once, with suitability's own readers: what they call missing is missing here.

    Raises:
        SnapshotError: a set has too many distinct values.
    """
    # The instant is any one: no rule that is asked here compares a product with it.
    pairs = [Pair(_LEAST_PROTECTED, product, policy, _EPOCH, None) for product in products]
    texts = {name: _read(records.texts, name, products) for name in _SET_FIELDS}
    texts["currency"] = [
        None if currency is None else {currency} for currency in _read(records.text, "currency", products)
    ]
    table = np.zeros(len(products), PRODUCT_DTYPE)
    issuers = _number(_read(records.text, "issuer", products))
    dup_groups = _number(_read(records.text, "dup_group", products))
    _fill_time(table, products, texts)
    _fill_product(table, pairs, texts)
    _fill_risk(table, pairs, policy)
    _fill_numbers(table, products, policy)
    table["issuer"] = [issuers.get(raw, MISSING) for raw in _read(records.text, "issuer", products)]
    table["dup_group"] = [_dup_group(product, dup_groups) for product in products]
    financial, rated = table["financial"].astype(np.bool_), table["rated"].astype(np.bool_)
    score = table["risk_score"]
    horizons = _or_missing(_read(records.integer, "min_horizon_months", products))
    assumed_fields = tuple(tuple(product.get("assumed") or ()) for product in products)
    table.setflags(write=False)
    return Columns(
        records=table,
        sets=compile_sets({kind: [members or () for members in column] for kind, column in texts.items()}),
        issuers=issuers,
        dup_groups=dup_groups,
        ids=tuple(_read(records.text, "id", products)),
        financial=financial,
        rated=rated,
        insurance=table["insurance"].astype(np.bool_),
        needed_limit=np.where(rated, np.where(score < 0, NO_LIMIT_ADMITS, score), MISSING).astype(np.int16),
        levels=_shown(table["level"], financial),
        risk_scores=_shown(score, financial),
        scales=tuple(_read(records.text, "scale", products)),
        illiquid=(horizons == MISSING) | (horizons >= ILLIQUID_FROM_MONTHS),
        assumed_fields=assumed_fields,
        assumed=np.array([bool(fields) for fields in assumed_fields], np.bool_),
    )


def to_microseconds(instant: datetime) -> int:
    """Returns whole microseconds since 1970-01-01 UTC, without a float on the way."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Returns the instant in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


_SET_FIELDS: Final = ("channels", "jurisdictions", "objectives_y", "objectives_n", "needs_served")
_Texts = Mapping[str, Sequence[Any]]


def _fill_time(table: Records, products: Sequence[Mapping[str, Any]], texts: _Texts) -> None:
    """Fills predicates 2 and 3."""
    starts = _read(records.instant, "sale_start", products)
    ends = _read(records.instant, "sale_end", products)
    licences = _read(records.instant, "licence_until", products)
    learning = [ratings.is_learning(product) for product in products]
    table["financial"] = [not free for free in learning]
    # Learning content needs no licence. Where another instant is missing a code denies, whatever the number.
    needed = [None if free else licence for licence, free in zip(licences, learning, strict=True)]
    for name, instants in (("sale_start_us", starts), ("sale_end_us", ends), ("licence_until_us", needed)):
        table[name] = [NEVER_US if instant is None else to_microseconds(instant) for instant in instants]
    table["window_code"] = _code_where(
        "PRD_WINDOW_UNKNOWN", [None in pair for pair in zip(starts, ends, strict=True)]
    )
    table["channel_code"] = _code_where(
        "PRD_CHANNEL_UNKNOWN",
        [
            channels is None or (licence is None and not free)
            for channels, licence, free in zip(texts["channels"], licences, learning, strict=True)
        ],
    )


def _fill_product(table: Records, pairs: Sequence[Pair], texts: _Texts) -> None:
    """Fills what predicates 1, 4, 5, 11, 18, 19, 22 and 23 know of the product."""
    for name, check in (
        ("status_code", check_status),
        ("offering_code", check_offering),
        ("quota_code", check_quota),
        ("client_type_code", check_client_type),
    ):
        table[name] = [code_number(check(pair)) for pair in pairs]
    absent = {name: [members is None for members in column] for name, column in texts.items()}
    table["jurisdiction_code"] = _code_where("PRD_JURISDICTION_UNKNOWN", absent["jurisdictions"])
    table["currency_code"] = _code_where("PRD_CURRENCY_UNKNOWN", absent["currency"])
    either = [any(sides) for sides in zip(absent["objectives_y"], absent["objectives_n"], strict=True)]
    table["objectives_code"] = _code_where("PRD_OBJECTIVES_UNKNOWN", either)
    table["needs_code"] = _code_where("PRD_NEEDS_UNKNOWN", absent["needs_served"])
    table["us_persons_ok"] = [records.flag(pair.product, _FIELDS["us_persons_ok"]) is True for pair in pairs]


def _fill_risk(table: Records, pairs: Sequence[Pair], policy: Policy) -> None:
    """Fills levels, scores and what follows from them: predicates 8, 10, 16, 17, 21 and 25."""
    high_risk_level = policy.values["concentration"]["high_risk_level"]
    table["level"] = [MISSING if pair.level is None else pair.level for pair in pairs]
    table["rated"] = [pair.rated for pair in pairs]
    table["investment"] = [pair.investment for pair in pairs]
    table["insurance"] = [pair.insurance for pair in pairs]
    scores = (ratings.effective_risk_score(pair.product, policy) for pair in pairs)
    table["risk_score"] = [MISSING if score is None else score for score in scores]
    table["high_risk"] = [pair.level is None or pair.level >= high_risk_level for pair in pairs]
    for name, check in (
        ("over_limited_cap", check_capacity),
        ("over_elder_cap", check_elder),
        ("over_vulnerable_cap", check_vulnerable),
    ):
        table[name] = [check(pair) is not None for pair in pairs]
    table["over_tolerance"] = [_over_tolerance(pair, policy) for pair in pairs]


def _over_tolerance(pair: Pair, policy: Policy) -> int:
    """Returns the risk levels whose tolerance the level exceeds, as bits."""
    if pair.level is None:
        return 0
    scale = records.text(pair.product, _FIELDS["scale"])
    matrix = policy.values["risk_matrix"][scale]
    return sum(1 << int(risk_level) for risk_level, highest in matrix.items() if pair.level > highest)


def _fill_numbers(table: Records, products: Sequence[Mapping[str, Any]], policy: Policy) -> None:
    """Fills the numbers that a user's are compared with: predicates 12 to 15, 20 and 24."""
    for name in (
        "min_amount",
        "max_loss_bps",
        "min_age",
        "max_age",
        "pay_years",
        "min_knowledge",
        "loss_class",
    ):
        values = _read(records.integer, name, products)
        table[name] = [MISSING if value is None else value for value in values]
    families = _read(records.text, "family", products)
    table["knowledge_slot"] = [
        UNKNOWN_FAMILY_SLOT if family is None else KNOWLEDGE_SLOTS[family] for family in families
    ]
    buffer = policy.values["horizon"]["buffer_months"]
    needed = _read(records.integer, "min_horizon_months", products)
    table["horizon_months"] = [
        MISSING if months is None else 0 if months == 0 or family == "INS_PROTECTION" else months + buffer
        for months, family in zip(needed, families, strict=True)
    ]
    annual = _read(records.integer, "annual_premium", products)
    single = _read(records.integer, "single_premium", products)
    applying = np.where(table["pay_years"] == 0, _or_missing(single), _or_missing(annual))
    table["premium"] = applying


def code_number(code: str | None) -> int:
    """Returns a code's number; 0 where there is none."""
    return _NUMBERS[code]


def _read(reader: Callable[[object, records.Field], Any], name: str, products: Iterable[object]) -> list[Any]:
    field = _FIELDS[name]
    return [reader(product, field) for product in products]


def _or_missing(values: list[int | None]) -> NDArray[np.int64]:
    return np.array([MISSING if value is None else value for value in values], np.int64)


def _number(values: Iterable[str | None]) -> dict[str, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(v for v in values if v is not None))}


def _dup_group(product: object, numbers: Mapping[str, int]) -> int:
    group = records.text(product, _FIELDS["dup_group"])
    if group is not None:
        return numbers[group]
    return MISSING if records.raw(product, "dup_group") is None else MALFORMED


def _code_where(code: str, holds: Sequence[bool]) -> list[int]:
    number = code_number(code)
    return [number if held else 0 for held in holds]


def _shown(values: NDArray[Any], financial: NDArray[np.bool_]) -> tuple[int | None, ...]:
    pairs = zip(values.tolist(), financial.tolist(), strict=True)
    return tuple(value if sold and value != MISSING else None for value, sold in pairs)
