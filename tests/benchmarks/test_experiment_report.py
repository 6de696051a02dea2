"""Reports on a simulated experiment find what was put into it, and say what may be concluded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.experiments.__main__ import EXAMPLE, main
from benchmarks.experiments.compare import Judged, conclude, judge
from benchmarks.experiments.guardrails import Verdict, judge_guardrails
from benchmarks.experiments.log import Log, Pairs, read_log
from benchmarks.experiments.outcomes import Outcomes
from benchmarks.experiments.simulate import World, write_log

WORLD = World(user_count=3000, click_share=0.2, lifts=(("varied", 1.4),), slowdowns=(("slow", 1.5),), seed=1)
PLAN = {"experiments": [json.loads(EXAMPLE.model_dump_json(exclude_none=True))]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("log")
    write_log(WORLD, EXAMPLE, made)
    return made


@pytest.fixture(scope="module")
def log(folder: Path) -> Log:
    return read_log(folder)


@pytest.fixture(scope="module")
def judged(log: Log) -> Judged:
    return judge(log, EXAMPLE, metric="ctr", window_days=7, planned_user_count=2000)


def test_the_better_variant_is_found_and_the_slow_one_is_stopped(judged: Judged) -> None:
    varied, slow = judged.comparisons
    assert judged.sound
    assert varied.differences["ctr"].low > 0
    assert varied.path is not None
    assert varied.path.decided_us is not None
    assert conclude(judged, slow) == "Stop: it makes worse latency p95, ms."
    assert "latency" not in conclude(judged, varied)
    # Two variants share the chance of an error.
    assert judged.level == pytest.approx(0.975)


def test_users_that_are_not_as_drawn_allow_no_conclusion(log: Log) -> None:
    shares = {"control": 2000, "varied": 6000, "slow": 2000}
    variants = tuple(
        variant.model_copy(update={"share_bps": shares[variant.name]}) for variant in EXAMPLE.variants
    )
    wrong = EXAMPLE.model_copy(update={"variants": variants})
    judged = judge(log, wrong, metric="ctr", window_days=7, planned_user_count=2000)
    assert not judged.sound
    assert all(conclude(judged, each).startswith("No conclusion") for each in judged.comparisons)


def test_the_same_against_itself_is_better_in_nothing_and_harms_nothing(log: Log) -> None:
    control = judge(log, EXAMPLE, metric="ctr", window_days=7, planned_user_count=2000).exposed.variants[
        "control"
    ]
    for guardrail in judge_guardrails(control, control):
        assert guardrail.worse_low <= 0 <= guardrail.worse_high
        assert guardrail.verdict is not Verdict.HARMED


def draw_outcomes(
    seed: int, *, removed: float = 5.0, filled: float = 0.99, slow: float = 1.0, products: int = 300
) -> Outcomes:
    """Draws 4,000 users with one answer in the mean of each kind that a guardrail looks at."""
    random = np.random.default_rng(seed)
    count = 4000
    answers = 1.0 + random.poisson(1.0, count)
    users = np.repeat(np.arange(count), answers.astype(int))
    # One user's answers are alike: their network is as it is.
    pace = np.repeat(random.lognormal(0, 0.3, count), answers.astype(int))
    shown = np.unique(np.stack([users, random.integers(products, size=len(users))]), axis=1)
    removals = random.poisson(removed * answers).astype(float)
    columns: Mapping[str, Any] = {
        "answers": answers,
        "filled": random.binomial(answers.astype(int), filled).astype(float),
        "removed:all": removals,
        "removed:MAT_HORIZON": removals,
    }
    return Outcomes(
        first_us=np.arange(count),
        columns=columns,
        latency_us=slow * 5000 * pace * random.lognormal(0, 0.2, len(users)),
        latency_user=users,
        shown=Pairs(shown[0], shown[1]),
    )


@pytest.mark.parametrize(
    ("change", "harmed"),
    [
        ({}, set()),
        ({"removed": 6.5}, {"removals of an answer: all", "removals of an answer: MAT_HORIZON"}),
        ({"filled": 0.96}, {"answers with products"}),
        ({"slow": 1.25}, {"latency p95, ms"}),
        ({"products": 200}, {"products shown to 200 users"}),
    ],
)
def test_a_guardrail_tells_harm_from_none(change: dict[str, Any], harmed: set[str]) -> None:
    judged = judge_guardrails(draw_outcomes(1), draw_outcomes(2, **change))
    assert {each.name for each in judged if each.verdict is Verdict.HARMED} == harmed
    assert {each.name for each in judged if each.verdict is Verdict.HOLDS} == {
        each.name for each in judged
    } - harmed


def test_a_guardrail_at_its_margin_is_seldom_said_to_hold() -> None:
    # At the margin, to say that it holds is the error that a guardrail is to avoid: 2.5 % of the time.
    held = 0
    for seed in range(150):
        judged = judge_guardrails(draw_outcomes(2 * seed), draw_outcomes(2 * seed + 1, slow=1.1))
        held += next(each for each in judged if each.name.startswith("latency")).verdict is Verdict.HOLDS
    assert held <= 11  # More than 11 of 150 have a chance of 0.1 %.


def keep_first(outcomes: Outcomes, count: int) -> Outcomes:
    timed, shown = outcomes.latency_user < count, outcomes.shown.answer < count
    return Outcomes(
        first_us=outcomes.first_us[:count],
        columns={name: values[:count] for name, values in outcomes.columns.items()},
        latency_us=outcomes.latency_us[timed],
        latency_user=outcomes.latency_user[timed],
        shown=Pairs(outcomes.shown.answer[shown], outcomes.shown.product[shown]),
    )


def test_few_users_leave_a_guardrail_undecided(log: Log) -> None:
    exposed = judge(log, EXAMPLE, metric="ctr", window_days=7, planned_user_count=2000).exposed
    few = {name: keep_first(outcomes, 30) for name, outcomes in exposed.variants.items()}
    verdicts = {each.name: each.verdict for each in judge_guardrails(few["control"], few["varied"])}
    assert verdicts["latency p95, ms"] is Verdict.UNDECIDED


def test_the_command_writes_a_page_a_table_figures_and_a_picture(folder: Path, tmp_path: Path) -> None:
    plan = tmp_path / "experiments.json"
    plan.write_text(json.dumps(PLAN))
    arguments = ["report", str(folder), "--experiments", str(plan), "--experiment", "variety"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert main(["kpi", str(folder), "--out", str(tmp_path)]) == 0
    for name in ("experiment-variety", "kpi"):
        page = (tmp_path / f"{name}.html").read_text()
        assert page.startswith("<!DOCTYPE html>")
        assert "http" not in page.replace("data:image", "")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / f"{name}.txt").read_text()
    body = json.loads((tmp_path / "experiment-variety.json").read_text())
    assert [each["variant"] for each in body["variants"]] == ["varied", "slow"]
    assert body["variants"][0]["sequential"]["low"] > 0
    kpis = json.loads((tmp_path / "kpi.json").read_text())
    assert {each["name"] for each in kpis["campaigns"]} == {"autumn", "onboarding", ""}
    assert sum(each["revenue_minor"] for each in kpis["campaigns"]) == kpis["total"]["revenue_minor"]
    assert kpis["unmatched_event_counts"]["names no answer"] > 0


def test_the_command_says_what_is_wrong(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "experiments.json"
    plan.write_text(json.dumps(PLAN))
    arguments = ["report", str(folder), "--experiments", str(plan), "--out", str(tmp_path)]
    assert main([*arguments, "--experiment", "none"]) == 1
    assert "expected one of variety, got none" in capsys.readouterr().err
    plan.write_text("{")
    assert main([*arguments, "--experiment", "variety"]) == 1
    assert "ExperimentsError: experiments: " in capsys.readouterr().err


def test_the_command_plans(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--share", "0.05", "--lift", "0.2"]) == 0
    assert capsys.readouterr().out.startswith("8,1")
