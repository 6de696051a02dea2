"""The evaluation's command line: which results are kept, and which splits are asked for."""

from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.__main__ import name_record, read_numbers


def test_results_of_other_settings_are_never_taken_for_these(tmp_path: Path) -> None:
    first, second, same = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text('{"temperature": 0.1}')
    second.write_text('{"temperature": 0.3}')
    same.write_text(first.read_text())
    names = {name_record(3, "mf", settings) for settings in (None, first, second)}
    assert len(names) == 3
    assert name_record(3, "mf", same) == name_record(3, "mf", first)


def test_splits_are_numbers_and_ranges() -> None:
    assert read_numbers("0-3,9") == [0, 1, 2, 3, 9]
    with pytest.raises(BenchmarkInputError, match="0-x"):
        read_numbers("0-x")
