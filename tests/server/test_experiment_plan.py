"""The experiments file: what it may say, and that every fault is refused with the field named."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.errors import ExperimentsError
from server.experiments.plan import Plan, find_experiment, load_plan

PLAN: dict[str, Any] = {
    "holdback": {"salt": "held back 2026", "share_bps": 500},
    "experiments": [
        {
            "name": "tower-9",
            "salt": "tower-9 of November",
            "start_time": "2026-11-20T00:00:00Z",
            "end_time": "2026-12-20T00:00:00+08:00",
            "variants": [
                {"name": "control", "share_bps": 1000, "bundle": "old"},
                {"name": "new", "share_bps": 1000, "bundle": "new"},
            ],
        },
        {
            "name": "variety",
            "salt": "variety of November",
            "variants": [
                {"name": "control", "share_bps": 5000},
                {"name": "varied", "share_bps": 5000, "settings": {"diversity_trade_off": 0.7}},
            ],
        },
    ],
}


def write(folder: Path, body: Any) -> Path:
    path = folder / "experiments.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


def edited(edit: Callable[[dict[str, Any], dict[str, Any]], object]) -> dict[str, Any]:
    """Returns the plan after an edit of it and of its first experiment."""
    plan = copy.deepcopy(PLAN)
    edit(plan, plan["experiments"][0])
    return plan


def test_a_plan_is_read_as_it_is_written(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, PLAN))
    tower, variety = plan.experiments
    assert [variant.bundle for variant in tower.variants] == ["old", "new"]
    assert (tower.changes, variety.changes) == ({"bundle"}, {"diversity_trade_off"})
    assert tower.room_bps == (5000, 5000)
    assert variety.variants[1].settings.diversity_trade_off == 0.7
    assert plan.holdback is not None
    assert plan.holdback.share_bps == 500


def test_a_plan_without_experiments_is_one(tmp_path: Path) -> None:
    assert load_plan(write(tmp_path, {})) == Plan()


def test_the_holdback_is_reported_on_as_an_experiment(tmp_path: Path) -> None:
    plan = load_plan(write(tmp_path, PLAN))
    found = find_experiment(plan, "holdback")
    assert found is not None
    assert [(variant.name, variant.share_bps) for variant in found.variants] == [
        ("held", 500),
        ("open", 9500),
    ]
    assert find_experiment(plan, "variety") is plan.experiments[1]
    assert find_experiment(plan, "none") is find_experiment(Plan(), "holdback") is None


def test_an_experiment_runs_from_its_start_until_before_its_end(tmp_path: Path) -> None:
    tower, variety = load_plan(write(tmp_path, PLAN)).experiments
    end = datetime(2026, 12, 19, 16, tzinfo=UTC)
    assert tower.runs_at(datetime(2026, 11, 20, tzinfo=UTC))
    assert not tower.runs_at(datetime(2026, 11, 19, 23, 59, 59, tzinfo=UTC))
    assert tower.runs_at(end.replace(hour=15))
    assert not tower.runs_at(end)
    assert variety.runs_at(datetime(1999, 1, 1, tzinfo=UTC))


FAULTS: dict[str, tuple[Callable[[dict[str, Any], dict[str, Any]], object], tuple[str, ...]]] = {
    "an unknown key": (lambda plan, _: plan.update(policy={}), ("policy",)),
    "a setting of suitability": (
        lambda _, first: first["variants"][1].update(settings={"risk_score_limit": 10_000}),
        ("experiments.0.variants.1.settings.risk_score_limit",),
    ),
    "a setting of the server that is not allowed": (
        lambda _, first: first["variants"][1].update(settings={"allow_assumed": True}),
        ("settings.allow_assumed",),
    ),
    "a trade-off out of range": (
        lambda _, first: first["variants"][1].update(settings={"diversity_trade_off": 1.5}),
        ("diversity_trade_off", "1.5"),
    ),
    "a retriever that does not exist": (
        lambda _, first: first["variants"][1].update(settings={"retriever": "annoy"}),
        ("retriever", "annoy"),
    ),
    "a number as text": (lambda _, first: first["variants"][0].update(share_bps="1000"), ("share_bps",)),
    "a share out of range": (lambda _, first: first["variants"][0].update(share_bps=10_001), ("share_bps",)),
    "a share over an equal part": (
        lambda _, first: first["variants"][0].update(share_bps=5001),
        ("experiments.0", "control", "share_bps", "5000", "5001"),
    ),
    "room for one variant only": (
        lambda _, first: first["variants"][0].update(share_bps_max=5000),
        ("share_bps_max", "every variant or in none"),
    ),
    "more room than there are users": (
        lambda _, first: [variant.update(share_bps_max=6000) for variant in first["variants"]],
        ("share_bps_max", "12000"),
    ),
    "one variant only": (lambda _, first: first["variants"].pop(), ("experiments.0.variants",)),
    "a variant twice": (lambda _, first: first["variants"][1].update(name="control"), ("name", "control")),
    "a name that is none": (lambda _, first: first.update(name="Tower 9"), ("experiments.0.name", "Tower 9")),
    "the name of the holdback": (lambda _, first: first.update(name="holdback"), ("name", "holdback")),
    "an experiment twice": (
        lambda plan, first: plan["experiments"].append(first | {"salt": "another salt"}),
        ("experiments: name", "tower-9"),
    ),
    "one salt for two": (
        lambda plan, first: first.update(salt=plan["holdback"]["salt"]),
        ("salt", "distinct"),
    ),
    "a short salt": (lambda _, first: first.update(salt="salt"), ("experiments.0.salt",)),
    "an end before the start": (
        lambda _, first: first.update(end_time="2026-11-20T00:00:00Z"),
        ("experiments.0", "end_time"),
    ),
    "a time without a zone": (
        lambda _, first: first.update(start_time="2026-11-20T00:00:00"),
        ("experiments.0.start_time",),
    ),
    "two that change the same at one time": (
        lambda plan, first: plan["experiments"][1]["variants"][0].update(bundle="new"),
        ("tower-9 and variety", "bundle"),
    ),
}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_refused_and_its_field_is_named(tmp_path: Path, name: str) -> None:
    edit, words = FAULTS[name]
    with pytest.raises(ExperimentsError) as caught:
        load_plan(write(tmp_path, edited(edit)))
    assert all(word in str(caught.value) for word in ("experiments.json", *words)), caught.value
    assert len(str(caught.value)) < 400


def test_two_that_change_the_same_one_after_the_other_are_no_fault(tmp_path: Path) -> None:
    plan = copy.deepcopy(PLAN)
    plan["experiments"][1]["variants"][0]["bundle"] = "new"
    plan["experiments"][1]["start_time"] = "2026-12-19T16:00:00Z"
    assert len(load_plan(write(tmp_path, plan)).experiments) == 2


@pytest.mark.parametrize("text", ["", "[]", '{"experiments": [], "experiments": []}', '{"holdback": NaN}'])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ExperimentsError, match=r"experiments: .*experiments\.json"):
        load_plan(write(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentsError, match="No such file"):
        load_plan(tmp_path / "none.json")
