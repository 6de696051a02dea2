"""Signs a bundle by its manifest, and says who signed: who made it is proven before anything of it is parsed.

The manifest holds the SHA-256 of every other file, so a signature of its bytes is one of the whole bundle.
Signatures lie beside the manifest and are not part of it: they may come after sealing.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from index.errors import BundleSignatureError
from index.files import list_entries, open_directory, read_file, replace_file
from index.manifest import MANIFEST, MANIFEST_BYTES_MAX, SIGNATURES
from suitability.errors import SignatureError
from suitability.signatures import (
    SIGNER_COUNT,
    KeyRing,
    Purpose,
    Signature,
    SignatureSet,
    load_private_key,
    load_signatures,
    sign,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNATURES_BYTES_MAX = 1 << 16


def sign_bundle(bundle: Path, key: Path, key_id: str, signed_at: datetime | None = None) -> None:
    """Adds a signature to a bundle; a second one by the same key replaces its first.

    Args:
        bundle: the sealed bundle.
        key: private key, PEM, mode 600.
        key_id: the key's id in the file of public keys.
        signed_at: the instant; None for now.

    Raises:
        SigningKeyError: the key cannot be used.
        BundleSignatureError: signatures that are there are of another bundle.
        BundleError: there is no bundle, or the disk refused.
    """
    with open_directory(bundle) as directory:
        sha256 = hashlib.sha256(read_file(directory, MANIFEST, size_max=MANIFEST_BYTES_MAX)).hexdigest()
        earlier = _read_earlier(directory, sha256)
    moment = datetime.now(UTC).replace(microsecond=0) if signed_at is None else signed_at
    made = sign(sha256, Purpose.PUBLISH, load_private_key(key), key_id, moment)
    kept = [signature for signature in earlier if signature.key_id != key_id]
    values = SignatureSet(Purpose.PUBLISH, sha256, (*kept, made)).values()
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    # What is written must be readable again: a key id that cannot be a text stops here.
    load_signatures(text.encode("utf-8"))
    # A draft inside the bundle would make it unreadable if it stayed.
    replace_file(bundle / SIGNATURES, text.encode("utf-8"), draft_folder=bundle.parent)


def check_signatures(manifest: bytes, signatures: bytes, keys: KeyRing) -> tuple[str, ...]:
    """Proves who signed.

    Args:
        manifest: the manifest's bytes, read and not parsed.
        signatures: the bytes of the file of signatures.
        keys: the public keys of publishers.

    Returns:
        The signers' names.

    Raises:
        BundleSignatureError: the signatures do not hold for this manifest.
    """
    sha256 = hashlib.sha256(manifest).hexdigest()
    try:
        return verify(
            load_signatures(signatures),
            sha256,
            Purpose.PUBLISH,
            keys,
            # A bundle is served as long as it is good; who retired a key says from when in the file of keys.
            now=None,
            age_max=timedelta.max,
            signer_count=SIGNER_COUNT[Purpose.PUBLISH],
        )
    except SignatureError as error:
        raise BundleSignatureError(SIGNATURES, str(error)) from error


def _read_earlier(directory: int, sha256: str) -> Sequence[Signature]:
    if SIGNATURES not in list_entries(directory):
        return ()
    try:
        found = load_signatures(read_file(directory, SIGNATURES, size_max=SIGNATURES_BYTES_MAX))
    except SignatureError as error:
        raise BundleSignatureError(SIGNATURES, str(error)) from error
    if found.purpose is not Purpose.PUBLISH or found.sha256 != sha256:
        raise BundleSignatureError(SIGNATURES, "signatures of another bundle; remove the file to begin anew")
    return found.signatures
