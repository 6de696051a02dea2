"""Simulating a policy: what is counted, that a wrong gate is found, and what is said of it."""

import argparse
import json
from datetime import date, datetime
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from suitability import Policy, default_policy_path, load_policy
from suitability.errors import SimulationError
from suitability.tools import simulate_judges
from suitability.tools.simulate import add_parser, simulate
from suitability.tools.simulate_judges import find_judge, judge_by_definition
from suitability.tools.simulate_population import CHUNK_COUNT
from suitability.tools.simulate_report import changed_keys, describe_verdict, print_report, to_json
from tests.suitability.conftest import COURSE, NOW, PRODUCT, USER

OLD = load_policy(default_policy_path())
TEXTS = pa.list_(pa.string())
MAP = pa.map_(pa.string(), pa.int64())
INSTANT = pa.timestamp("us", tz="UTC")


def policy_with(**changes: object) -> Policy:
    return load_policy({**OLD.values, "version": "2026.12.0", **changes})


def halting(*issuers: str) -> Policy:
    return policy_with(halted_issuers=list(issuers))


def make_table(rows: list[dict[str, object]]) -> pa.Table:
    types = {dict: MAP, set: TEXTS, datetime: INSTANT, date: pa.date32()}
    columns = {}
    for name in sorted({name for row in rows for name in row}):
        values = [row.get(name) for row in rows]
        kind = next(type(value) for value in values if value is not None)
        plain = [list(value.items()) if isinstance(value, dict) else value for value in values]
        plain = [sorted(value) if isinstance(value, set) else value for value in plain]
        columns[name] = pa.array(plain, types.get(kind))
    return pa.table(columns)


def person(user_id: str, **changes: object) -> dict[str, object]:
    record = {name: value for name, value in USER.items() if name != "pseudonym"}
    return {**record, "user_id": user_id, **changes}


PEOPLE = [
    person("careful", risk_level=2),
    person("steady", vulnerable=True),
    person("bold", risk_level=5, client_type="PROFESSIONAL"),
    person("older", birth_date=date(1950, 1, 1), risk_level=5),
]
PRODUCTS = [
    {**COURSE, "issuer": "school"},
    {**PRODUCT, "id": "low", "issuer": "safe", "level_issuer": 2, "level_distributor": 2, "risk_score": 3000},
    {**PRODUCT, "id": "high", "issuer": "wild", "level_issuer": 3, "level_distributor": 3},
]


@pytest.fixture
def population(tmp_path: Path) -> Path:
    return write_population(tmp_path / "population", PEOPLE)


def write_population(folder: Path, people: list[dict[str, object]]) -> Path:
    folder.mkdir()
    pq.write_table(make_table(people), folder / "profiles.parquet")
    pq.write_table(make_table(PRODUCTS), folder / "products.parquet")
    (folder / "source.json").write_text(json.dumps({"clock": NOW.isoformat()}), encoding="utf-8")
    return folder


def run_definition(new: Policy, population: Path, **settings: object):
    return simulate(new, OLD, population, judge="definition", **settings)


def use_gate(monkeypatch: pytest.MonkeyPatch, judge: object) -> None:
    class Entry:
        def load(self) -> object:
            return judge

    monkeypatch.setattr(simulate_judges, "entry_points", lambda **_: [Entry()])


def test_the_same_policy_changes_nothing(population: Path) -> None:
    outcome = run_definition(OLD, population).outcome
    assert outcome.total.eligible_old > 0
    assert (outcome.total.gained, outcome.total.lost, outcome.total.direction) == (0, 0, "same")
    assert outcome.lost_codes == outcome.gained_codes == ()
    assert describe_verdict(outcome).startswith("CHANGES NOTHING")


def test_a_halted_issuer_is_lost_by_all_who_had_it_and_by_that_code(population: Path) -> None:
    outcome = run_definition(halting("safe"), population).outcome
    losses = {change.name: change.lost for change in outcome.issuers}
    assert losses["safe"] == outcome.total.lost > 0
    assert losses["wild"] == losses["school"] == 0
    assert [(code.code, code.pair_count) for code in outcome.lost_codes] == [("PRD_HALTED", losses["safe"])]
    assert describe_verdict(outcome).startswith("TIGHTENS")


def test_the_reverse_of_a_tightening_is_gained_with_the_codes_that_the_old_one_had(population: Path) -> None:
    tightening = simulate(halting("safe"), OLD, population, judge="definition").outcome
    loosening = simulate(OLD, halting("safe"), population, judge="definition").outcome
    assert loosening.total.gained == tightening.total.lost > 0
    assert loosening.gained_codes == tightening.lost_codes
    assert loosening.users_from_nothing == tightening.users_to_nothing
    assert describe_verdict(loosening).startswith("LOOSENS:")


def test_users_who_lose_their_last_financial_product_are_counted(population: Path) -> None:
    outcome = run_definition(halting("safe", "wild"), population).outcome
    assert outcome.users_to_nothing + outcome.users_with_nothing == outcome.user_count == len(PEOPLE)
    assert outcome.users_to_nothing > 0
    learning = next(change for change in outcome.kinds if change.name == "learning content")
    assert (learning.eligible_old, learning.lost) == (len(PEOPLE), 0)


