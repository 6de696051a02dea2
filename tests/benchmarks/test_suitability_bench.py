"""The suitability benchmarks: that faults are made and noticed, and that a comparison can fail."""

import ast
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.machine import ROOT
from benchmarks.suitability import parity, speed
from benchmarks.suitability.__main__ import main
from benchmarks.suitability.batches import make_batches
from benchmarks.suitability.battery import Battery, Case
from benchmarks.suitability.edges import AS_IT_IS, edge_cases, edge_policies
from benchmarks.suitability.mutation import Survivor, explain, list_definition_files, read_equivalents
from benchmarks.suitability.native_mutants import list_native_mutants
from benchmarks.suitability.pairs import CHANNEL, NOW, eligible_product, eligible_user, policy_variants
from benchmarks.suitability.python_mutants import Mutant, list_mutants
from server.gate import Gate
from suitability import default_policy_path, load_policy

POLICY = load_policy(default_policy_path())
SOURCE = '''"""Says what it is."""


def check(pair: int | None) -> str | None:
    """Checks 3 things."""
    if pair is None:
        return "PRD_HALTED"
    if 1 <= pair < 5 and pair not in (2,):
        return None
    raise ValueError("never 7")
'''
HEADER = """#pragma once
inline constexpr int limit = 3;
// A comment with a < b.
inline Code check(const Pair& pair) {
    return pair.level > 2 && !pair.rated ? Code::PRD_HALTED : Code::NONE;
}
    add_code(every, check_status(pair));
"""
RUN_MUTANTS = """
import sys
from pathlib import Path
from benchmarks.suitability.mutation import run_mutants
from benchmarks.suitability.python_mutants import Mutant

def notices(mutant):
    if mutant.source == "raises":
        raise RuntimeError
    return mutant.source == "noticed"

mutants = [Mutant("a.py", 1, "", "", source) for source in ("noticed", "raises", "lives", "lives too")]
known = Path(sys.argv[1])
first = run_mutants(mutants, notices, known, lambda done, total: None)
again = run_mutants(mutants, lambda mutant: True, known, lambda done, total: None)
assert [mutant.source for mutant in first] == ["lives", "lives too"] == [mutant.source for mutant in again]
"""

PACKING = """
import json
import sys
from functools import partial
from pathlib import Path
from benchmarks.machine import ROOT
from benchmarks.suitability.batches import make_batches
from benchmarks.suitability.battery import Battery, Case
from benchmarks.suitability.edges import AS_IT_IS
from benchmarks.suitability.mutation import run_mutants
from benchmarks.suitability.packing_mutation import list_stops, packing_notices
from benchmarks.suitability.pairs import CHANNEL, NOW, eligible_product, eligible_user
from benchmarks.suitability.python_mutants import Mutant
from suitability import default_policy_path, valid_until

values = json.loads(default_policy_path().read_bytes())
asked = eligible_user(), eligible_product("x"), values, NOW, CHANNEL, None
case = Case(*asked[:2], AS_IT_IS, *asked[3:], valid_until=valid_until(*asked))
notices = partial(packing_notices, make_batches(Battery({AS_IT_IS: values}, (case,))), list_stops())
source = (ROOT / "server/columns.py").read_text(encoding="utf-8")
faults = ("score < 0", "score <= 0"), ("table.setflags(write=False)", "pass"), ("ILLIQUID_FROM_MONTHS)", "1)")
sources = [source, *(source.replace(*fault) for fault in faults)]
mutants = [Mutant("server/columns.py", 1, "", "", each) for each in sources]
alive = run_mutants(mutants, notices, Path(sys.argv[1]), lambda done, total: None)
assert len(set(sources)) == 4 and alive == mutants[:1], [sources.index(each.source) for each in alive]
"""


def changes_of(mutants: Sequence[Mutant]) -> set[str]:
    return {mutant.change for mutant in mutants}


def test_python_mutants_change_comparisons_constants_and_answers(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text(SOURCE, encoding="utf-8")
    mutants = list(list_mutants(tmp_path, "rule.py"))
    assert all(ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(SOURCE)) for mutant in mutants)
    assert {
        "pair is None -> (pair) is not (None)",
        '"PRD_HALTED" -> None',
        "1 -> 2",
        "5 -> 4",
        "1 <= pair < 5 -> (1) <= (pair) <= (5)",
        "1 <= pair < 5 -> (1) < (pair) < (5)",
        "pair not in (2,) -> (pair) in ((2,))",
        "None -> 'PRD_HALTED'",
    } <= changes_of(mutants)
    assert not any("never 7" in mutant.change or "things" in mutant.change for mutant in mutants)


