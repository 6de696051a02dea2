"""The evaluation's command line: what it refuses, and which protocol it takes by itself."""

from pathlib import Path

import pytest

from benchmarks.evaluate.__main__ import find_protocol, main
from benchmarks.evaluate.results import name_record


def test_results_of_other_settings_are_never_taken_for_these(tmp_path: Path) -> None:
    first, second, same = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text('{"temperature": 0.1}')
    second.write_text('{"temperature": 0.3}')
    same.write_text(first.read_text())
    names = {name_record("03", "mf", settings) for settings in (None, first, second)}
    assert len(names) == 3
    assert name_record("03", "mf", same) == name_record("03", "mf", first)


def test_pairs_with_named_negatives_are_sampled(tmp_path: Path) -> None:
    assert find_protocol("pairs", tmp_path) == "full"
    (tmp_path / "own.test.negative").write_text("(0,1)\t2\n")
    assert find_protocol("pairs", tmp_path) == "sampled"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["mooccubex", "--protocol", "temporal"], "temporal"),
        (["far-trans", "--protocol", "full"], "full"),
        (["mooccubex", "--baselines", "ease,magic"], "magic"),
        (["data", "--settings", "mf=nowhere.json"], "nowhere.json"),
        (["far-trans", "--splits", "a-b"], "a-b"),
        (["pairs"], "directory"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, *options = arguments
    missing = str(tmp_path / "nothing")
    code = main([dataset, missing, *options, "--out", str(tmp_path), "--work", str(tmp_path / "work")])
    assert code == 1
    assert named in capsys.readouterr().err
