"""Bundles of one catalogue with other versions and ages, for tests that publish one after the other."""

import dataclasses
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from index.bundle import examine_bundle, write_current
from index.manifest import MANIFEST

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def copy_bundle(source: Path, version: str, day: int, bundles: Path | None = None, **changes: Any) -> Path:
    """Copies a bundle under another version, as if it had been built on that day, with another manifest."""
    target = (bundles or source.parent) / version
    shutil.copytree(source, target)
    created = FIRST_DAY + timedelta(days=day)
    draft = dataclasses.replace(
        examine_bundle(source)[0], bundle_version=version, create_time=created.isoformat(), **changes
    )
    (target / MANIFEST).write_bytes(draft.to_json())
    return target


def fill_shelf(two_bundles: Path, folder: Path) -> Path:
    """Makes a folder of the bundles a, b and c, each a day younger than the one before; a is current.

    The lists of a and c are equal, those of b are in opposite order.
    """
    folder.mkdir()
    for day, (version, source) in enumerate({"a": "old", "b": "new", "c": "old"}.items()):
        copy_bundle(two_bundles / source, version, day, folder)
    write_current(folder, "a")
    return folder


def spoil(bundle: Path, name: str, at: int = 100) -> None:
    """Changes one bit of a file."""
    content = bytearray((bundle / name).read_bytes())
    content[at % len(content)] ^= 1
    (bundle / name).write_bytes(content)
