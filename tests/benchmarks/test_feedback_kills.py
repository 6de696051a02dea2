"""Events under kill -9: what was acknowledged is there, whole and once."""

from pathlib import Path

from benchmarks.feedback.kills import run_kills


def test_twenty_kills_during_writes_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    result = run_kills(tmp_path, 20, write_s_max=0.2)
    assert result.acknowledged_count > 100
    assert result.logged_count >= result.acknowledged_count
    assert (result.lost_count, result.duplicate_count, result.unapplied_count) == (0, 0, 0)
