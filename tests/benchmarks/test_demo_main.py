"""The demonstration's command line refuses what it cannot do and says why."""

from pathlib import Path

import pytest

from benchmarks.demo.__main__ import main


def test_an_unknown_source_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", "elsewhere"]) == 1
    assert "elsewhere" in capsys.readouterr().err


def test_a_missing_file_of_assumptions_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", f"far-trans:{tmp_path}", "--assume", str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err


def test_serve_asks_for_the_demonstration_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--artifacts", str(tmp_path)]) == 1
    assert "run the demonstration first" in " ".join(capsys.readouterr().err.split())
