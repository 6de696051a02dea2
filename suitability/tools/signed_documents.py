"""Opens what can be signed: a policy or an overlay, recognised by its `schema`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suitability.errors import DocumentError, SignatureError
from suitability.json_documents import errors_naming, read_document
from suitability.overlay import OVERLAY_SCHEMA_NAME, load_overlay
from suitability.policy import load_policy
from suitability.policy_lint import lint
from suitability.policy_schema import SCHEMA_NAME
from suitability.signatures import Purpose

DOCUMENT_PURPOSES = (Purpose.ACTIVATE, Purpose.TIGHTEN, Purpose.LOOSEN)


@dataclass(frozen=True)
class SignedDocument:
    """Holds what signing needs to know of a document.

    Attributes:
        title: what it is, for people.
        sha256: identity.
        purposes: what it can be signed for.
        findings: what makes it unfit; it must not be signed then.
    """

    title: str
    sha256: str
    purposes: tuple[Purpose, ...]
    findings: tuple[str, ...]


def open_document(path: Path) -> SignedDocument:
    """Opens a policy or an overlay.

    Raises:
        DocumentError: the file is neither, or is malformed.
    """
    with errors_naming(path):
        return _open(read_document(path))


def _open(values: Mapping[str, Any]) -> SignedDocument:
    schema = values.get("schema")
    if schema == SCHEMA_NAME:
        policy = load_policy(values)
        title = f"policy {policy.policy_id} {policy.version}"
        return SignedDocument(title, policy.sha256, (Purpose.ACTIVATE,), tuple(lint(policy)))
    if schema == OVERLAY_SCHEMA_NAME:
        overlay = load_overlay(values)
        title = f"overlay {overlay.sequence} of {overlay.policy_id}"
        return SignedDocument(title, overlay.sha256, (Purpose.TIGHTEN, Purpose.LOOSEN), ())
    raise DocumentError(f"expected {SCHEMA_NAME} or {OVERLAY_SCHEMA_NAME}, got {schema!r:.80}", "schema")


def check_purpose(document: SignedDocument, purpose: Purpose) -> None:
    """Checks that a document can be signed for a purpose. Raises: SignatureError."""
    if purpose not in document.purposes:
        raise SignatureError(
            f"expected {' or '.join(document.purposes)} for {document.title}, got {purpose}", "purpose"
        )


def signatures_path(path: Path) -> Path:
    """Returns where the signatures of a document lie: beside it."""
    return path.with_name(f"{path.name}.sig.json")