def test_native_mutants_change_operators_codes_and_statements(tmp_path: Path) -> None:
    (tmp_path / "gate.hpp").write_text(HEADER, encoding="utf-8")
    mutants = list(list_native_mutants(tmp_path, "gate.hpp"))
    assert {mutant.change.partition(" (")[0] for mutant in mutants} == {
        "> -> >=",
        "> -> <",
        "2 -> 3",
        "2 -> 1",
        "&& -> ||",
        "! -> nothing",
        "Code::PRD_HALTED -> Code::NONE",
        "Code::PRD_HALTED -> Code::PRD_STATUS_UNKNOWN",
        "Code::NONE -> Code::PRD_HALTED",
        "add_code(every, check_status(pair)); -> nothing",
    }
    assert {mutant.line for mutant in mutants} == {5, 7}


def test_mutants_that_are_noticed_or_raise_are_killed_and_what_is_known_is_not_run_again(
    tmp_path: Path,
) -> None:
    run_script(RUN_MUTANTS, tmp_path)


def test_a_fault_in_the_packing_is_noticed_and_a_sound_packing_is_not(tmp_path: Path) -> None:
    run_script(PACKING, tmp_path)


def run_script(script: str, folder: Path) -> None:
    command = [sys.executable, "-c", script, str(folder / "known.jsonl")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr


def test_every_explained_survivor_still_stands_in_its_file() -> None:
    reasons = read_equivalents()
    gone = [key for key in reasons if key[1] not in (ROOT / key[0]).read_text(encoding="utf-8")]
    assert gone == []
    assert all(len(reason) >= 20 for reason in reasons.values())


def test_a_survivor_that_nobody_explained_has_no_reason() -> None:
    mutant = Mutant("suitability/evaluate.py", 1, "no such line", "1 -> 2", "")
    assert explain([mutant]) == (Survivor(mutant.path, 1, mutant.context, mutant.change, None),)


def test_the_definition_is_mutated_in_every_predicate() -> None:
    files = set(list_definition_files())
    stored = {path.name for path in (ROOT / "suitability" / "predicates").glob("*.py")} - {"__init__.py"}
    assert {f"suitability/predicates/{name}" for name in stored} < files


def test_edges_name_policies_that_exist_and_load() -> None:
    policies = {**policy_variants(POLICY.values), **edge_policies(POLICY.values)}
    assert {asked[2] for asked in edge_cases()} <= policies.keys()
    for policy in edge_policies(POLICY.values).values():
        load_policy(policy)


def test_batches_hold_what_the_gate_takes_with_the_codes_as_masks() -> None:
    good = Case(eligible_user(), eligible_product("x"), AS_IT_IS, NOW, CHANNEL, None)
    cases = (
        good,
        replace(good, codes=frozenset({"SYS_POLICY_NOT_EFFECTIVE", "MAT_RISK_SCORE_OVER_LIMIT"})),
        replace(good, user=None),
        replace(good, now=None),
        replace(good, policy="malformed"),
    )
    batches = make_batches(Battery({AS_IT_IS: POLICY.values, "malformed": {}}, cases))
    assert [batch.cases for batch in batches] == [cases[:2]]
    assert batches[0].expected.tolist() == [[0, 0], [1 << 2, 1 << 81 - 64]]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "USERS_PER_CHUNK", 16)
    monkeypatch.setattr(parity, "PRODUCTS_PER_CHUNK", 40)


@pytest.mark.usefixtures("small_chunks")
def test_definition_gate_and_checker_agree_on_drawn_chunks() -> None:
    result = parity.join(parity.compare_chunk(1, chunk) for chunk in range(4))
    assert (result.pair_count, result.difference_count) == (4 * 16 * 40, 0)
    assert result.eligible_share >= parity.ELIGIBLE_SHARE_MIN
    assert result.ends_count == result.eligible_count
    assert len(result.decided_alone) >= 15
    assert parity.compare_chunk(1, 0) == parity.compare_chunk(1, 0)


@pytest.mark.usefixtures("small_chunks")
def test_a_gate_that_forgets_one_code_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Gate.judge

    def forget(self: Gate, user: Any, rows: Any) -> Any:
        return judge(self, user, rows) & ~np.array([1 << 34, 0], np.uint64)

    monkeypatch.setattr(Gate, "judge", forget)
    result = parity.compare_chunk(1, 0)
    assert result.difference_count > 0
    assert "MAT_LEVEL_OVER_TOLERANCE" in result.differences[0]
    assert not result.passed


def test_speed_comes_with_the_differences_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "CATALOGUE_COUNTS", (24,))
    monkeypatch.setattr(speed, "DEFINITION_PAIR_COUNT", 100)
    result = speed.measure_gate(2, lambda line: None)
    assert [(gate.product_count, gate.compared_pairs) for gate in result.gates] == [(24, 100)]
    assert result.gates[0].difference_count == 0
    assert result.gates[0].eligible_share > 0.1


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["mutation", "--part", "everything"])
