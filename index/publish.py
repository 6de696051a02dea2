"""Publishes a bundle: proves it, copies it beside those that serve, and points CURRENT at it."""

from __future__ import annotations

from pathlib import Path

from index.bundle import Bundle, open_bundle, read_current, write_current
from index.errors import BundleExistsError, BundleSupersededError
from index.files import list_entries, open_directory, read_file, read_proven, write_directory
from index.manifest import MANIFEST, MANIFEST_BYTES_MAX, SIGNATURES, Manifest
from index.signing import SIGNATURES_BYTES_MAX
from suitability.signatures import KeyRing


def publish_bundle(
    candidate: Path, bundles: Path, *, over: str | None = None, keys: KeyRing | None = None
) -> Bundle:
    """Makes a bundle the current one; the one before stays and can be published again.

    Args:
        candidate: a sealed bundle, of this directory of bundles or of another.
        bundles: the directory of bundles that serves.
        over: the bundle_version that must be current, because the candidate was judged against it.
        keys: the public keys of publishers, one of whom must have signed; None to ask for nothing.

    Raises:
        BundleSupersededError: another bundle is current; CURRENT stays.
        BundleExistsError: another bundle of the candidate's version is there.
        BundleWriteError: the disk refused; CURRENT stays.
        BundleError: the candidate is not whole, or `bundles` has no CURRENT where `over` expects one.
    """
    manifest = open_bundle(candidate, keys).manifest
    _require_current(bundles, over)
    target = bundles / manifest.bundle_version
    if target.exists():
        _require_same(open_bundle(target).manifest, manifest)
    else:
        _copy(candidate, target, manifest)
    published = open_bundle(target, keys)
    _require_current(bundles, over)  # Again, because copying takes its time.
    write_current(bundles, manifest.bundle_version)
    return published


def _require_current(bundles: Path, over: str | None) -> None:
    if over is not None and (current := read_current(bundles).name) != over:
        raise BundleSupersededError(str(bundles), f"{current} is current; expected {over}, judged against")


def _copy(candidate: Path, target: Path, manifest: Manifest) -> None:
    with open_directory(candidate) as directory:
        files = {
            name: read_proven(directory, name, size=entry.size, sha256=entry.sha256)
            for name, entry in manifest.files.items()
        }
        files[MANIFEST] = read_file(directory, MANIFEST, size_max=MANIFEST_BYTES_MAX)
        if SIGNATURES in list_entries(directory):
            files[SIGNATURES] = read_file(directory, SIGNATURES, size_max=SIGNATURES_BYTES_MAX)
    write_directory(target, files, last=MANIFEST)


def _require_same(found: Manifest, wanted: Manifest) -> None:
    if found != wanted:
        raise BundleExistsError(found.bundle_version, "another bundle of this version is there")
