"""A store that is killed while it is written keeps all that it acknowledged, whole and once."""

from pathlib import Path
from typing import Literal

import pytest

from benchmarks.users.kills import count_kills

KILL_COUNT = 10  # Of each kind of store.


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_nothing_acknowledged_is_lost_torn_or_made_twice(
    tmp_path: Path, kind: Literal["sqlite", "redis"]
) -> None:
    kills: list[None] = []
    counts = count_kills(kind, KILL_COUNT, tmp_path, lambda: kills.append(None))
    assert (counts.lost_count, counts.torn_count, counts.duplicate_count) == (0, 0, 0)
    assert (counts.kill_count, len(kills)) == (KILL_COUNT, KILL_COUNT)
    assert counts.change_count >= KILL_COUNT
    assert counts.event_count >= 1
