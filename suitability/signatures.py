"""Signs policies, overlays and bundles, and says who signed: Ed25519, and the one door to `cryptography`.

A signature covers the canonical bytes of {schema, purpose, sha256, key_id, signed_at}, where sha256 is the
identity of the signed document. So it holds for one document, one purpose, one key and one instant, and
cannot be moved to another. A policy becomes active with two signatures ACTIVATE; an overlay that only
tightens needs one TIGHTEN, one that lifts anything two LOOSEN. A bundle is served with one PUBLISH.
"""

import base64
import binascii
import os
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from suitability.errors import SignatureError, SigningKeyError
from suitability.json_documents import canonical_bytes, errors_as, errors_naming, read_document
from suitability.policy_schema import Instant, ListOf, Text, check_shape, parse_instant

SIGNATURES_SCHEMA_NAME = "suitability-signatures/1"
KEYS_SCHEMA_NAME = "suitability-keys/1"
SIGNATURE_COUNT_MAX = 16
KEY_COUNT_MAX = 1000
CLOCK_SKEW_MAX = timedelta(minutes=5)
"""How far ahead the clock of the computer that signs may be: nobody can wait for clocks in an emergency."""
_PRIVATE_KEY_BYTES_MAX = 4096


class Purpose(StrEnum):
    """Says what a signature allows; one for a purpose is worth nothing for another."""

    ACTIVATE = "activate"
    TIGHTEN = "tighten"
    LOOSEN = "loosen"
    PUBLISH = "publish"


SIGNER_COUNT: Mapping[Purpose, int] = MappingProxyType(
    {Purpose.ACTIVATE: 2, Purpose.TIGHTEN: 1, Purpose.LOOSEN: 2, Purpose.PUBLISH: 1}
)
"""How many different people each purpose needs."""

_SIGNATURES_SHAPE: Mapping[str, Any] = MappingProxyType(
    {
        "schema": Text((SIGNATURES_SCHEMA_NAME,)),
        "purpose": Text(tuple(Purpose)),
        "sha256": Text(),
        "signatures": ListOf(
            {"key_id": Text(), "signed_at": Instant(), "signature": Text()}, SIGNATURE_COUNT_MAX
        ),
    }
)
_KEYS_SHAPE: Mapping[str, Any] = MappingProxyType(
    {
        "schema": Text((KEYS_SCHEMA_NAME,)),
        "keys": ListOf(
            {"key_id": Text(), "name": Text(), "public_key": Text(), "retired_at": Instant(nullable=True)},
            KEY_COUNT_MAX,
        ),
    }
)


@dataclass(frozen=True)
class Signature:
    """Holds one signature: by which key, when (in UTC), and its 64 bytes."""

    key_id: str
    signed_at: datetime
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class SignatureSet:
    """Holds the signatures under one document for one purpose, at most one per key."""

    purpose: Purpose
    sha256: str
    signatures: tuple[Signature, ...]

    def values(self) -> dict[str, Any]:
        """Returns the set as its JSON document; `load_signatures` reads it back."""
        return {
            "schema": SIGNATURES_SCHEMA_NAME,
            "purpose": self.purpose.value,
            "sha256": self.sha256,
            "signatures": [
                {
                    "key_id": each.key_id,
                    "signed_at": _instant_text(each.signed_at),
                    "signature": base64.b64encode(each.signature).decode("ascii"),
                }
                for each in self.signatures
            ],
        }


@dataclass(frozen=True)
class PublicKey:
    """Holds one public key: whose it is, its 32 bytes, and since when it may no longer sign."""

    key_id: str
    name: str
    public_key: bytes
    retired_at: datetime | None

    def values(self) -> dict[str, Any]:
        """Returns the key as its entry in the file of keys."""
        return {
            "key_id": self.key_id,
            "name": self.name,
            "public_key": base64.b64encode(self.public_key).decode("ascii"),
            "retired_at": None if self.retired_at is None else _instant_text(self.retired_at),
        }


@dataclass(frozen=True)
class KeyRing:
    """Holds the public keys of those who may sign, by key id."""

    keys: Mapping[str, PublicKey]


