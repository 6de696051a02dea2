"""The evaluation's command line: what it refuses, and which protocol it takes by itself."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.evaluate.__main__ import find_protocol, main
from benchmarks.evaluate.baselines import ease
from benchmarks.evaluate.ranking import Outcome
from benchmarks.evaluate.report import describe_untuned
from benchmarks.evaluate.results import name_record
from benchmarks.evaluate.task import Task
from tests.tiny_data import START, make_events, write_data


def make_task(data: Path, users: str) -> Task:
    relevant = {user: frozenset({"p000"}) for user in users}
    return Task("03", "t", data, START, relevant, {}, ("p000", "p001"))


def test_results_of_other_data_or_users_are_never_taken_for_these(tmp_path: Path) -> None:
    first, second = (write_data(tmp_path / str(count), make_events(count)) for count in (5, 6))
    tasks = [make_task(first, "uv"), make_task(second, "uv"), make_task(first, "u")]
    assert len({name_record(task, "mf", None) for task in tasks}) == 3
    assert name_record(tasks[0], "mf", None) == name_record(make_task(first, "vu"), "mf", None)


def test_results_of_other_settings_are_never_taken_for_these(tmp_path: Path) -> None:
    task = make_task(write_data(tmp_path / "data", make_events()), "u")
    first, second, same = (tmp_path / name for name in ("a.json", "b.json", "c.json"))
    first.write_text('{"temperature": 0.1}')
    second.write_text('{"temperature": 0.3}')
    same.write_text(first.read_text())
    names = {name_record(task, "mf", settings) for settings in (None, first, second)}
    assert len(names) == 3
    assert name_record(task, "mf", same) == name_record(task, "mf", first)


def test_splits_that_settings_were_chosen_on_are_left_out_of_the_second_mean() -> None:
    tuned = Outcome("03", ("u",), np.array([0.9]), np.array([0.9]))
    other = Outcome("07", ("u", "v"), np.array([0.5, 0.5]), np.array([0.25, 0.35]))
    text = describe_untuned({"mf": [tuned, other], "two_tower": [tuned]}, ("03", "12"))
    assert text.endswith("without them: mf 0.3000, two_tower -")


def write_pairs(directory: Path, prefix: int) -> Path:
    """Two groups of users with items of their own; one item of each user is held out."""
    directory.mkdir()
    rows = [(user, [prefix + user % 2 + 2 * place for place in range(4)]) for user in range(12)]
    lists = {
        "train.txt": [[user, *items[: user % 4], *items[user % 4 + 1 :]] for user, items in rows],
        "test.txt": [[user, items[user % 4]] for user, items in rows],
    }
    for name, lines in lists.items():
        (directory / name).write_text("".join(f"{' '.join(map(str, line))}\n" for line in lines))
    return directory


def test_one_command_writes_table_figures_and_chart_of_two_domains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directories = [str(write_pairs(tmp_path / name, prefix)) for name, prefix in (("a", 0), ("b", 50))]
    choice = ["--models", "none", "--baselines", "popularity,ease_chosen,mf_bce,mf_bce_alone"]
    places = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--name", "own"]
    assert main(["pairs", *directories, *choice, *places]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"own.txt", "own.json", "own.png"}
    body = json.loads((tmp_path / "out" / "own.json").read_text())
    assert set(body["tables"]) == {"learning", "financial"}
    for lines in body["tables"].values():
        means = {line["scorer"]: line["ndcg"]["mean"] for line in lines}
        assert set(means) == {"popularity", "ease_chosen", "mf_bce", "mf_bce_alone"}
        assert means["ease_chosen"] > means["popularity"]
        assert all(line["ndcg"]["low"] <= line["ndcg"]["mean"] <= line["ndcg"]["high"] for line in lines)
    text = (tmp_path / "out" / "own.txt").read_text()
    assert "RMSE" in text
    assert "l2 " in text
    capsys.readouterr()
    assert main(["pairs", *directories, *choice, *places]) == 0
    # Every result was kept: nothing is computed again.
    assert "learning: popularity" not in capsys.readouterr().out


def test_a_baseline_that_cannot_take_the_data_is_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ease, "PRODUCT_COUNT_LIMIT", 3)
    directory = str(write_pairs(tmp_path / "a", 0))
    places = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    assert main(["pairs", directory, "--models", "none", "--baselines", "popularity,ease", *places]) == 0
    assert "left out: ease: EASE inverts a matrix of 3 products at most, got 8" in capsys.readouterr().out


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
