"""The command `keygen`: makes a private key and shows its public half."""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console

from suitability.errors import SigningKeyError
from suitability.signatures import KEYS_SCHEMA_NAME, generate_private_key, private_key_pem, public_key_of
from suitability.tools.atomic_files import write_new


def add_parser(subparsers: Any) -> None:
    """Adds the command `keygen`."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "keygen",
        help="make a private key and show its public half",
        description="Makes a private key, which never leaves its owner, and prints its public half: an entry "
        f'for "keys" in the file of public keys, {{"schema": "{KEYS_SCHEMA_NAME}", "keys": [...]}}.',
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="KEY.pem", help="private key file to write"
    )
    parser.add_argument("--name", required=True, help="whose key it is: one person, one name")
    parser.add_argument("--key-id", required=True, metavar="ID", help="how signatures name the key")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns 0.

    Raises:
        SigningKeyError: name or key id is blank.
        WriteError: the private key file exists or cannot be written.
    """
    for option, value in (("name", arguments.name), ("key_id", arguments.key_id)):
        if not value.strip():
            raise SigningKeyError(f"expected a text, got {value!r}", option)
    private_key = generate_private_key()
    write_new(arguments.out, private_key_pem(private_key))
    entry = public_key_of(private_key, key_id=arguments.key_id, name=arguments.name).values()
    Console().print_json(data=entry, ensure_ascii=False)
    return 0