def load_signatures(source: str | Path | bytes | Mapping[str, Any]) -> SignatureSet:
    """Loads a set of signatures; whether they hold is `verify`'s question.

    Raises:
        SignatureError: it cannot be read, a key is unknown, missing, given twice or holds a wrong value, or
            one key id signs twice.
    """
    with errors_naming(source):
        return _read_signatures(source)


def _read_signatures(source: str | Path | bytes | Mapping[str, Any]) -> SignatureSet:
    with errors_as(SignatureError):
        values = source if isinstance(source, Mapping) else read_document(source)
        check_shape(values, _SIGNATURES_SHAPE)
    signatures = tuple(
        Signature(
            each["key_id"],
            parse_instant(each["signed_at"]),
            _decode(each["signature"], 64, f"signatures[{position}].signature", SignatureError),
        )
        for position, each in enumerate(values["signatures"])
    )
    _check_once([each.key_id for each in signatures], "signatures", SignatureError)
    return SignatureSet(Purpose(values["purpose"]), values["sha256"], signatures)


def load_keys(source: str | Path | bytes | Mapping[str, Any]) -> KeyRing:
    """Loads the public keys of those who may sign.

    Raises:
        SigningKeyError: it cannot be read, a key is unknown, missing, given twice or holds a wrong value, or
            two entries have one key id.
    """
    with errors_naming(source):
        return _read_keys(source)


def _read_keys(source: str | Path | bytes | Mapping[str, Any]) -> KeyRing:
    with errors_as(SigningKeyError):
        values = source if isinstance(source, Mapping) else read_document(source)
        check_shape(values, _KEYS_SHAPE)
    keys = tuple(
        PublicKey(
            each["key_id"],
            each["name"],
            _decode(each["public_key"], 32, f"keys[{position}].public_key", SigningKeyError),
            None if each["retired_at"] is None else parse_instant(each["retired_at"]),
        )
        for position, each in enumerate(values["keys"])
    )
    _check_once([each.key_id for each in keys], "keys", SigningKeyError)
    return KeyRing(MappingProxyType({each.key_id: each for each in keys}))


def sign(
    sha256: str, purpose: Purpose, private_key: Ed25519PrivateKey, key_id: str, signed_at: datetime
) -> Signature:
    """Signs a document, named by the SHA-256 of its canonical bytes, for one purpose.

    Raises:
        SignatureError: signed_at has no time zone.
    """
    if signed_at.utcoffset() is None:
        raise SignatureError(f"expected an instant with time zone, got {signed_at}", "signed_at")
    moment = signed_at.astimezone(UTC)
    return Signature(key_id, moment, private_key.sign(_message(sha256, purpose, key_id, moment)))


def verify(
    signature_set: SignatureSet,
    sha256: str,
    purpose: Purpose,
    keys: KeyRing,
    *,
    now: datetime | None,
    age_max: timedelta,
    signer_count: int,
) -> tuple[str, ...]:
    """Checks that enough different people signed a document for a purpose; one bad signature spoils the set.

    Args:
        signature_set: the signatures.
        sha256: identity of the document at hand.
        purpose: what is about to be done with it.
        keys: the public keys of those who may sign.
        now: the instant at which signatures are judged for age; None where they were judged when first used.
        age_max: how old a signature may be. It may lie in the future by CLOCK_SKEW_MAX.
        signer_count: how many different people, with as many different keys, are needed.

    Returns:
        The signers' names, in the order of the set.

    Raises:
        SignatureError: why the set does not hold.
    """
    if signature_set.purpose is not purpose:
        raise SignatureError(f"expected {purpose}, got signatures to {signature_set.purpose}", "purpose")
    if signature_set.sha256 != sha256:
        raise SignatureError(
            f"expected this document's {sha256}, got signatures of another, {signature_set.sha256:.80}",
            "sha256",
        )
    signers = []
    for position, signature in enumerate(signature_set.signatures):
        path = f"signatures[{position}]"
        signers.append(_check_signature(signature, signature_set, keys, path))
        if now is not None:
            _check_age(signature, now, age_max, path)
    _check_different(signers, signer_count)
    return tuple(signer.name for signer in signers)


def generate_private_key() -> Ed25519PrivateKey:
    """Makes a new private key."""
    return Ed25519PrivateKey.generate()


