"""The catalogue compiled for the gate: a record per product, with all that needs no user already decided.

The kernel reads the records; their layout is `PRODUCT_DTYPE`, which `server.gate` compares with the kernel's
own.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.distinct import Distinct
from index.product_rows import ProductRows, ask
from server.set_bits import SetBits, compile_sets
from suitability import ratings, records
from suitability.cautions import ILLIQUID_FROM_MONTHS
from suitability.codes import CODES
from suitability.policy import Policy
from suitability.predicates.pair import Pair
from suitability.predicates.product import check_offering, check_status
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
        ("credit_like", np.uint8),
        ("padding", np.uint8, 3),
    ]
)

_NUMBERS: Final[Mapping[str | None, int]] = {None: 0} | {name: code.number for name, code in CODES.items()}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Against this user every rule decides by the product alone: retail, limited, elder at any age, vulnerable.
_LEAST_PROTECTED: Final = {"capacity": "LIMITED", "birth_date": date(1, 1, 1)}

Records = NDArray[np.void]
Products = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Facts by row; every array is [product_count]. Objects are shared by the rows that have the same.

    Attributes:
        records: what the kernel reads, of PRODUCT_DTYPE.
        sets: channels, jurisdictions and so on.
        issuers, dup_groups: the number of each issuer and group.
        find_rows: gives the rows of products by their ids.
        financial: not learning content (an unknown family is financial).
        rated: needs a valid risk assessment.
        insurance: of an insurance family.
        needed_limit: the smallest risk score limit that admits the row: -1 where none is needed.
        levels, risk_scores: what a list shows; None for learning content and where unknown.
        scales: the scale that a level is on; None where missing.
        illiquid: the least time to hold is long or unknown.
        assumed_fields: names of the fields that were assumed, each a tuple.
        assumed: some field was.
    """

    records: Records
    sets: SetBits
    issuers: Mapping[str, int]
    dup_groups: Mapping[str, int]
    find_rows: Callable[[Collection[str]], NDArray[np.int64]]
    financial: NDArray[np.bool_]
    rated: NDArray[np.bool_]
    insurance: NDArray[np.bool_]
    needed_limit: NDArray[np.int16]
    levels: NDArray[np.object_]
    risk_scores: NDArray[np.object_]
    scales: NDArray[np.object_]
    illiquid: NDArray[np.bool_]
    assumed_fields: NDArray[np.object_]
    assumed: NDArray[np.bool_]


def compile_columns(products: Products, policy: Policy) -> Columns:
    """Asks suitability's own readers about every product: what they call missing is missing here.

    Raises:
        SnapshotError: a set has too many distinct values.
    """
    sets = {name: read_field(products, records.texts, name) for name in _SET_FIELDS}
    sets["currency"] = read_field(products, records.text, "currency").map(
        lambda currency: None if currency is None else frozenset((currency,))
    )
    table = np.zeros(len(products), PRODUCT_DTYPE)
    _fill_time(table, products, sets)
    _fill_product(table, products, policy, sets)
    _fill_risk(table, products, policy)
    _fill_numbers(table, products, policy)
    issuers = _fill_issuer(table, products)
    dup_groups = _fill_dup_group(table, products)
    financial, rated = table["financial"].astype(np.bool_), table["rated"].astype(np.bool_)
    score = table["risk_score"]
    horizons = read_numbers(products, "min_horizon_months")
    assumed_fields = ask(products, _read_assumed, "assumed")
    table.setflags(write=False)
    return Columns(
        records=table,
        sets=compile_sets(sets),
        issuers=issuers,
        dup_groups=dup_groups,
        find_rows=_row_finder(products),
        financial=financial,
        rated=rated,
        insurance=table["insurance"].astype(np.bool_),
        needed_limit=np.where(rated, np.where(score < 0, NO_LIMIT_ADMITS, score), MISSING).astype(np.int16),
        levels=_shown(table["level"], financial),
        risk_scores=_shown(score, financial),
        scales=read_field(products, records.text, "scale").objects(),
        illiquid=(horizons == MISSING) | (horizons >= ILLIQUID_FROM_MONTHS),
        assumed_fields=assumed_fields.objects(),
        assumed=assumed_fields.map(bool).array(np.bool_),
    )


def read_field(products: Products, reader: Callable[[object, records.Field], Any], name: str) -> Distinct:
    """Returns what one of suitability's readers says of a field of every product."""
    field = records.PRODUCT_FIELDS[name]
    return ask(products, lambda product: reader(product, field), name)


def read_numbers(products: Products, name: str) -> NDArray[np.int64]:
    """Returns an integer of every product, MISSING where it is missing, int64 [product_count]."""
    found = read_field(products, records.integer, name)
    return found.map(lambda value: MISSING if value is None else value).array(np.int64)


