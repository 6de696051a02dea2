"""Sealing is all or nothing, and CURRENT is replaced atomically."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import files
from index.bundle import (
    Bundle,
    read_current,
    seal_bundle,
    verify_bundle,
    write_current,
)
from index.errors import (
    BundleChecksumError,
    BundleConsistencyError,
    BundleError,
    BundleExistsError,
    BundleFormatError,
    BundleNotFoundError,
    BundleWriteError,
)
from index.files import map_proven, open_directory
from index.manifest import FILE_BYTES_MAX, MANIFEST

FILES = tuple(FILE_BYTES_MAX)


def test_sealing_refuses_what_opening_would_refuse(
    copy: Any, tiny_bundle: Bundle, tmp_path: Path, npy: Any
) -> None:
    content = copy.read_all()
    content["item_vectors.int32.npy"] = npy(np.zeros((60, 8), np.int32))
    with pytest.raises(BundleConsistencyError, match="every vector is zero"):
        seal_bundle(tmp_path / "out", tiny_bundle.manifest, content)
    assert not (tmp_path / "out").exists()


def test_sealing_twice_under_one_version_is_refused(copy: Any, tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleExistsError, match="already exists"):
        seal_bundle(copy.path.parent, tiny_bundle.manifest, copy.read_all())
    verify_bundle(copy.path)


def test_an_interrupted_seal_leaves_nothing(
    copy: Any, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = files._write_synced

    def write_then_stop(target: Path, content: bytes) -> None:
        if target.name == MANIFEST:
            raise KeyboardInterrupt
        write(target, content)
        written.append(target.name)

    monkeypatch.setattr(files, "_write_synced", write_then_stop)
    with pytest.raises(KeyboardInterrupt):
        seal_bundle(tmp_path / "out", tiny_bundle.manifest, copy.read_all())
    assert sorted(written) == sorted(FILES)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("failing", ["index.faiss", MANIFEST])
def test_a_full_disk_leaves_nothing_and_is_named(
    copy: Any, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    write = files._write_synced

    def fail(target: Path, content: bytes) -> None:
        if target.name == failing:
            raise OSError(28, "No space left on device")
        write(target, content)

    monkeypatch.setattr(files, "_write_synced", fail)
    with pytest.raises(BundleWriteError, match="No space left on device"):
        seal_bundle(tmp_path / "out", tiny_bundle.manifest, copy.read_all())
    assert list((tmp_path / "out").iterdir()) == []


def test_every_file_and_directory_is_synced_before_the_rename(
    copy: Any, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = os.fsync, Path.rename

    def note_sync(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    def note_rename(source: Path, target: Path) -> Path:
        events.append("rename")
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(Path, "rename", note_rename)
    seal_bundle(tmp_path / "out", tiny_bundle.manifest, copy.read_all())
    assert events[: len(FILES)] == sorted(FILES)
    assert events[len(FILES)] == MANIFEST
    assert events[len(FILES) + 1].endswith(".partial")
    assert events[len(FILES) + 2 :] == ["rename", "out"]


def test_a_directory_that_cannot_be_written_is_refused(
    copy: Any, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    # A file in place of the parent fails for root too, whom permissions do not stop.
    (tmp_path / "out").write_text("")
    with pytest.raises(BundleWriteError, match="cannot write beside it"):
        seal_bundle(tmp_path / "out", tiny_bundle.manifest, copy.read_all())


def test_a_mapped_file_is_proven_and_stays_what_was_proven(tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    path.write_bytes(b"proven")
    digest = hashlib.sha256(b"proven").hexdigest()
    with open_directory(tmp_path) as directory:
        with pytest.raises(BundleChecksumError, match=r"index\.faiss: 6 bytes; the manifest says 7"):
            map_proven(directory, path.name, size=7, sha256=digest)
        with pytest.raises(BundleChecksumError, match=r"index\.faiss: SHA-256 is"):
            map_proven(directory, path.name, size=6, sha256="0" * 64)
        content = map_proven(directory, path.name, size=6, sha256=digest)
    # Another file under the same name is another file.
    (tmp_path / "other").write_bytes(b"forged")
    (tmp_path / "other").replace(path)
    assert content[:] == b"proven"
    with pytest.raises(TypeError):
        content[0] = 0


def test_a_read_only_directory_is_refused_and_left_alone(
    copy: Any, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_options: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    with pytest.raises(BundleWriteError, match="cannot write beside it: Permission denied"):
        seal_bundle(tmp_path / "out", tiny_bundle.manifest, copy.read_all())
    assert list((tmp_path / "out").iterdir()) == []


def test_current_names_the_bundle_that_was_written(copy: Any) -> None:
    write_current(copy.path.parent, "tiny")
    assert read_current(copy.path.parent) == copy.path
    assert (copy.path.parent / "CURRENT").read_text() == "tiny\n"


def test_a_failed_write_keeps_the_old_pointer(copy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_current(copy.path.parent, "tiny")
    shutil.copytree(copy.path, copy.path.parent / "next")

    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "_write_synced", fail)
    with pytest.raises(BundleWriteError, match="Input/output error"):
        write_current(copy.path.parent, "next")
    assert read_current(copy.path.parent) == copy.path
    assert sorted(entry.name for entry in copy.path.parent.iterdir()) == ["CURRENT", "next", "tiny"]


@pytest.mark.parametrize("name", ["missing", "../bundles/tiny"])
def test_current_cannot_be_made_to_name_something_else(copy: Any, name: str) -> None:
    with pytest.raises(BundleError):
        write_current(copy.path.parent, name)
    assert not (copy.path.parent / "CURRENT").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"tiny", b"tiny\ntiny\n", b"../tiny\n", b"/etc\n", b"\xff\n", b"x" * 300 + b"\n", b"\0\n"],
)
def test_a_malformed_current_is_refused(copy: Any, content: bytes) -> None:
    (copy.path.parent / "CURRENT").write_bytes(content)
    with pytest.raises(BundleFormatError) as caught:
        read_current(copy.path.parent)
    assert caught.value.file == "CURRENT"


def test_a_current_that_names_nothing_is_refused(copy: Any) -> None:
    (copy.path.parent / "CURRENT").write_text("gone\n")
    with pytest.raises(BundleNotFoundError, match="CURRENT names it"):
        read_current(copy.path.parent)


def test_a_missing_current_is_refused(copy: Any) -> None:
    with pytest.raises(BundleNotFoundError, match=r"has no CURRENT, .*`python -m index publish BUNDLE --to"):
        read_current(copy.path.parent)