def test_segments_say_for_whom(population: Path) -> None:
    matrix = {**OLD.values["risk_matrix"]["CN5"], "5": 2}
    new = policy_with(risk_matrix={**OLD.values["risk_matrix"], "CN5": matrix})
    outcome = run_definition(new, population).outcome
    by_level = {change.name: change.lost for change in outcome.segments["risk level of the user"]}
    assert by_level["C5"] == outcome.total.lost > 0
    assert by_level["C2"] == by_level["C3"] == 0
    assert {change.name for change in outcome.segments["age"]} == {"under 65", "65 or older"}
    assert {change.name for change in outcome.segments["client type"]} == {"RETAIL", "PROFESSIONAL"}


def test_a_draft_that_starts_later_is_compared_by_its_rules(population: Path) -> None:
    outcome = run_definition(policy_with(effective_from="2030-01-01T00:00:00Z"), population).outcome
    assert outcome.total.direction == "same"


def test_users_are_drawn_without_repetition(population: Path) -> None:
    assert run_definition(OLD, population, user_count=3).outcome.user_count == 3
    assert run_definition(OLD, population, user_count=50).outcome.user_count == len(PEOPLE)


def test_a_right_gate_counts_what_the_definition_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [person(f"u{number}", risk_level=number % 6) for number in range(CHUNK_COUNT + 3)]
    folder = write_population(tmp_path / "many", people)
    use_gate(monkeypatch, judge_by_definition)
    by_gate = simulate(halting("safe"), OLD, folder, judge="auto")
    assert (by_gate.judge, by_gate.outcome.user_count) == ("gate", CHUNK_COUNT + 3)
    assert by_gate.checked_pairs >= 2_000
    assert by_gate.checked_changed_pairs > 0
    defined = simulate(halting("safe"), OLD, folder, judge="definition", user_count=len(people))
    assert by_gate.outcome == defined.outcome
    stream = StringIO()
    print_report(by_gate, Console(file=stream, width=120))
    changed = f"{by_gate.checked_changed_pairs:,} of them with other reason codes under the new policy"
    assert changed in " ".join(stream.getvalue().split())


@pytest.mark.parametrize("word", [0, 1])
def test_a_wrong_gate_stops_the_simulation_and_names_the_rows(
    population: Path, monkeypatch: pytest.MonkeyPatch, word: int
) -> None:
    def judge_wrongly(*arguments: object):
        for masks in judge_by_definition(*arguments):
            masks[2, 1, word] ^= np.uint64(1 << 5)
            yield masks

    use_gate(monkeypatch, judge_wrongly)
    with pytest.raises(SimulationError, match=r"profile row 2, product row 1, policy version 2026\.11\.0"):
        simulate(halting("safe"), OLD, population, judge="gate")


def test_without_a_gate_auto_takes_the_definition_and_gate_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simulate_judges, "entry_points", lambda **_: [])
    assert find_judge("auto") == ("definition", judge_by_definition)
    with pytest.raises(SimulationError, match="no gate is installed"):
        find_judge("gate")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=r"profiles\.parquet"):
        simulate(OLD, OLD, tmp_path)


def test_a_table_that_is_no_parquet_is_refused(population: Path) -> None:
    (population / "products.parquet").write_bytes(b"no table")
    with pytest.raises(SimulationError, match="expected Parquet tables"):
        simulate(OLD, OLD, population)


def test_a_clock_without_zone_is_refused(population: Path) -> None:
    (population / "source.json").write_text('{"clock": "2026-11-22T00:00:00"}', encoding="utf-8")
    with pytest.raises(SimulationError, match="time zone"):
        simulate(OLD, OLD, population)


def test_changed_keys_are_listed_with_both_values() -> None:
    new = policy_with(level_cap=4, elder={**OLD.values["elder"], "age": 60})
    assert changed_keys(OLD.values, new.values) == [
        ("elder.age", "65", "60"),
        ("level_cap", "null", "4"),
        ("version", "2026.11.0", "2026.12.0"),
    ]


def test_the_printed_report_says_which_way_and_why(population: Path) -> None:
    stream = StringIO()
    print_report(run_definition(halting("safe"), population), Console(file=stream, width=120))
    text = stream.getvalue()
    for expected in (
        "TIGHTENS",
        "PRD_HALTED",
        "halted_issuers",
        "judged by the definition",
        "learning content",
    ):
        assert expected in text


def test_a_draft_that_lint_refuses_is_said_to_be_unfit(population: Path) -> None:
    new = policy_with(elder={**OLD.values["elder"], "age": 70})
    simulation = run_definition(new, population)
    assert simulation.new_findings
    assert to_json(simulation)["new_findings"] == list(simulation.new_findings)


def test_the_command_writes_table_json_and_picture(population: Path, tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    new = tmp_path / "new.json"
    new.write_bytes(halting("safe").canonical)
    out = tmp_path / "out"
    policies = ["--policy", str(new), "--against", str(default_policy_path())]
    rest = ["--now", "2026-11-22T04:00:00Z", "--judge", "definition", "--out", str(out)]
    arguments = parser.parse_args(["simulate", *policies, "--population", str(population), *rest])
    assert arguments.run(arguments) == 0
    found = json.loads((out / "simulate.json").read_text(encoding="utf-8"))
    assert found["direction"] == "tightens"
    assert found["now"] == "2026-11-22T04:00:00Z"
    assert found["total"]["eligible_new"] == found["total"]["eligible_old"] - found["total"]["lost"]
    assert (out / "simulate.png").read_bytes().startswith(b"\x89PNG")
    assert "TIGHTENS" in (out / "simulate.txt").read_text(encoding="utf-8")