def read_instants(products: Products, name: str, missing_us: int) -> Distinct:
    """Returns an instant of every product in microseconds."""
    return read_field(products, records.instant, name).map(
        lambda instant: missing_us if instant is None else to_microseconds(instant)
    )


def read_quota_codes(products: Products) -> NDArray[np.uint8]:
    """Returns the number of predicate 5's code against every product; 0 where there is none."""
    left, smallest = (read_numbers(products, name) for name in ("capacity_left", "min_amount"))
    unknown, exhausted = code_number("PRD_CAPACITY_UNKNOWN"), code_number("PRD_CAPACITY_EXHAUSTED")
    missing = (left == MISSING) | (smallest == MISSING)
    return np.where(missing, unknown, np.where((left == 0) | (left < smallest), exhausted, 0)).astype(
        np.uint8
    )


def read_status_codes(products: Products, policy: Policy) -> Distinct:
    """Returns the number of predicate 1's code against every product; 0 where there is none."""
    halted = {name: frozenset(policy.values[f"halted_{name}s"]) for name in ("product", "issuer")}

    def key(name: str, named: frozenset[str] = frozenset()) -> Callable[[Any], Any]:
        """Tells apart what is sound and what is not, and each value that is named."""

        def read(value: Any) -> object:
            sound = records.text({name: value}, records.PRODUCT_FIELDS[name]) is not None
            return value if sound and value in named else sound

        return read

    # Nearly every id and registration code is another, and check_status makes no difference between them.
    alike = {
        "id": key("id", halted["product"]),
        "issuer": key("issuer", halted["issuer"]),
        "registration_code": key("registration_code"),
    }
    return _check(products, policy, check_status, *alike, "family", "status", alike=alike)


