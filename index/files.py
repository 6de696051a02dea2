"""Files of a bundle: nothing unproven reaches a parser, and nothing half-written is ever seen.

Reading goes through one directory descriptor: each name is opened without following links, must be a plain
file with one name, and is hashed from the very bytes that are handed out. Writing fills a temporary sibling,
syncs every file and directory, and renames.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from index.errors import (
    BundleChecksumError,
    BundleExistsError,
    BundleFormatError,
    BundleLinkError,
    BundleNotFoundError,
    BundleWriteError,
)

CURRENT = "CURRENT"
CURRENT_BYTES_MAX = 256

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextlib.contextmanager
def open_directory(path: Path) -> Iterator[int]:
    """Opens a directory, which may not be a link itself, and yields its descriptor.

    Raises:
        BundleNotFoundError: nothing is there.
        BundleLinkError: it is a link or not a directory.
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS | os.O_DIRECTORY)
    except FileNotFoundError as error:
        raise BundleNotFoundError(str(path), "expected a directory, found nothing") from error
    except OSError as error:
        raise BundleLinkError(str(path), f"expected a directory that is no link: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def list_entries(directory: int) -> frozenset[str]:
    """Lists the names in a directory."""
    return frozenset(os.listdir(directory))


def read_file(directory: int, name: str, *, size_max: int) -> bytes:
    """Reads one plain file of at most `size_max` bytes.

    Raises:
        BundleNotFoundError: it is missing.
        BundleLinkError: it is a link, has a second name, or is not a plain file.
        BundleFormatError: it is larger than allowed.
    """
    with _open_file(directory, name) as (descriptor, size):
        if size > size_max:
            raise BundleFormatError(name, f"{size} bytes; expected at most {size_max}")
        return _read(descriptor, size_max)


def read_proven(directory: int, name: str, *, size: int, sha256: str) -> bytes:
    """Reads one file whose size and SHA-256 are known, and proves both before handing out the bytes.

    The bytes are a copy, which nothing can change after it was proven.

    Args:
        directory: descriptor of the bundle.
        name: file name.
        size: expected size in bytes.
        sha256: expected digest, lower-case hexadecimal.

    Raises:
        BundleNotFoundError: it is missing.
        BundleLinkError: it is a link, has a second name, or is not a plain file.
        BundleChecksumError: size or digest differ.
    """
    with _open_file(directory, name) as (descriptor, found_size):
        if found_size != size:
            raise BundleChecksumError(name, f"{found_size} bytes; the manifest says {size}")
        content = _read(descriptor, size)
    _require_digest(name, content, sha256)
    return content


def map_proven(directory: int, name: str, *, size: int, sha256: str) -> mmap.mmap:
    """Maps one file whose size and SHA-256 are known, so that processes share its memory; proves both first.

    What is hashed is the mapping itself, so a name that is replaced meanwhile changes nothing. Whoever writes
    into the file itself still changes it, so only what cannot decide anything is mapped, and nothing may
    write into a sealed bundle: reading a file that was shortened ends the process (SIGBUS).

    Args:
        directory: descriptor of the bundle.
        name: file name.
        size: expected size in bytes, at least 1.
        sha256: expected digest, lower-case hexadecimal.

    Raises:
        BundleNotFoundError: it is missing.
        BundleLinkError: it is a link, has a second name, or is not a plain file.
        BundleChecksumError: size or digest differ.
    """
    with _open_file(directory, name) as (descriptor, found_size):
        if found_size != size:
            raise BundleChecksumError(name, f"{found_size} bytes; the manifest says {size}")
        content = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    _require_digest(name, content, sha256)
    return content


def write_directory(target: Path, files: Mapping[str, bytes], *, last: str) -> None:
    """Writes a whole directory durably: all of it becomes visible under `target`, or nothing.

    Args:
        target: must not exist; its parent is created.
        files: content by file name.
        last: the name that is written after all others.

    Raises:
        BundleExistsError: the target is there.
        BundleWriteError: the disk refused; nothing is left behind.
    """
    if os.path.lexists(target):
        raise BundleExistsError(str(target), "already exists; expected a new name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    except OSError as error:
        raise BundleWriteError(str(target), f"cannot write beside it: {error.strerror}") from error
    try:
        for name in [*sorted(set(files) - {last}), last]:
            _write_synced(temporary / name, files[name])
        temporary.chmod(0o755)
        _sync_directory(temporary)
        _rename_new(temporary, target)
        _sync_directory(target.parent)
    except OSError as error:
        raise BundleWriteError(str(target), f"cannot write: {error.strerror}") from error
    finally:
        # After the rename there is nothing here; after a failure or an interrupt nothing may stay.
        shutil.rmtree(temporary, ignore_errors=True)


def read_pointer(bundles: Path) -> str:
    """Reads the bundle name that CURRENT holds, unchecked.

    Raises:
        BundleError: CURRENT is missing, a link, too long or not one line of UTF-8.
    """
    with open_directory(bundles) as directory:
        content = read_file(directory, CURRENT, size_max=CURRENT_BYTES_MAX)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleFormatError(CURRENT, "not UTF-8") from error
    if not text.endswith("\n") or text.count("\n") != 1:
        raise BundleFormatError(CURRENT, f"{text!r:.80}; expected one line")
    return text[:-1]


def write_pointer(bundles: Path, name: str) -> None:
    """Replaces CURRENT atomically and durably.

    Raises:
        BundleWriteError: the disk refused; the old pointer stays.
    """
    replace_file(bundles / CURRENT, f"{name}\n".encode(), draft_folder=bundles)


def replace_file(path: Path, content: bytes, *, draft_folder: Path) -> None:
    """Writes a file or replaces it, atomically and durably.

    Args:
        path: the file.
        content: all of it.
        draft_folder: where the draft is made, on the same disk; a crash may leave it there.

    Raises:
        BundleWriteError: the disk refused; what was there stays.
    """
    draft: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=draft_folder)
        os.close(descriptor)
        draft = Path(name)
        _write_synced(draft, content)
        draft.chmod(0o644)
        draft.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise BundleWriteError(str(path), f"cannot write: {error.strerror}") from error
    finally:
        if draft is not None:
            draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _open_file(directory: int, name: str) -> Iterator[tuple[int, int]]:
    """Yields descriptor and size of a plain file with exactly one name."""
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise BundleFormatError(repr(name), "not a plain file name")
    try:
        descriptor = os.open(name, _OPEN_FLAGS, dir_fd=directory)
    except FileNotFoundError as error:
        raise BundleNotFoundError(name, "expected a file, found nothing") from error
    except OSError as error:
        raise BundleLinkError(name, f"expected a plain file that can be opened: {error.strerror}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise BundleLinkError(name, "expected a plain file")
        if status.st_nlink != 1:
            raise BundleLinkError(name, f"{status.st_nlink} hard links; expected exactly one name")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def _require_digest(name: str, content: bytes | mmap.mmap, sha256: str) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise BundleChecksumError(name, f"SHA-256 is {digest}; the manifest says {sha256}")


def _read(descriptor: int, size_max: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        return file.read(size_max)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rename_new(temporary: Path, target: Path) -> None:
    # rename() replaces an empty directory silently, so a target that appeared meanwhile is refused here.
    if os.path.lexists(target):
        raise BundleExistsError(str(target), "appeared during the build; expected a new name")
    temporary.rename(target)
