"""The disk contract: a sealed, immutable directory per version, and CURRENT, naming the one that serves.

Opening proves kind, size and SHA-256 of every file before any parser sees it; sealing and opening then
run the same consistency check. A bundle becomes visible whole or not at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from index.contents import Contents, parse_contents
from index.errors import BundleError, BundleFormatError, BundleNotFoundError, BundleSignatureError
from index.files import (
    CURRENT,
    list_entries,
    map_proven,
    open_directory,
    read_file,
    read_pointer,
    read_proven,
    write_directory,
    write_pointer,
)
from index.manifest import (
    INDEX,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    SIGNATURES,
    FileEntry,
    Manifest,
    parse_manifest,
    require_version_name,
)
from index.signing import SIGNATURES_BYTES_MAX, check_signatures
from index.tiers import IndexFile
from suitability.signatures import KeyRing


@dataclass(frozen=True)
class Bundle(Contents):
    """An open bundle. The vectors are read-only views of proven copies.

    `policy` is the one under which the rows were ordered; the policy in force is server state.
    """

    path: Path
    manifest: Manifest
    signers: tuple[str, ...] = ()  # Names of those who signed, where that was asked for.

    @property
    def product_ids(self) -> tuple[str, ...]:
        """Returns the product_id of each row."""
        return self.products.ids

    @property
    def learning_count(self) -> int:
        """Returns the number of learning products: rows [0, learning_count)."""
        return self.manifest.learning_count

    def read_index(self) -> IndexFile:
        """Maps the FAISS index for `index.ann.load_index`. Proves it again: its bytes are not kept.

        It may be mapped, because it only proposes rows: they are scored and judged by what is copied.

        Raises:
            BundleError: the file is missing, a link, or differs from the manifest.
        """
        with open_directory(self.path) as directory:
            return _map_index(directory, self.manifest)


def open_bundle(path: Path, keys: KeyRing | None = None) -> Bundle:
    """Opens a bundle after proving every byte of it.

    Args:
        path: the bundle's directory.
        keys: the public keys of publishers, one of whom must have signed; None to ask for nothing.

    Raises:
        BundleSignatureError: nobody who may publish has signed.
        BundleNotFoundError: the bundle or a file of it is missing.
        BundleLinkError: an entry is a link or not a plain file.
        BundleChecksumError: a file differs from the manifest.
        BundleFormatError: the version or a file's content is not understood, or an entry is unexpected.
        BundleConsistencyError: the files do not fit together.
    """
    manifest, signers, files, index = _read_proven_files(path, keys)
    return _assemble(path, manifest, signers, parse_contents(manifest, files, index))


def examine_bundle(path: Path, keys: KeyRing | None = None) -> tuple[Manifest, tuple[str, ...]]:
    """Reads the manifest of a bundle, and no other file.

    Returns:
        the manifest, proven to be signed if keys are given, and who signed.

    Raises:
        BundleError: as `open_bundle`, of the manifest and its signatures.
    """
    with open_directory(path) as directory:
        manifest, signers = _read_manifest(directory, keys)
    _require_name(path, manifest)
    return manifest, signers


def verify_bundle(path: Path) -> Manifest:
    """Proves every file of a bundle and their consistency; raises what `open_bundle` raises."""
    return open_bundle(path).manifest


def find_changed_files(path: Path) -> tuple[BundleError, ...]:
    """Returns one error for each file that differs from the manifest, instead of stopping at the first.

    Raises:
        BundleError: the directory or its manifest cannot be read, so that nothing can be compared.
    """
    with open_directory(path) as directory:
        manifest, _ = _read_manifest(directory, None)
        problems = []
        for name, entry in sorted(manifest.files.items()):
            try:
                read_proven(directory, name, size=entry.size, sha256=entry.sha256)
            except BundleError as error:
                problems.append(error)
    return tuple(problems)


def seal_bundle(bundles: Path, draft: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Checks and writes a bundle as `bundles/<bundle_version>`, whole or not at all.

    Args:
        bundles: the directory of all bundles.
        draft: the manifest; its `files` is replaced by the sizes and digests of `files`.
        files: content by file name, all of them.

    Raises:
        BundleExistsError: that version is there.
        BundleWriteError: the disk refused.
        BundleFormatError, BundleConsistencyError: opening it would have failed.
    """
    entries = {
        name: FileEntry(len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()
    }
    # Parsing the manifest's own bytes refuses here whatever opening would refuse.
    manifest = parse_manifest(dataclasses.replace(draft, files=entries).to_json())
    contents = parse_contents(manifest, files, IndexFile(files[INDEX], manifest.index))
    target = bundles / manifest.bundle_version
    write_directory(target, {**files, MANIFEST: manifest.to_json()}, last=MANIFEST)
    return _assemble(target, manifest, (), contents)


def read_current(bundles: Path) -> Path:
    """Returns the directory of the bundle that CURRENT names.

    Raises:
        BundleNotFoundError: there is no CURRENT, or the bundle it names is missing.
        BundleFormatError: CURRENT holds no bundle version.
    """
    try:
        text = read_pointer(bundles)
    except BundleNotFoundError as error:
        if error.file != CURRENT:
            raise
        raise BundleNotFoundError(
            str(bundles),
            f"has no {CURRENT}, which names the bundle that serves; `python -m index publish BUNDLE --to "
            f"{bundles}` puts a sealed bundle there, `python -m index build --out {bundles} ...` makes one",
        ) from error
    try:
        path = bundles / require_version_name(text)
    except BundleFormatError as error:
        raise BundleFormatError(CURRENT, error.problem) from error
    if not os.path.lexists(path):
        raise BundleNotFoundError(str(path), f"{CURRENT} names it, but it is not there")
    return path


def write_current(bundles: Path, bundle_version: str) -> None:
    """Makes CURRENT name a bundle, atomically.

    Raises:
        BundleNotFoundError: that bundle is not there.
        BundleFormatError: it is no bundle version.
        BundleWriteError: the disk refused; the old pointer stays.
    """
    path = bundles / require_version_name(bundle_version)
    if not os.path.lexists(path / MANIFEST):
        raise BundleNotFoundError(str(path), f"expected a sealed bundle before {CURRENT} names it")
    write_pointer(bundles, bundle_version)


def _read_proven_files(
    path: Path, keys: KeyRing | None
) -> tuple[Manifest, tuple[str, ...], dict[str, bytes], IndexFile]:
    with open_directory(path) as directory:
        manifest, signers = _read_manifest(directory, keys)
        _require_name(path, manifest)
        files = {
            name: read_proven(directory, name, size=entry.size, sha256=entry.sha256)
            for name, entry in manifest.files.items()
            if name != INDEX
        }
        return manifest, signers, files, _map_index(directory, manifest)


def _require_name(path: Path, manifest: Manifest) -> None:
    if path.name != manifest.bundle_version:
        raise BundleFormatError(
            MANIFEST, f"bundle_version is {manifest.bundle_version!r}; the directory is {path.name!r}"
        )


def _map_index(directory: int, manifest: Manifest) -> IndexFile:
    entry = manifest.files[INDEX]
    return IndexFile(map_proven(directory, INDEX, size=entry.size, sha256=entry.sha256), manifest.index)


def _read_manifest(directory: int, keys: KeyRing | None) -> tuple[Manifest, tuple[str, ...]]:
    """Reads the manifest, proven to be signed if keys are given, and checks that its files are all there is.

    Returns:
        The manifest, and who signed it; nobody without keys.
    """
    content = read_file(directory, MANIFEST, size_max=MANIFEST_BYTES_MAX)
    entries = list_entries(directory)
    signers: tuple[str, ...] = ()
    if keys is not None:
        if SIGNATURES not in entries:
            raise BundleSignatureError(
                SIGNATURES, "not there: the bundle is unsigned; `python -m index sign` signs it"
            )
        signatures = read_file(directory, SIGNATURES, size_max=SIGNATURES_BYTES_MAX)
        signers = check_signatures(content, signatures, keys)
    manifest = parse_manifest(content)
    found = entries - {SIGNATURES}
    expected = {MANIFEST, *manifest.files}
    missing, extra = sorted(expected - found), sorted(found - expected)
    if missing:
        raise BundleNotFoundError(missing[0], "named in the manifest, but not there")
    if extra:
        raise BundleFormatError(extra[0], "not named in the manifest; a bundle holds nothing else")
    return manifest, signers


def _assemble(path: Path, manifest: Manifest, signers: tuple[str, ...], contents: Contents) -> Bundle:
    parsed = {field.name: getattr(contents, field.name) for field in dataclasses.fields(contents)}
    return Bundle(path=path, manifest=manifest, signers=signers, **parsed)