def to_microseconds(instant: datetime) -> int:
    """Returns whole microseconds since 1970-01-01 UTC, without a float on the way."""
    return (instant - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Returns the instant in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


_SET_FIELDS: Final = ("channels", "jurisdictions", "objectives_y", "objectives_n", "needs_served")
_LEVEL_FIELDS: Final = ("scale", "level_issuer", "level_distributor")


def _check(
    products: Products,
    policy: Policy,
    check: Callable[[Pair], Any],
    *names: str,
    alike: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Distinct:
    """Returns the number of the code that a predicate's function gives each product; 0 where it gives none.

    The user is _LEAST_PROTECTED. The instant is any one: no rule that is asked compares a product with it.
    """
    return ask(
        products,
        lambda product: code_number(check(Pair(_LEAST_PROTECTED, product, policy, _EPOCH, None))),
        *names,
        alike=alike,
    )


def _fill_time(table: Records, products: Products, sets: Mapping[str, Distinct]) -> None:
    """Fills predicates 2 and 3."""
    learning = ask(products, ratings.is_learning, "family").array(np.bool_)
    table["financial"] = ~learning
    # No instant is NEVER_US. Where one is missing a code denies, whatever the number.
    start, end, licence = (
        read_instants(products, name, NEVER_US).array(np.int64)
        for name in ("sale_start", "sale_end", "licence_until")
    )
    table["sale_start_us"], table["sale_end_us"] = start, end
    # Learning content needs no licence.
    table["licence_until_us"] = np.where(learning, NEVER_US, licence)
    table["window_code"] = _code_where("PRD_WINDOW_UNKNOWN", (start == NEVER_US) | (end == NEVER_US))
    table["channel_code"] = _code_where(
        "PRD_CHANNEL_UNKNOWN", _is_missing(sets["channels"]) | (~learning & (licence == NEVER_US))
    )


def _fill_product(table: Records, products: Products, policy: Policy, sets: Mapping[str, Distinct]) -> None:
    """Fills what predicates 1, 4, 5, 11, 18, 19, 22, 23 and 26 know of the product."""
    table["status_code"] = read_status_codes(products, policy).array(np.uint8)
    table["offering_code"] = _check(products, policy, check_offering, "offering").array(np.uint8)
    table["quota_code"] = read_quota_codes(products)
    table["client_type_code"] = _check(products, policy, check_client_type, "retail").array(np.uint8)
    absent = {name: _is_missing(members) for name, members in sets.items()}
    table["jurisdiction_code"] = _code_where("PRD_JURISDICTION_UNKNOWN", absent["jurisdictions"])
    table["currency_code"] = _code_where("PRD_CURRENCY_UNKNOWN", absent["currency"])
    either = absent["objectives_y"] | absent["objectives_n"]
    table["objectives_code"] = _code_where("PRD_OBJECTIVES_UNKNOWN", either)
    table["needs_code"] = _code_where("PRD_NEEDS_UNKNOWN", absent["needs_served"])
    table["us_persons_ok"] = (
        read_field(products, records.flag, "us_persons_ok")
        .map(lambda permitted: permitted is True)
        .array(np.bool_)
    )
    table["credit_like"] = ask(products, ratings.is_credit_like, "credit_like").array(np.bool_)


def _fill_risk(table: Records, products: Products, policy: Policy) -> None:
    """Fills levels, scores and what follows from them: predicates 8, 10, 16, 17, 21 and 25."""
    high_risk_level = policy.values["concentration"]["high_risk_level"]

    def read(pair: Pair) -> tuple[int, ...]:
        level = MISSING if pair.level is None else pair.level
        high_risk = pair.level is None or pair.level >= high_risk_level
        caps = (check(pair) is not None for check in (check_capacity, check_elder, check_vulnerable))
        return (
            level,
            pair.rated,
            pair.investment,
            pair.insurance,
            high_risk,
            *caps,
            _over_tolerance(pair, policy),
        )

    names = (
        *("level", "rated", "investment", "insurance", "high_risk"),
        *("over_limited_cap", "over_elder_cap", "over_vulnerable_cap", "over_tolerance"),
    )
    found = ask(
        products,
        lambda product: read(Pair(_LEAST_PROTECTED, product, policy, _EPOCH, None)),
        "family",
        *_LEVEL_FIELDS,
    )
    by_name = zip(*found.values, strict=True) if found.values else ([] for _ in names)
    for name, values in zip(names, by_name, strict=True):
        table[name] = Distinct(values, found.codes).array(np.int16)
    names_of_score = (*_LEVEL_FIELDS, "risk_score", "computed_risk_class")
    scores = ask(products, lambda product: ratings.effective_risk_score(product, policy), *names_of_score)
    table["risk_score"] = _or_missing(scores)


def _over_tolerance(pair: Pair, policy: Policy) -> int:
    """Returns the risk levels whose tolerance the level exceeds, as bits."""
    if pair.level is None:
        return 0
    scale = records.text(pair.product, records.PRODUCT_FIELDS["scale"])
    matrix = policy.values["risk_matrix"][scale]
    return sum(1 << int(risk_level) for risk_level, highest in matrix.items() if pair.level > highest)


def _fill_numbers(table: Records, products: Products, policy: Policy) -> None:
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
        table[name] = read_numbers(products, name)
    families = read_field(products, records.text, "family")
    table["knowledge_slot"] = families.map(
        lambda family: UNKNOWN_FAMILY_SLOT if family is None else KNOWLEDGE_SLOTS[family]
    ).array(np.uint8)
    needed = read_numbers(products, "min_horizon_months")
    asks_nothing = (needed == 0) | families.map(lambda family: family == "INS_PROTECTION").array(np.bool_)
    with_buffer = np.where(asks_nothing, 0, needed + policy.values["horizon"]["buffer_months"])
    table["horizon_months"] = np.where(needed == MISSING, MISSING, with_buffer)
    annual, single = (read_numbers(products, name) for name in ("annual_premium", "single_premium"))
    table["premium"] = np.where(table["pay_years"] == 0, single, annual)


def _fill_issuer(table: Records, products: Products) -> dict[str, int]:
    found = read_field(products, records.text, "issuer")
    numbers = _number(found.values)
    table["issuer"] = found.map(lambda issuer: numbers.get(issuer, MISSING)).array(np.int32)
    return numbers


def _fill_dup_group(table: Records, products: Products) -> dict[str, int]:
    numbers = _number(read_field(products, records.text, "dup_group").values)

    def read(product: object) -> int:
        group = records.text(product, records.PRODUCT_FIELDS["dup_group"])
        if group is not None:
            return numbers[group]
        return MISSING if records.raw(product, "dup_group") is None else MALFORMED

    table["dup_group"] = ask(products, read, "dup_group").array(np.int32)
    return numbers


def code_number(code: str | None) -> int:
    """Returns a code's number; 0 where there is none."""
    return _NUMBERS[code]


def _is_missing(column: Distinct) -> NDArray[np.bool_]:
    return column.map(lambda value: value is None).array(np.bool_)


def _or_missing(column: Distinct) -> NDArray[np.int64]:
    return column.map(lambda value: MISSING if value is None else value).array(np.int64)


def _number(values: Sequence[str | None]) -> dict[str, int]:
    return {value: number for number, value in enumerate(dict.fromkeys(v for v in values if v is not None))}


def _read_assumed(product: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(product.get("assumed") or ())


def _row_finder(products: Products) -> Callable[[Collection[str]], NDArray[np.int64]]:
    if isinstance(products, ProductRows):
        return products.find_rows
    ids = [records.text(product, records.PRODUCT_FIELDS["id"]) for product in products]
    return lambda named: np.flatnonzero([product_id in named for product_id in ids])


def _code_where(code: str, holds: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(holds, code_number(code), 0).astype(np.uint8)


def _shown(values: NDArray[Any], financial: NDArray[np.bool_]) -> NDArray[np.object_]:
    shown, codes = np.unique(np.where(financial, values, MISSING), return_inverse=True)
    objects = [None if value == MISSING else value for value in shown.tolist()]
    return Distinct(objects, codes).objects()
