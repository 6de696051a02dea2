"""The evaluation's command line: which results it takes again."""

from pathlib import Path

from benchmarks.evaluate.__main__ import name_record


def test_results_of_other_settings_are_never_taken_for_these(tmp_path: Path) -> None:
    first, second, same = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text('{"temperature": 0.1}')
    second.write_text('{"temperature": 0.3}')
    same.write_text(first.read_text())
    names = {name_record(3, "mf", settings) for settings in (None, first, second)}
    assert len(names) == 3
    assert name_record(3, "mf", same) == name_record(3, "mf", first)
