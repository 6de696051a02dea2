"""Turns user ids into pseudonyms, keyed hashes: nothing that is stored, logged or counted holds an id.

A pseudonym is the epoch of its key, two bytes, and the HMAC-SHA-256 of the user id under that key. A key file
holds one key or more, one for each epoch. The newest names users who are new; the others find those who were
stored before it was made. A user keeps the pseudonym that they were first stored under.
"""

import contextlib
import hmac
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from server.errors import PseudonymKeyError

FORMAT: Final = "prudence-pseudonym-keys/1"
KEY_BYTES: Final = 32
EPOCH_MAX: Final = 0xFFFF
PSEUDONYM_BYTES: Final = 34

_FINGERPRINT_LABEL: Final = b"prudence fingerprint"
_USER_LABEL: Final = b"prudence user id\x00"
_DIGEST_LABEL: Final = b"prudence digest\x00"

Names = tuple[bytes, ...]
"""Every pseudonym that one user may be stored under, the newest epoch's first."""


class Pseudonyms:
    """Derives pseudonyms. Safe between threads."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        """Keeps the keys.

        Args:
            keys: a key of 32 bytes for each epoch; at least one.
        """
        self._keys = [
            (epoch.to_bytes(2, "big"), keys[epoch]) for epoch in sorted(keys, reverse=True)
        ]  # Newest first.
        self.fingerprints: Mapping[int, str] = {
            epoch: hmac.digest(key, _FINGERPRINT_LABEL, "sha256")[:8].hex()
            for epoch, key in sorted(keys.items())
        }

    def derive(self, user_id: str) -> bytes:
        """Returns the pseudonym of a user who is new, 34 bytes."""
        epoch, key = self._keys[0]
        return epoch + hmac.digest(key, _USER_LABEL + user_id.encode(), "sha256")

    def derive_all(self, user_id: str) -> Names:
        """Returns the pseudonyms that the user may be stored under, the newest epoch's first."""
        content = _USER_LABEL + user_id.encode()
        return tuple([epoch + hmac.digest(key, content, "sha256") for epoch, key in self._keys])

    def digest(self, content: bytes) -> bytes:
        """Returns a keyed hash of what a caller sent, 32 bytes; it may hold a user id. New epochs keep it."""
        return hmac.digest(self._keys[-1][1], _DIGEST_LABEL + content, "sha256")


def make_process_pseudonyms() -> Pseudonyms:
    """Returns pseudonyms under a key that ends with this process, for a server without a store."""
    return Pseudonyms({1: secrets.token_bytes(KEY_BYTES)})


def load_pseudonyms(path: Path) -> Pseudonyms:
    """Reads a key file.

    Raises:
        PseudonymKeyError: it is not there, others may read it, or it is no key file.
    """
    return Pseudonyms(_load(path))


def make_key_file(path: Path) -> None:
    """Makes a key file with one new key, readable by its owner only.

    Raises:
        PseudonymKeyError: there is one already, or it cannot be written.
    """
    try:
        _write(path, {1: secrets.token_bytes(KEY_BYTES)}, os.O_EXCL)
    except OSError as error:
        raise PseudonymKeyError(f"pseudonym_keys: {path} cannot be made: {error.strerror}") from error


def add_epoch(path: Path) -> int:
    """Adds a new key to a key file, which is replaced as a whole.

    Returns:
        the new epoch.

    Raises:
        PseudonymKeyError: there is no key file, it holds the last epoch, or it cannot be written.
    """
    keys = dict(_load(path))
    epoch = max(keys) + 1
    if epoch > EPOCH_MAX:
        raise PseudonymKeyError(f"pseudonym_keys: {path}: expected at most {EPOCH_MAX} epochs")
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        _write(draft, keys | {epoch: secrets.token_bytes(KEY_BYTES)}, os.O_TRUNC)
        draft.replace(path)
        _sync_folder(path)
    except OSError as error:
        raise PseudonymKeyError(f"pseudonym_keys: {path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return epoch


def _load(path: Path) -> Mapping[int, bytes]:
    try:
        mode = path.stat().st_mode
        body = path.read_bytes()
    except OSError as error:
        raise PseudonymKeyError(
            f"pseudonym_keys: {path} cannot be read: {error.strerror}; "
            "`python -m server make-keys` makes one, but a store is known by its own keys only, and one of "
            "an earlier version is written anew by `import-users --force`"
        ) from error
    if stat.S_IMODE(mode) & 0o077:
        raise PseudonymKeyError(
            f"pseudonym_keys: {path}: expected no access for others (mode 0600), got {stat.S_IMODE(mode):04o}"
        )
    try:
        return _read(json.loads(body))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        # Whatever it holds may be a key: nothing of it is shown.
        raise PseudonymKeyError(f"pseudonym_keys: {path}: not a key file of format {FORMAT}") from error


def _read(document: Any) -> dict[int, bytes]:
    """Reads the document of a key file; raises ValueError, TypeError or KeyError where it is none."""
    if set(document) != {"format", "keys"} or document["format"] != FORMAT:
        raise ValueError("format")
    keys = {entry["epoch"]: bytes.fromhex(entry["key"]) for entry in document["keys"]}
    if len(keys) != len(document["keys"]) or not keys:
        raise ValueError("epochs")
    for epoch, key in keys.items():
        if type(epoch) is not int or not 1 <= epoch <= EPOCH_MAX or len(key) != KEY_BYTES:
            raise ValueError("key")
    return keys


def _write(path: Path, keys: Mapping[int, bytes], flag: int) -> None:
    entries = [{"epoch": epoch, "key": key.hex()} for epoch, key in sorted(keys.items())]
    body = json.dumps({"format": FORMAT, "keys": entries}, indent=1).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(descriptor)
    _sync_folder(path)


def _sync_folder(path: Path) -> None:
    """Makes the file's name durable, too: without its keys a store knows nobody."""
    entry = os.open(path.absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
