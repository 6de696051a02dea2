"""Decides about patches: checks each against the bundle and what is in force, and answers for it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from index.bundle import Bundle
from server.catalogue.kept import Accepted
from server.catalogue.patches import ON_SALE, Fields, Refusal, RefusalReason, find_refusals, tighten
from server.catalogue.state import CatalogueState, Patches, Proposal, hash_request
from server.errors import CatalogueSequenceError, IdempotencyKeyError
from suitability.policy import Policy


class Outcome(Enum):
    """What became of a product's patch."""

    APPLIED = 1
    UNCHANGED = 2
    REFUSED = 3
    PRODUCT_UNKNOWN = 4


@dataclass(frozen=True, slots=True)
class PatchQuery:
    """Asks for patches: by product, at least one field each."""

    products: Mapping[str, Fields]
    expected_sequence: int | None
    idempotency_key: str
    request_id: str


@dataclass(frozen=True, slots=True)
class PatchVerdict:
    """What became of one product's patch, and the fields that were refused."""

    product_id: str
    outcome: Outcome
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True)
class PatchAnswer:
    """An answer of PatchProducts; `repeated` where an earlier call with the same key was answered so."""

    verdicts: tuple[PatchVerdict, ...]
    sequence: int
    effective_time: datetime
    repeated: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class CatalogueAnswer:
    """An answer of GetCatalogue: what binds on the bundle that serves, by product, and whether more may."""

    bundle_version: str
    sequence: int
    patches: Mapping[str, Fields]
    accepts_patches: bool


@dataclass(frozen=True, slots=True)
class Served:
    """A bundle that serves, with the row of each product, and the policy in force."""

    bundle: Bundle
    row_of: Mapping[str, int]
    policy: Policy


def decide(
    query: PatchQuery, served: Sequence[Served], patches: Patches
) -> tuple[tuple[PatchVerdict, ...], dict[str, Fields]]:
    """Returns a verdict on each product and, by product, the fields that are to come into force.

    Args:
        query: what is asked.
        served: what serves, the current bundle first. A patch is refused where it would loosen any of it,
            and is APPLIED if it changes any. What changes none is kept, too, for a bundle that says otherwise
            and may be gone back to.
        patches: what binds already.

    Raises:
        CatalogueSequenceError: the catalogue has another sequence than the caller expects.
    """
    if query.expected_sequence not in (None, patches.sequence):
        raise CatalogueSequenceError(
            f"expected_catalogue_sequence: the catalogue has sequence {patches.sequence}, "
            f"expected {query.expected_sequence}"
        )
    verdicts: list[PatchVerdict] = []
    changed: dict[str, Fields] = {}
    for product_id, asked in query.products.items():
        homes = [each for each in served if product_id in each.row_of]
        verdict = _judge(product_id, asked, homes, patches)
        verdicts.append(verdict)
        if verdict.outcome is Outcome.APPLIED:
            changed[product_id] = asked
        elif verdict.outcome is Outcome.UNCHANGED and (
            kept := _find_unsaid(product_id, asked, homes, patches)
        ):
            changed[product_id] = kept
    return tuple(verdicts), changed


def find_repeated(query: PatchQuery, state: CatalogueState) -> PatchAnswer | None:
    """Returns the answer that an earlier call with the same key got; None if there was none.

    Raises:
        IdempotencyKeyError: the key came with another request.
    """
    accepted = state.find_accepted(query.idempotency_key)
    if accepted is None:
        return None
    if accepted.request_hash != hash_request(query.products, query.expected_sequence):
        raise IdempotencyKeyError("idempotency_key: was used for another request; expected a new key")
    return answer_of(accepted, query.request_id, repeated=True)


def propose(
    query: PatchQuery,
    verdicts: Sequence[PatchVerdict],
    changed: Mapping[str, Fields],
    state: CatalogueState,
    now: datetime,
) -> Proposal:
    """Returns what patches would say with what was decided; `CatalogueState.accept` keeps it."""
    return state.propose(
        now,
        changed,
        idempotency_key=query.idempotency_key,
        request_hash=hash_request(query.products, query.expected_sequence),
        verdicts=json.dumps([_write_verdict(verdict) for verdict in verdicts]),
    )


def answer_of(accepted: Accepted, request_id: str, *, repeated: bool) -> PatchAnswer:
    """Returns the answer to a change that was accepted."""
    verdicts = tuple(_read_verdict(body) for body in json.loads(accepted.verdicts))
    return PatchAnswer(verdicts, accepted.sequence, accepted.time, repeated, request_id)


def _judge(product_id: str, asked: Fields, homes: Sequence[Served], patches: Patches) -> PatchVerdict:
    """Judges a patch by every bundle that has the product."""
    if not homes:
        return PatchVerdict(product_id, Outcome.PRODUCT_UNKNOWN)
    for home in homes:
        # What earlier patches say may bind on one bundle and not on another, which was stated later.
        product, in_force = _find_in_force(product_id, home, patches)
        if refusals := find_refusals(product, in_force, asked, home.policy):
            return PatchVerdict(product_id, Outcome.REFUSED, refusals)
    changes = any(_changes(product_id, asked, home, patches) for home in homes)
    return PatchVerdict(product_id, Outcome.APPLIED if changes else Outcome.UNCHANGED)


def _changes(product_id: str, asked: Fields, home: Served, patches: Patches) -> bool:
    product, in_force = _find_in_force(product_id, home, patches)
    before = tighten(product, in_force, home.policy)
    return tighten(product, {**in_force, **asked}, home.policy) != before


def _find_unsaid(product_id: str, asked: Fields, homes: Sequence[Served], patches: Patches) -> Fields:
    """Returns what of a patch no binding patch says yet.

    To be on sale is what every bundle says that a patch could loosen, so it is left out where no patch ever
    said otherwise: whoever reports all products daily would fill the log with it.
    """
    _, in_force = _find_in_force(product_id, homes[0], patches)
    usual = "status" if "status" not in patches.stated.get(product_id, {}) else None
    return {
        name: value
        for name, value in asked.items()
        if in_force.get(name) != value and not (name == usual and value == ON_SALE)
    }


def _find_in_force(product_id: str, home: Served, patches: Patches) -> tuple[Mapping[str, Any], Fields]:
    """Returns a bundle's row of a product, and what earlier patches say of it there."""
    row = home.row_of[product_id]
    return home.bundle.products.row(row), patches.bind(home.bundle, home.row_of, [product_id]).get(row, {})


def _write_verdict(verdict: PatchVerdict) -> list[Any]:
    refusals = [[each.field, each.reason.name, each.in_force] for each in verdict.refusals]
    return [verdict.product_id, verdict.outcome.name, refusals]


def _read_verdict(body: Sequence[Any]) -> PatchVerdict:
    product_id, outcome, refusals = body
    read = tuple(Refusal(field, RefusalReason[reason], held) for field, reason, held in refusals)
    return PatchVerdict(product_id, Outcome[outcome], read)
