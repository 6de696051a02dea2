"""Opening a bundle: everything that is not proven is refused, and named, before a parser sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index.bundle import (
    find_changed_files,
    open_bundle,
)
from index.errors import (
    BundleChecksumError,
    BundleError,
    BundleFormatError,
    BundleLinkError,
    BundleNotFoundError,
)
from index.manifest import FILE_BYTES_MAX, MANIFEST

FILES = tuple(FILE_BYTES_MAX)


def test_a_sealed_bundle_opens(copy: Any) -> None:
    bundle = open_bundle(copy.path)
    assert bundle.item_vectors.shape == (60, 8)
    assert bundle.learning_count == 30
    assert bundle.product_ids[0] == "c000"
    assert not bundle.item_vectors.flags.writeable


def test_what_was_opened_never_changes_with_its_files(copy: Any) -> None:
    bundle = open_bundle(copy.path)
    before = bundle.item_vectors.copy()
    for name in ("item_vectors.int32.npy", "index.faiss"):
        content = bytearray((copy.path / name).read_bytes())
        content[-1] ^= 0x10
        (copy.path / name).write_bytes(content)
    np.testing.assert_array_equal(bundle.item_vectors, before)
    with pytest.raises(BundleChecksumError, match=r"index\.faiss"):
        bundle.read_index()


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_flipped_bit_is_refused_before_parsing_and_named(copy: Any, name: str, place: str) -> None:
    content = bytearray((copy.path / name).read_bytes())
    position = {"first": 0, "middle": len(content) // 2, "last": len(content) - 1}[place]
    content[position] ^= 0x10
    (copy.path / name).write_bytes(content)
    with pytest.raises(BundleChecksumError, match="SHA-256 is") as caught:
        open_bundle(copy.path)
    assert caught.value.file == name
    assert [error.file for error in find_changed_files(copy.path)] == [name]


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kept", [0, 1, -1])
def test_a_truncated_file_is_refused_before_parsing_and_named(copy: Any, name: str, kept: int) -> None:
    content = (copy.path / name).read_bytes()
    (copy.path / name).write_bytes(content[:kept] if kept else b"")
    with pytest.raises(BundleChecksumError, match="the manifest says"):
        open_bundle(copy.path)
    assert [error.file for error in find_changed_files(copy.path)] == [name]


@pytest.mark.usefixtures("no_parser")
def test_500_random_flips_over_every_file_are_all_refused(copy: Any) -> None:
    random = np.random.default_rng(500)
    for _ in range(500):
        name = FILES[random.integers(len(FILES))]
        content = (copy.path / name).read_bytes()
        damaged = bytearray(content)
        damaged[random.integers(len(content))] ^= 1 << random.integers(8)
        (copy.path / name).write_bytes(damaged)
        with pytest.raises(BundleChecksumError):
            open_bundle(copy.path)
        (copy.path / name).write_bytes(content)


@pytest.mark.usefixtures("no_parser")
def test_any_flipped_bit_of_the_manifest_is_refused_and_named(copy: Any) -> None:
    content = (copy.path / MANIFEST).read_bytes()
    # Every third byte, so that each of the eight bits is met at different places.
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        (copy.path / MANIFEST).write_bytes(damaged)
        with pytest.raises(BundleError) as caught:
            open_bundle(copy.path)
        assert caught.value.file in {MANIFEST, "bundle_version"}


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused_and_named(copy: Any, name: str) -> None:
    (copy.path / name).unlink()
    with pytest.raises(BundleNotFoundError) as caught:
        open_bundle(copy.path)
    assert caught.value.file == name


@pytest.mark.usefixtures("no_parser")
def test_an_extra_file_is_refused_and_named(copy: Any) -> None:
    (copy.path / "weights.pickle").write_bytes(b"\x80\x04.")
    with pytest.raises(BundleFormatError, match=r"weights\.pickle: not named in the manifest"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
def test_a_directory_inside_is_refused(copy: Any) -> None:
    (copy.path / "more").mkdir()
    with pytest.raises(BundleFormatError, match="more: not named"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_symbolic_link_is_refused(copy: Any, name: str, tmp_path: Path) -> None:
    (copy.path / name).rename(tmp_path / "outside")
    (copy.path / name).symlink_to(tmp_path / "outside")
    with pytest.raises(BundleLinkError) as caught:
        open_bundle(copy.path)
    assert caught.value.file == name


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_hard_link_is_refused(copy: Any, name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").hardlink_to(copy.path / name)
    with pytest.raises(BundleLinkError, match="2 hard links; expected exactly one name") as caught:
        open_bundle(copy.path)
    assert caught.value.file == name


@pytest.mark.usefixtures("no_parser")
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(copy: Any) -> None:
    (copy.path / "golden.json").unlink()
    os.mkfifo(copy.path / "golden.json")
    with pytest.raises(BundleLinkError, match=r"golden\.json: expected a plain file"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
def test_a_bundle_that_is_a_link_is_refused(copy: Any) -> None:
    (copy.path.parent / "alias").symlink_to(copy.path)
    with pytest.raises(BundleLinkError, match="expected a directory that is no link"):
        open_bundle(copy.path.parent / "alias")


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="expected a directory, found nothing"):
        open_bundle(tmp_path / "none")


def test_a_renamed_bundle_is_refused(copy: Any) -> None:
    renamed = copy.path.rename(copy.path.parent / "other")
    with pytest.raises(BundleFormatError, match="bundle_version is 'tiny'; the directory is 'other'"):
        open_bundle(renamed)
