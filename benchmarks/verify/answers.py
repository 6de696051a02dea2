"""Checks answers of a server against the second reading of the rules, product by product.

A check returns faults: one line each, naming products and never a person. No faults, no lines.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prudence.v1 import recommendation_pb2 as pb

from benchmarks.verify.judge import judge, tighten, valid_until, warn
from benchmarks.verify.pair import Pair
from benchmarks.verify.values import Record

# A hold must not be tipped off, so nothing may name it.
UNDISCLOSED = frozenset({"USR_RESTRICTED"})
USER_ID_BYTES_MIN = 6  # A shorter id can stand in an answer by chance.
FAMILY_PREFIX = "PRODUCT_FAMILY_"


@dataclass(frozen=True)
class Asked:
    """What an answer was asked for, and what it was to be made from.

    Attributes:
        user_id: the raw id, which no answer may hold.
        user: the user's fields as the rules are to see them.
        history: ids of the products in the user's history.
        catalogue: the fields of every product that is served, by id.
        policy: the policy in force.
        channel: the sales channel.
        overlay: the overlay in force, if any.
        limit: the request's highest risk score, if it had one.
        k: most products, None where the request named them.
    """

    user_id: str
    user: Record
    history: tuple[str, ...]
    catalogue: Mapping[str, Record]
    policy: Record
    channel: str
    overlay: Record | None = None
    limit: int | None = None
    k: int | None = None

    def judge(self, product_id: str, now: datetime) -> set[str]:
        """Returns the codes against a product of the catalogue."""
        product = self.catalogue[product_id]
        return judge(self.user, product, self.policy, now, self.channel, self.limit, self.overlay)

    def warn(self, product_id: str, now: datetime) -> set[str]:
        """Returns the warnings that must accompany a product."""
        history = [self.catalogue[name] for name in self.history if name in self.catalogue]
        return warn(self.user, self.catalogue[product_id], self.policy, now, self.limit, history)

    def end(self, product_id: str, now: datetime) -> datetime:
        """Returns until when the verdict on an eligible product may be said to hold."""
        return valid_until(self.user, self.catalogue[product_id], self.policy, now)

    def pair(self, product_id: str, now: datetime) -> Pair:
        """Returns the pair with a product."""
        policy = tighten(self.policy, self.overlay)
        return Pair(self.user, self.catalogue[product_id], policy, now, self.channel, self.limit)


def check_list(answer: pb.RecommendResponse | pb.SimilarProductsResponse, asked: Asked) -> list[str]:
    """Checks an answer of Recommend or SimilarProducts."""
    now = read_instant(answer.decision.decision_time)
    diversified = isinstance(answer, pb.RecommendResponse) and answer.HasField("diversity_trade_off")
    faults = list(_check_shown(answer.products, asked, now, diversified=diversified))
    codes = [count.code for count in answer.withheld_counts]
    if UNDISCLOSED & set(codes) or len(set(codes)) < len(codes):
        faults.append(f"withheld counts name {codes}; expected disclosable codes, each once")
    return faults + _check_secrecy(answer, asked)


def check_scores(answer: pb.ScoreProductsResponse, asked: Asked) -> list[str]:
    """Checks an answer of ScoreProducts."""
    now = read_instant(answer.decision.decision_time)
    faults = list(_check_shown(answer.products, asked, now))
    for entry in answer.withheld:
        faults += _check_verdict(entry, asked, now)
        if entry.eligible:
            faults.append(f"{entry.product_id}: withheld although eligible")
    return faults + _check_secrecy(answer, asked)


def check_verdicts(answer: pb.CheckEligibilityResponse, asked: Asked) -> list[str]:
    """Checks an answer of CheckEligibility."""
    now = read_instant(answer.decision.decision_time)
    faults = [fault for entry in answer.products for fault in _check_verdict(entry, asked, now)]
    return faults + _check_secrecy(answer, asked)


def read_instant(stamp: Any) -> datetime:
    """Reads a timestamp of an answer."""
    instant: datetime = stamp.ToDatetime(tzinfo=UTC)
    return instant


def _check_shown(products: Any, asked: Asked, now: datetime, *, diversified: bool = False) -> Iterator[str]:
    keys = [(-product.score, product.product_id.encode()) for product in products]
    ids = [product.product_id for product in products]
    if diversified:
        # How alike products are stands in no answer; but nothing is chosen before the best one.
        if keys and keys[0] != min(keys):
            yield "the first product of a diversified list is not its best"
    elif keys != sorted(keys):
        yield "the list is not in order of score, then id"
    if len(set(ids)) < len(ids):
        yield "a product is listed twice"
    if asked.k is not None and len(ids) > asked.k:
        yield f"{len(ids)} products are listed; expected at most {asked.k}"
    for product in products:
        if product.product_id not in asked.catalogue:
            yield f"{product.product_id}: not in the catalogue"
        else:
            yield from _check_product(product, asked, now)


def _check_product(product: pb.RecommendedProduct, asked: Asked, now: datetime) -> Iterator[str]:
    name = product.product_id
    codes = asked.judge(name, now)
    if codes:
        yield f"{name}: shown in spite of {sorted(codes)}"
    row, pair = asked.catalogue[name], asked.pair(name, now)
    expected: dict[str, Any] = {
        "title": row.get("title") or "",
        "alternate_title": row.get("title_alternate") or "",
        "issuer": row.get("issuer"),
        "family": row.get("family"),
        "effective_level": None if pair.learning else pair.level,
        "risk_score": None if pair.learning else pair.score,
        "risk_score_limit": pair.score_limit if pair.rated else None,
        "warnings": sorted(asked.warn(name, now)),
        "assumed_fields": _list_assumed(asked, row, pair),
    }
    for field, value in expected.items():
        shown = _READERS.get(field, getattr)(product, field)
        if shown != value:
            yield f"{name}: {field} is {shown!r}; expected {value!r}"
    yield from _check_end(name, product.valid_until_time, asked, now)


def _check_end(name: str, stamp: Any, asked: Asked, now: datetime) -> Iterator[str]:
    end = read_instant(stamp)
    if not now < end <= asked.end(name, now):
        yield f"{name}: valid until {end}; expected after {now} and not after {asked.end(name, now)}"


def _list_assumed(asked: Asked, row: Record, pair: Pair) -> list[str]:
    users = () if pair.learning else asked.user.get("assumed") or ()
    return sorted((*(row.get("assumed") or ()), *users))


def _check_verdict(entry: pb.ProductEligibility, asked: Asked, now: datetime) -> Iterator[str]:
    name = entry.product_id
    if entry.known != (name in asked.catalogue):
        yield f"{name}: known is {entry.known}"
    if not entry.known:
        return
    codes = asked.judge(name, now)
    if {reason.code for reason in entry.reasons} != codes - UNDISCLOSED or entry.eligible != (not codes):
        found = sorted(reason.code for reason in entry.reasons)
        yield f"{name}: eligible {entry.eligible} with {found}; expected {sorted(codes)}"
    if entry.eligible:
        if sorted(entry.warnings) != sorted(asked.warn(name, now)):
            yield f"{name}: warnings {sorted(entry.warnings)}; expected {sorted(asked.warn(name, now))}"
        yield from _check_end(name, entry.valid_until_time, asked, now)
    elif entry.HasField("valid_until_time") or entry.warnings:
        yield f"{name}: denied, and yet with an end or warnings"


def _check_secrecy(answer: Any, asked: Asked) -> list[str]:
    raw = asked.user_id.encode()
    held = len(raw) >= USER_ID_BYTES_MIN and raw in answer.SerializeToString()
    return ["the answer holds the raw user id"] if held else []


def _read_optional(product: Any, field: str) -> Any:
    return getattr(product, field) if product.HasField(field) else None


def _read_sorted(product: Any, field: str) -> list[str]:
    return sorted(getattr(product, field))


def _read_family(product: Any, field: str) -> str:
    number = getattr(product, field)
    return str(pb.ProductFamily.Name(number)).removeprefix(FAMILY_PREFIX)


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "family": _read_family,
    "effective_level": _read_optional,
    "risk_score": _read_optional,
    "risk_score_limit": _read_optional,
    "warnings": _read_sorted,
    "assumed_fields": _read_sorted,
}
