"""The command `verify`: says who signed a policy or an overlay, when, and whether that is enough."""

import argparse
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from suitability.errors import SignatureError
from suitability.signatures import SIGNER_COUNT, Purpose, load_keys, load_signatures, verify
from suitability.tools.arguments import parse_count_argument, parse_instant_argument
from suitability.tools.explanation import to_json
from suitability.tools.signed_documents import (
    DOCUMENT_PURPOSES,
    check_purpose,
    open_document,
    signatures_path,
)

DAYS_MAX_DEFAULT = 30
DAYS_MAX_HIGHEST = 3650


def add_parser(subparsers: Any) -> None:
    """Adds the command `verify`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "verify",
        help="say who signed a policy or an overlay, and whether that is enough",
        description="Says who signed a policy or an overlay, when, and whether that is enough. Exit status: "
        "0 enough, 1 not enough or unfit, 2 bad input.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the policy or overlay")
    parser.add_argument("--keys", type=Path, required=True, metavar="KEYS.json", help="file of public keys")
    parser.add_argument("--signatures", type=Path, metavar="FILE.sig.json", help="default: beside FILE")
    parser.add_argument(
        "--purpose",
        type=Purpose,
        choices=DOCUMENT_PURPOSES,
        metavar="{" + ",".join(DOCUMENT_PURPOSES) + "}",
        help="what is about to be done (default: what was signed for)",
    )
    parser.add_argument("--now", type=parse_instant_argument, help="RFC 3339 (default: the system's clock)")
    parser.add_argument(
        "--days-max",
        type=partial(parse_count_argument, highest=DAYS_MAX_HIGHEST),
        default=DAYS_MAX_DEFAULT,
        metavar="N",
        help=f"how many days old a signature may be (default: {DAYS_MAX_DEFAULT})",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 0 where enough people signed, else 1.

    Raises:
        SuitabilityError: document, signatures or keys cannot be read, or the purpose is not for the document.
    """
    document = open_document(arguments.file)
    signatures = load_signatures(arguments.signatures or signatures_path(arguments.file))
    keys = load_keys(arguments.keys)
    purpose = arguments.purpose or signatures.purpose
    check_purpose(document, purpose)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{document.title}\nsha256 {document.sha256}")
    for each in signatures.signatures:
        key = keys.keys.get(each.key_id)
        name = "unknown" if key is None else key.name
        console.print(f"  {each.key_id} ({name}), to {signatures.purpose}, {to_json(each.signed_at)}")
    now = datetime.now(UTC) if arguments.now is None else arguments.now
    try:
        names = verify(
            signatures,
            document.sha256,
            purpose,
            keys,
            now=now,
            age_max=timedelta(days=arguments.days_max),
            signer_count=SIGNER_COUNT[purpose],
        )
    except SignatureError as error:
        console.print(f"does not hold to {purpose}: {error}")
        return 1
    if document.findings:
        console.print(f"signed but unfit: {document.findings[0]}")
        return 1
    console.print(f"holds to {purpose}: signed by {', '.join(names)}")
    return 0