def private_key_pem(private_key: Ed25519PrivateKey) -> bytes:
    """Returns a private key as the text of its PEM file, which nobody but its owner may read."""
    return private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_key_of(private_key: Ed25519PrivateKey, *, key_id: str, name: str) -> PublicKey:
    """Returns the public half of a private key, for the file of keys."""
    return PublicKey(key_id, name, private_key.public_key().public_bytes_raw(), None)


def load_private_key(path: str | Path) -> Ed25519PrivateKey:
    """Loads a private key from its PEM file.

    Raises:
        SigningKeyError: the file cannot be read, others than its owner may read it, or it holds no
            unencrypted Ed25519 private key.
    """
    try:
        with Path(path).open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            if mode & 0o077:
                raise SigningKeyError(f"expected {path} to be its owner's alone, mode 600, got {mode:o}")
            data = stream.read(_PRIVATE_KEY_BYTES_MAX)
    except OSError as error:
        raise SigningKeyError(f"cannot read {path}: {error.strerror}") from error
    try:
        private_key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own message may quote the file, and what is in this file is never repeated.
        raise SigningKeyError(f"expected an unencrypted private key in PEM in {path}") from None
    if not isinstance(private_key, Ed25519PrivateKey):
        raise SigningKeyError(f"expected an Ed25519 private key in {path}, got {type(private_key).__name__}")
    return private_key


def _message(sha256: str, purpose: Purpose, key_id: str, signed_at: datetime) -> bytes:
    return canonical_bytes(
        {
            "schema": SIGNATURES_SCHEMA_NAME,
            "purpose": purpose.value,
            "sha256": sha256,
            "key_id": key_id,
            "signed_at": _instant_text(signed_at),
        }
    )


def _check_signature(
    signature: Signature, signature_set: SignatureSet, keys: KeyRing, path: str
) -> PublicKey:
    key = keys.keys.get(signature.key_id)
    if key is None:
        raise SignatureError(f"expected a key that may sign, got {signature.key_id!r:.80}", f"{path}.key_id")
    message = _message(signature_set.sha256, signature_set.purpose, signature.key_id, signature.signed_at)
    try:
        Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature.signature, message)
    except InvalidSignature:
        raise SignatureError(
            f"expected a signature of key {signature.key_id!r:.80}, got one that does not hold",
            f"{path}.signature",
        ) from None
    if key.retired_at is not None and signature.signed_at >= key.retired_at:
        retired, signed = _instant_text(key.retired_at), _instant_text(signature.signed_at)
        raise SignatureError(
            f"key {signature.key_id!r:.80} was retired at {retired}, got a signature of {signed}",
            f"{path}.signed_at",
        )
    return key


def _check_age(signature: Signature, now: datetime, age_max: timedelta, path: str) -> None:
    age = now - signature.signed_at
    signed = _instant_text(signature.signed_at)
    if age < -CLOCK_SKEW_MAX:
        raise SignatureError(
            f"expected at most {CLOCK_SKEW_MAX.seconds // 60} minutes in the future, got {signed}, "
            f"now is {_instant_text(now)}",
            f"{path}.signed_at",
        )
    if age > age_max:
        raise SignatureError(
            f"expected at most {age_max.days} days ago, got {signed}: the signature is stale",
            f"{path}.signed_at",
        )


def _check_different(signers: list[PublicKey], signer_count: int) -> None:
    assert signer_count >= 1, signer_count  # Nobody's signatures would be enough.
    people = len({_same_name(signer.name) for signer in signers})
    keys = len({signer.public_key for signer in signers})
    if min(people, keys) < signer_count:
        raise SignatureError(
            f"expected {signer_count} different people with different keys, got {people} with {keys}"
        )


def _same_name(name: str) -> str:
    """Returns the form in which two spellings of one name are equal: case, width and spacing do not count."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _instant_text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _decode(text: str, size: int, path: str, kind: type[SignatureError]) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    # A second spelling of the same bytes is refused as well, so that a document has one form.
    if len(data) != size or base64.b64encode(data).decode("ascii") != text:
        raise kind(f"expected {size} bytes in base64, got {text!r:.80}", path)
    return data


def _check_once(names: list[str], path: str, kind: type[SignatureError]) -> None:
    seen: set[str] = set()
    for position, name in enumerate(names):
        if name in seen:
            raise kind(f"expected each key id once, got {name!r:.80} twice", f"{path}[{position}].key_id")
        seen.add(name)
