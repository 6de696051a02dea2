"""Refuses texts that no system call takes, passwords in addresses, and pipes in place of files."""

import errno
import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

READ_FILES: Final = frozenset(
    {
        *("policy", "policy_keys", "bundle_keys", "pseudonym_keys", "store_password_file", "experiments"),
        *("tls_certificate", "tls_key", "tls_client_ca", "callers"),
    }
)
"""Settings that name a file that is read."""


def require_usable(name: str, value: str | Path) -> None:
    """Checks what a setting holds before anything opens it; what is missing is said where it is opened.

    Args:
        name: of the setting.
        value: what it holds.

    Raises:
        ValueError: no file, folder or host can be called so; or a pipe, which would keep a start waiting
            for good, or a device is in place of a file.
    """
    try:
        if "\0" in os.fspath(value):
            raise ValueError(f"{name}: expected a text without a NUL character")
        os.fsencode(value)
        if isinstance(value, Path):
            mode = value.stat().st_mode
            if name in READ_FILES and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ValueError(f"{name}: {value} is no plain file")
    except UnicodeEncodeError as error:
        raise ValueError(f"{name}: expected a text without half of a surrogate pair") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{name}: a path that is too long") from error


def require_no_password(name: str, address: str) -> None:
    """Checks an address: `--print-config`, command lines and logs would show a password in it to everybody.

    Args:
        name: of the setting.
        address: what it holds.

    Raises:
        ValueError: it is no address, or has a password.
    """
    try:
        password = urlsplit(address).password
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if password is not None:
        raise ValueError(f"{name}: expected no password in the address")
