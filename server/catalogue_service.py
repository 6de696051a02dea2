"""Patches off the wire and verdicts onto it: the catalogue's part of the admin service."""

from typing import Any, Final

from prudence.v1 import admin_pb2

from server.catalogue.changes import CatalogueAnswer, Outcome, PatchAnswer, PatchQuery, PatchVerdict
from server.catalogue.patches import PATCHED_FIELDS, Fields, RefusalReason, Value
from server.convert import ID_BYTES_MAX, check_id, read_context, read_instant
from server.errors import InvalidArgumentError
from server.render import render_instant
from suitability.records import PRODUCT_FIELDS, Field, Kind

PATCH_COUNT_MAX: Final = 1000

# Of each field the message's name; times end in _time there.
_WIRE_NAMES: Final = {
    name: f"{name}_time" if PRODUCT_FIELDS[name].kind is Kind.INSTANT else name for name in PATCHED_FIELDS
}

# The generated stubs type enum values as a class that does not exist at run time.
_OUTCOMES: Final[dict[Outcome, Any]] = {
    outcome: admin_pb2.PatchOutcome.Value(f"PATCH_OUTCOME_{outcome.name}") for outcome in Outcome
}
_REASONS: Final[dict[RefusalReason, Any]] = {
    reason: admin_pb2.PatchRefusalReason.Value(f"PATCH_REFUSAL_REASON_{reason.name}")
    for reason in RefusalReason
}


def read_patches(request: admin_pb2.PatchProductsRequest) -> PatchQuery:
    """Checks a request's fields.

    Raises:
        InvalidArgumentError: a field is wrong; the error names it.
    """
    count = len(request.patches)
    if not 1 <= count <= PATCH_COUNT_MAX:
        raise InvalidArgumentError("patches", f"expected 1 to {PATCH_COUNT_MAX}, got {count}")
    key_length = len(request.idempotency_key.encode())
    if key_length > ID_BYTES_MAX:
        raise InvalidArgumentError(
            "idempotency_key", f"expected at most {ID_BYTES_MAX} bytes, got {key_length}"
        )
    products: dict[str, Fields] = {}
    for position, patch in enumerate(request.patches):
        path = f"patches[{position}]"
        check_id(f"{path}.product_id", patch.product_id)
        if patch.product_id in products:
            raise InvalidArgumentError(f"{path}.product_id", "expected each product once")
        products[patch.product_id] = _read_fields(patch, path)
    expected = request.expected_catalogue_sequence
    return PatchQuery(
        products=products,
        expected_sequence=expected if request.HasField("expected_catalogue_sequence") else None,
        idempotency_key=request.idempotency_key,
        request_id=read_context(request),
    )


def render_patches(answer: PatchAnswer) -> admin_pb2.PatchProductsResponse:
    """Writes an answer of PatchProducts."""
    return admin_pb2.PatchProductsResponse(
        verdicts=[_write_verdict(verdict) for verdict in answer.verdicts],
        catalogue_sequence=answer.sequence,
        effective_time=render_instant(answer.effective_time),
        repeated_answer=answer.repeated,
        request_id=answer.request_id,
    )


def render_catalogue(answer: CatalogueAnswer) -> admin_pb2.GetCatalogueResponse:
    """Writes an answer of GetCatalogue."""
    shown = sorted(answer.patches.items())[:PATCH_COUNT_MAX]
    return admin_pb2.GetCatalogueResponse(
        bundle_version=answer.bundle_version,
        catalogue_sequence=answer.sequence,
        patched_count=len(answer.patches),
        patches=[_write_patch(name, fields) for name, fields in shown],
        accepts_patches=answer.accepts_patches,
    )


def _read_fields(patch: admin_pb2.ProductPatch, path: str) -> Fields:
    fields: dict[str, Value] = {}
    for name, wire_name in _WIRE_NAMES.items():
        if patch.HasField(wire_name):
            fields[name] = _read_value(getattr(patch, wire_name), PRODUCT_FIELDS[name], f"{path}.{wire_name}")
    if not fields:
        raise InvalidArgumentError(path, "expected at least one field beside product_id")
    return fields


def _read_value(value: Any, field: Field, path: str) -> Value:
    if field.kind is Kind.INSTANT:
        instant = read_instant(value)
        if instant is None:
            raise InvalidArgumentError(path, "expected an instant from year 1 to 9999")
        return instant
    if field.kind is Kind.TEXT:
        check_id(path, value)
        if not value.strip():
            raise InvalidArgumentError(path, "expected a text that is not blank")
        return str(value)
    if not field.low <= value <= field.high:
        raise InvalidArgumentError(path, f"expected {field.low} to {field.high}, got {value}")
    return int(value)


def _write_verdict(verdict: PatchVerdict) -> admin_pb2.PatchVerdict:
    return admin_pb2.PatchVerdict(
        product_id=verdict.product_id,
        outcome=_OUTCOMES[verdict.outcome],
        refusals=[
            admin_pb2.PatchRefusal(
                field=_WIRE_NAMES[refusal.field],
                reason=_REASONS[refusal.reason],
                in_force=refusal.in_force,
            )
            for refusal in verdict.refusals
        ],
    )


def _write_patch(product_id: str, fields: Fields) -> admin_pb2.ProductPatch:
    patch = admin_pb2.ProductPatch(product_id=product_id)
    for name, value in fields.items():
        if PRODUCT_FIELDS[name].kind is Kind.INSTANT:
            getattr(patch, _WIRE_NAMES[name]).CopyFrom(render_instant(value))  # type: ignore[arg-type]
        else:
            setattr(patch, name, value)
    return patch
