"""The fault table: what adds up, what is shown of it, and that every line can be read."""

import inspect
import re
import subprocess
from pathlib import Path

import pytest

from benchmarks.faults.figures import FaultTest, Findings, Target, Verdict, share
from benchmarks.faults.picture import draw
from benchmarks.faults.record import Kept, Record
from benchmarks.faults.report import WIDTH, describe, write_report
from benchmarks.faults.state import State, read_state
from benchmarks.faults.table import TESTS, list_other_files

TARGETS = (Target("records lost", "==", 0), Target("ready after", "<", 5.0, "s"))
KILLED = FaultTest(2, "kill -9", lambda ground, scale, seed: Findings(), {"kills": 200}, TARGETS)
FOUND = Findings({"kills": 20, "records lost": 0}, {"ready after": 13.371})
STATE = State("c0de123", "abc1234")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository of a server and its documents, committed."""
    for name in ("server", "docs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text").write_text("first", encoding="utf-8")
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *arguments: str) -> None:
    names = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *names, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "change")


def change(root: Path, name: str) -> None:
    with (root / name / "text").open("a", encoding="utf-8") as file:
        file.write(" more")


def test_counts_add_up_over_commits_that_leave_the_tested_code_alone(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "findings"
    before = read_state(checkout, ["server"])
    Record(folder, before).add(2, FOUND, 1)
    change(checkout, "docs")
    commit(checkout)
    after = read_state(checkout, ["server"])
    assert (after.code, after.commit != before.commit) == (before.code, True)
    kept = Record(folder, after).add(2, FOUND, 2)
    assert (kept.findings.counts["kills"], kept.seeds, kept.state) == (40, (1, 2), after)


def test_counts_begin_anew_where_the_tested_code_changed(checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "findings"
    Record(folder, read_state(checkout, ["server"])).add(2, FOUND, 1)
    change(checkout, "server")
    changed = read_state(checkout, ["server"])
    assert (changed.code[-1], changed.commit[-1]) == ("+", "+")
    commit(checkout)
    record = Record(folder, read_state(checkout, ["server"]))
    assert record.read(2) == Kept(FOUND, (1,), State(changed.code[:-1], changed.commit[:-1]))
    assert record.add(2, FOUND, 2).findings == FOUND


def test_a_change_of_documents_alone_leaves_no_mark(checkout: Path) -> None:
    before = read_state(checkout, ["server"])
    change(checkout, "docs")
    assert read_state(checkout, ["server"]) == before


def test_a_change_of_what_another_test_does_empties_nothing(checkout: Path) -> None:
    before = read_state(checkout, ["server", "docs"], {"docs/text"})
    change(checkout, "docs")
    assert read_state(checkout, ["server", "docs"], {"docs/text"}) == before
    commit(checkout)
    assert read_state(checkout, ["server", "docs"], {"docs/text"}).code == before.code
    change(checkout, "server")
    assert read_state(checkout, ["server", "docs"], {"docs/text"}).code != before.code


def test_a_test_depends_on_the_tests_that_it_takes_from_and_on_no_other() -> None:
    files = {test.number: list_other_files(test) for test in TESTS}
    assert {"benchmarks/faults/hurried.py", "benchmarks/faults/swaps.py"} <= files[12]
    assert "benchmarks/faults/overload.py" not in files[12] | files[13]
    # What the tests share takes from none of them.
    modules = {Path(inspect.getfile(test.run)) for test in TESTS}
    table = Path(inspect.getfile(list_other_files))
    shared = set(table.parent.glob("*.py")) - modules - {table}
    taken = re.compile(rf"faults(\.| import .*)\b({'|'.join(path.stem for path in modules)})\b")
    assert [path.name for path in shared if taken.search(path.read_text(encoding="utf-8"))] == []


def test_a_folder_without_git_has_no_name(tmp_path: Path) -> None:
    assert read_state(tmp_path / "nowhere", ["server"]) == State("unknown", "unknown")


def test_the_overview_comes_first_and_a_test_that_never_ran_is_one_line() -> None:
    lines = write_report([KILLED, *TESTS[:1]], {2: Kept(FOUND, (1, 2), STATE)}).splitlines()
    assert lines[4].split() == ["2", "kill", "-9", "MISSED", "20", "of", "200", "kills", "abc1234"]
    assert sum(TESTS[0].title in line for line in lines) == 1
    assert lines[5].endswith(Verdict.NOT_RUN)
    assert lines[7:9] == [" 2  kill -9: MISSED", "    commit abc1234, code c0de123, seeds 1, 2"]
    assert lines[-1].split() == ["ready", "after", "13.37", "<", "5", "s", "MISSED"]


def test_no_line_is_wider_than_the_table_when_all_has_run() -> None:
    kept = {
        test.number: Kept(
            Findings(
                {name: count - 1 for name, count in test.asked.items()},
                samples={target.figure: (1 / 3, -200 / 3, 4000.7) for target in test.targets},
            ),
            tuple(range(40)),
            State("c0de123+", "abc1234+"),
        )
        for test in TESTS
    }
    text = write_report(TESTS, kept)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(f"{test.title}: " in text for test in TESTS)


def test_programs_and_the_picture_name_the_figures_that_missed(tmp_path: Path) -> None:
    kept = {2: Kept(FOUND, (1,), STATE)}
    (described,) = describe([KILLED], kept)
    assert described["missed"] == ["ready after 13.37 (< 5 s)"]
    assert (described["code"], described["commit"]) == ("c0de123", "abc1234")
    draw(tmp_path / "faults.png", [KILLED], kept, "here")
    assert (tmp_path / "faults.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("test", TESTS, ids=lambda test: str(test.number))
def test_the_parts_of_a_long_test_add_up_to_what_is_asked(test: FaultTest) -> None:
    parts = test.split(1.0)
    assert max(parts) <= test.part
    for count in test.asked.values():
        assert sum(share(count, part) for part in parts) >= count
