"""A sealed bundle to damage."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from index import bundle as bundle_module
from index.manifest import DIGEST, FILE_BYTES_MAX, MANIFEST, seal_json


@dataclass(frozen=True)
class BundleCopy:
    """A copy of the sealed bundle that a test may damage."""

    path: Path

    def edit_manifest(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Applies a change to the manifest's JSON and makes its digest agree."""
        body = json.loads((self.path / MANIFEST).read_bytes())
        del body[DIGEST]
        change(body)
        (self.path / MANIFEST).write_bytes(seal_json(body))

    def replace(self, name: str, content: bytes) -> None:
        """Replaces a file and makes the manifest agree, so that only the content can be refused."""
        (self.path / name).write_bytes(content)
        entry = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        self.edit_manifest(lambda body: body["files"].update({name: entry}))

    def read_all(self) -> dict[str, bytes]:
        """Returns every file but the manifest."""
        return {name: (self.path / name).read_bytes() for name in FILE_BYTES_MAX}


@pytest.fixture
def copy(tiny_bundles: Path, tmp_path: Path) -> BundleCopy:
    """Copies the sealed bundle."""
    path = tmp_path / "bundles" / "tiny"
    shutil.copytree(tiny_bundles / "tiny", path)
    return BundleCopy(path)


@pytest.fixture
def no_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test when damaged content gets as far as a parser."""

    def parse(*_arguments: object) -> None:
        pytest.fail("a parser saw content that was not proven")

    monkeypatch.setattr(bundle_module, "parse_contents", parse)


@pytest.fixture
def npy() -> Callable[[np.ndarray], bytes]:
    """Returns a function that writes an array as the bytes of an .npy file."""

    def write(values: np.ndarray) -> bytes:
        stream = io.BytesIO()
        np.save(stream, values, allow_pickle=True)
        return stream.getvalue()

    return write
