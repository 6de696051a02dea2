"""Explains a verdict: for every predicate what it read, as it was read, and what came of it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from suitability.cautions import warnings
from suitability.evaluate import apply_predicate, evaluate
from suitability.json_records import ASSUMED
from suitability.policy import Policy
from suitability.predicates.pair import Pair
from suitability.predicates.table import LEARNING_PREDICATE_LAST, PREDICATES, Predicate
from suitability.ratings import applied_risk_score_limit, effective_risk_score, is_credit_like
from suitability.records import PRODUCT_FIELDS, USER_FIELDS, Field, Kind, raw, read
from suitability.validity import valid_until

PASSES, DENIES, NOT_APPLIED = "passes", "denies", "does not apply"
NOT_STATED = "not stated"
# What a predicate passes without a look, in words: it says less than "passes".
_ONLY_FOR: Mapping[str, str] = MappingProxyType(
    {
        "assessment": "rated",
        "affordability": "investment",
        "concentration": "investment",
        "objectives": "investment",
        "needs": "insurance",
        "premium": "insurance",
        "risk_score": "rated",
        "credit": "credit-like",
    }
)
_MALFORMED_LENGTH_MAX = 60
_FORMS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.INTEGER: "integer {low}..{high}",
        Kind.TEXT: "text",
        Kind.FLAG: "true or false",
        Kind.INSTANT: "RFC 3339 instant with zone",
        Kind.DAY: "date YYYY-MM-DD",
        Kind.TEXTS: "list of texts",
        Kind.COUNTS: "object from text to integer {low}..{high}",
        Kind.BYTES: "hex digits",
    }
)


@dataclass(frozen=True)
class Reading:
    """Holds one value as a predicate saw it.

    Attributes:
        record: `user` or `product`.
        field: the field's name.
        value: the value as it was read, in JSON's types; None where it is missing.
        missing: why it is missing, or None.
        assumed: whether the value was assumed, not stated by its source.
    """

    record: str
    field: str
    value: object
    missing: str | None
    assumed: bool


@dataclass(frozen=True)
class Row:
    """Holds one predicate's part: what it read, the policy's values that it used, its verdict and code."""

    number: int
    name: str
    readings: tuple[Reading, ...]
    policy_values: Mapping[str, object]
    verdict: str
    code: str | None


@dataclass(frozen=True)
class Explanation:
    """Holds the verdict on a pair and everything behind it.

    Attributes:
        rows: one for every predicate, in the rules' order.
        codes: the codes against the pair; empty means eligible.
        level: the product's effective level; None where it is unknown.
        rated: whether the product needs a valid risk assessment.
        risk_score: the product's effective risk score; None where it is unknown.
        risk_score_limit: the limit that applies to the user; None where the risk level is missing.
        warnings: what accompanies the product, where it is eligible.
        valid_until: until when it stays eligible; `now` where it is not.
    """

    rows: tuple[Row, ...]
    codes: frozenset[str]
    level: int | None
    rated: bool
    risk_score: int | None
    risk_score_limit: int | None
    warnings: tuple[str, ...]
    valid_until: datetime


def explain(
    user: Mapping[str, Any],
    product: Mapping[str, Any],
    policy: Policy,
    now: datetime,
    channel: str,
    risk_score_limit: int | None = None,
) -> Explanation:
    """Explains the verdict on a pair; arguments as of `evaluate`. The user's history counts as empty."""
    pair = Pair(user, product, policy, now, channel, risk_score_limit)
    codes = evaluate(user, product, policy, now, channel, risk_score_limit)
    shown = () if codes else warnings(user, product, policy, now, risk_score_limit=risk_score_limit)
    return Explanation(
        rows=tuple(_explain_predicate(predicate, pair) for predicate in PREDICATES),
        codes=codes,
        level=pair.level,
        rated=pair.rated,
        risk_score=effective_risk_score(product, policy),
        risk_score_limit=applied_risk_score_limit(user, policy, risk_score_limit),
        warnings=shown,
        valid_until=valid_until(user, product, policy, now, channel, risk_score_limit),
    )


def to_json(value: object) -> object:
    """Returns a read value in JSON's types: instants in RFC 3339, dates, sorted lists, bytes in hex."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(name): to_json(member) for name, member in value.items()}
    if isinstance(value, (frozenset, tuple)):
        return [to_json(member) for member in (sorted(value) if isinstance(value, frozenset) else value)]
    return value


def _explain_predicate(predicate: Predicate, pair: Pair) -> Row:
    code = apply_predicate(predicate, pair)
    return Row(
        number=predicate.number,
        name=predicate.name,
        readings=tuple(_readings(predicate, pair)),
        policy_values={path: to_json(_value_at(pair.rules, path)) for path in predicate.policy_keys},
        verdict=DENIES if code is not None else PASSES if _applies(predicate, pair) else NOT_APPLIED,
        code=code,
    )


def _applies(predicate: Predicate, pair: Pair) -> bool:
    if predicate.number > LEARNING_PREDICATE_LAST and pair.learning:
        return False
    kinds = {
        "rated": pair.rated,
        "investment": pair.investment,
        "insurance": pair.insurance,
        "credit-like": is_credit_like(pair.product),
    }
    return kinds.get(_ONLY_FOR.get(predicate.name, ""), True)


def _readings(predicate: Predicate, pair: Pair) -> Iterator[Reading]:
    for name in predicate.user_fields:
        yield _read("user", pair.user, USER_FIELDS[name])
    for name in predicate.product_fields:
        yield _read("product", pair.product, PRODUCT_FIELDS[name])


def _read(kind: str, record: object, field: Field) -> Reading:
    value = read(record, field)
    stated = raw(record, field.name)
    missing = None
    if value is None:
        missing = (
            NOT_STATED if stated is None else f"malformed: {_quoted(stated)}, expected {expected(field)}"
        )
    assumed = raw(record, ASSUMED)
    return Reading(
        record=kind,
        field=field.name,
        value=to_json(value),
        missing=missing,
        assumed=isinstance(assumed, (list, tuple)) and field.name in assumed,
    )


def expected(field: Field) -> str:
    """Says what a field wants, in the words of its JSON form."""
    if field.choices is not None:
        return f"one of {', '.join(sorted(field.choices))}"
    form = _FORMS[field.kind].format(low=field.low, high=field.high)
    return form if field.pattern is None else f"{form} like {field.pattern.pattern}"


def _quoted(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MALFORMED_LENGTH_MAX else f"{text[:_MALFORMED_LENGTH_MAX]}..."


def _value_at(rules: Mapping[str, Any], path: str) -> object:
    """Returns a value of the policy; None where a section that may be absent is."""
    value: Any = rules
    for name in path.split("."):
        value = None if value is None else value.get(name)
    return value
