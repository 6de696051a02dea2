"""Stages run once and are kept until something they depend on changes."""

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.errors import StageFailedError
from benchmarks.stages import Stage, compute_key, read_percent, run_stage


def make_stage(directory: Path, *arguments: str) -> Stage:
    """Makes a stage whose command is `python -m timeit`, told by its setup code to write the output."""
    source, output = directory / "in.txt", directory / "out.txt"
    source.write_text("1")
    code = f"from pathlib import Path; Path({str(output)!r}).write_text('made')"
    return Stage("write", "write a file", ("timeit", "-n1", "-r1", *arguments, code), (source,), (), output)


def test_a_stage_runs_once(tmp_path: Path) -> None:
    stage, console = make_stage(tmp_path), Console(quiet=True)
    first = run_stage(stage, tmp_path / "records", console)
    second = run_stage(stage, tmp_path / "records", console)
    assert (first.reused, second.reused) == (False, True)
    assert stage.output.read_text() == "made"


def test_a_stage_runs_again_when_its_output_is_gone(tmp_path: Path) -> None:
    stage, console = make_stage(tmp_path), Console(quiet=True)
    run_stage(stage, tmp_path / "records", console)
    stage.output.unlink()
    assert not run_stage(stage, tmp_path / "records", console).reused


def test_the_key_changes_with_the_content_of_an_input(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    key = compute_key(stage)
    stage.inputs[0].write_text("2")
    assert compute_key(stage) != key


def test_the_key_changes_with_the_arguments(tmp_path: Path) -> None:
    assert compute_key(make_stage(tmp_path)) != compute_key(make_stage(tmp_path, "-v"))


def test_a_failing_stage_shows_the_end_of_its_log(tmp_path: Path) -> None:
    stage = Stage("fail", "fail", ("timeit", "-n1", "raise ValueError('reason')"), (), (), tmp_path / "out")
    with pytest.raises(StageFailedError, match="reason"):
        run_stage(stage, tmp_path / "records", Console(quiet=True))


def test_progress_is_the_last_percentage_that_was_written() -> None:
    assert read_percent("users: 20 %\nusers: 30 %") == 30
    assert read_percent("no numbers") is None
