"""What a list of bundles looks at: no more manifests than it tells of, and those that came last."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from server.bundles import listing
from server.bundles.listing import list_bundles
from server.bundles.machine import Machine
from server.bundles.messages import Facts
from server.bundles.opener import Opener
from server.bundles.state import State


def facts_of(version: str) -> Facts:
    return Facts(version, datetime(2026, 1, int(version), tzinfo=UTC), "hash")


class Reader:
    """Remembers whose manifests were read."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def examine(self, version: str) -> Facts:
        self.read.append(version)
        return facts_of(version)


def test_of_many_bundles_only_the_last_to_come_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, version in enumerate(("3", "5", "4", "2", "1")):
        (tmp_path / version).mkdir()
        os.utime(tmp_path / version, (place, place))
    (tmp_path / "CURRENT").write_text("2\n")
    monkeypatch.setattr(listing, "COUNT_MAX", 3)
    reader, machine = Reader(), Machine(State(facts_of("2"), "2"))
    listed = list_bundles(tmp_path, cast(Opener, reader), machine)
    assert [entry.version for entry in listed] == ["4", "2", "1"]
    assert sorted(reader.read) == ["1", "2", "4"]
