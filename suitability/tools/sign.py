"""The command `sign`: adds one person's signature to a policy or an overlay."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from suitability.errors import PolicyError, SignatureError
from suitability.signatures import (
    SIGNER_COUNT,
    Purpose,
    Signature,
    SignatureSet,
    load_private_key,
    load_signatures,
    sign,
)
from suitability.tools.arguments import parse_instant_argument
from suitability.tools.atomic_files import write_over
from suitability.tools.signed_documents import (
    DOCUMENT_PURPOSES,
    SignedDocument,
    check_purpose,
    open_document,
    signatures_path,
)


def add_parser(subparsers: Any) -> None:
    """Adds the command `sign`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "sign",
        help="sign a policy or an overlay",
        description="Signs a policy or an overlay and adds the signature to those beside it. A policy that "
        "fails lint is not signed. A second signature by one key replaces its first.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the policy or overlay")
    parser.add_argument(
        "--key", type=Path, required=True, metavar="KEY.pem", help="your private key, mode 600"
    )
    parser.add_argument(
        "--key-id", required=True, metavar="ID", help="the key's id in the file of public keys"
    )
    parser.add_argument(
        "--purpose",
        type=Purpose,
        choices=DOCUMENT_PURPOSES,
        required=True,
        metavar="{" + ",".join(DOCUMENT_PURPOSES) + "}",
        help="activate a policy (two people); tighten (one) or loosen (two) by an overlay",
    )
    parser.add_argument("--out", type=Path, metavar="FILE.sig.json", help="default: beside FILE")
    parser.add_argument(
        "--signed-at", type=parse_instant_argument, help="RFC 3339 instant (default: the system's clock)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 0.

    Raises:
        SuitabilityError: the file is no fit policy or overlay, the purpose is not for it, the key cannot be
            used, or the signatures that are there are of another document.
    """
    document, purpose = open_document(arguments.file), arguments.purpose
    check_purpose(document, purpose)
    if document.findings:
        raise PolicyError(f"fails lint, so it is not signed: {document.findings[0]}")
    out = signatures_path(arguments.file) if arguments.out is None else arguments.out
    earlier = _earlier_signatures(out, document, purpose)
    private_key = load_private_key(arguments.key)
    signed_at = (
        datetime.now(UTC).replace(microsecond=0) if arguments.signed_at is None else arguments.signed_at
    )
    signature = sign(document.sha256, purpose, private_key, arguments.key_id, signed_at)
    others = [each for each in earlier if each.key_id != arguments.key_id]
    signatures = SignatureSet(purpose, document.sha256, (*others, signature))
    text = json.dumps(signatures.values(), indent=2, ensure_ascii=False) + "\n"
    # What is written must be readable again: a key id that cannot be a text stops here.
    load_signatures(text.encode("utf-8"))
    write_over(out, text.encode("utf-8"))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"signed {document.title} to {purpose} as {arguments.key_id}\nsha256 {document.sha256}")
    count, needed = len(signatures.signatures), SIGNER_COUNT[purpose]
    held = f"{count} of {needed} signatures" if count <= needed else f"{count} signatures, needed: {needed}"
    console.print(f"{out} holds {held}")
    return 0


def _earlier_signatures(path: Path, document: SignedDocument, purpose: Purpose) -> tuple[Signature, ...]:
    if not path.exists():
        return ()
    found = load_signatures(path)
    if found.sha256 != document.sha256 or found.purpose is not purpose:
        raise SignatureError(
            f"{path} signs {found.sha256:.80} to {found.purpose}, not {document.sha256} to {purpose}: the "
            "document has changed or the purpose differs, so remove that file and let everybody sign again"
        )
    return found.signatures
