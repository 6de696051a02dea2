"""Who draws which variant: shares, independence, and that a share that grows moves nobody."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from server.experiments.assignment import NO_EXPERIMENT, Experiments, draw_bucket, draw_variant
from server.experiments.plan import Experiment, Plan
from server.messages import ExperimentVariant

NOW = datetime(2026, 11, 22, tzinfo=UTC)
USERS = [number.to_bytes(34, "big") for number in range(40_000)]
FALSE_ALARM = 1e-6
"""How often a test of chance would fail on other users than these."""


def make(name: str = "tower", salt: str = "a salt of its own", **variants: Any) -> dict[str, Any]:
    """Describes an experiment; each variant is its share, or all of its fields."""
    listed = [
        {"name": variant} | ({"share_bps": given} if isinstance(given, int) else given)
        for variant, given in variants.items()
    ]
    return {"name": name, "salt": salt, "variants": listed}


def plan_of(*experiments: dict[str, Any], **others: Any) -> Plan:
    return Plan.model_validate_json(json.dumps({"experiments": experiments, **others}, default=str))


def draw(described: dict[str, Any]) -> list[str | None]:
    experiment: Experiment = plan_of(described).experiments[0]
    drawn = [draw_variant(experiment, user) for user in USERS]
    return [None if variant is None else variant.name for variant in drawn]


def test_every_bucket_is_alike() -> None:
    counts = np.bincount([draw_bucket("salt", user) // 100 for user in USERS], minlength=100)
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_a_bucket_is_the_keyed_hash_that_the_manual_states() -> None:
    # HMAC-SHA-256 of 34 zero bytes, by openssl, is b6dbd986... and f2945f30...: .71429 and .94758.
    assert [draw_bucket(salt, bytes(34)) for salt in ("salt", "salt 2")] == [7142, 9475]


def test_variants_get_their_shares_and_the_rest_takes_no_part() -> None:
    drawn = draw(make(control=3000, new=1000))
    counts = [drawn.count("control"), drawn.count("new"), drawn.count(None)]
    expected = np.array([0.3, 0.1, 0.6]) * len(USERS)
    assert stats.chisquare(counts, expected).pvalue > FALSE_ALARM


def test_a_share_of_nothing_gets_nobody_and_all_the_shares_get_everybody() -> None:
    assert set(draw(make(control=0, new=0))) == {None}
    assert set(draw(make(control=5000, new=5000))) == {"control", "new"}


@pytest.mark.parametrize("grown", ["control", "new", "both"])
def test_a_share_that_grows_moves_nobody(grown: str) -> None:
    shares = {"control": 1000, "new": 1000}
    before = draw(make(**shares))
    after = draw(make(**{name: 4000 if grown in (name, "both") else share for name, share in shares.items()}))
    changes = {(old, new) for old, new in zip(before, after, strict=True) if old != new}
    assert changes == {(None, name) for name in shares if grown in (name, "both")}


def test_three_unequal_shares_grow_into_the_room_that_was_left_for_them() -> None:
    room = {"control": 8000, "one": 1500, "two": 500}
    before = draw(make(**{name: {"share_bps": 100, "share_bps_max": most} for name, most in room.items()}))
    after = draw(make(**{name: {"share_bps": most, "share_bps_max": most} for name, most in room.items()}))
    assert None not in after
    assert all(old in (None, new) for old, new in zip(before, after, strict=True))


def test_a_share_that_shrinks_lets_go_those_who_came_last() -> None:
    large, small = draw(make(control=4000, new=4000)), draw(make(control=4000, new=500))
    changes = {(old, new) for old, new in zip(large, small, strict=True) if old != new}
    assert changes == {("new", None)}
    assert draw(make(control=4000, new=4000)) == large


def test_experiments_are_independent_of_each_other() -> None:
    first = draw(make(control=3000, new=3000))
    second = draw(make(salt="quite another salt", control=5000, new=5000))
    names = [None, "control", "new"]
    table = np.zeros((3, 2), int)
    for one, other in zip(first, second, strict=True):
        table[names.index(one), names.index(other) - 1] += 1
    assert stats.chi2_contingency(table).pvalue > FALSE_ALARM


def test_a_user_draws_the_same_again_and_the_variants_change_what_they_say() -> None:
    plan = plan_of(
        make(control=5000, new={"share_bps": 5000, "bundle": "b2", "settings": {"diversity_trade_off": 0.7}})
    )
    experiments = Experiments(plan, {(None, None): 0, ("b2", None): 1})
    drawn = {experiments.assign(user, NOW) for user in USERS[:100]}
    assert {(each.variants, each.place, each.trade_off) for each in drawn} == {
        ((ExperimentVariant("tower", "control"),), 0, None),
        ((ExperimentVariant("tower", "new"),), 1, 7000),
    }
    assert experiments.assign(USERS[0], NOW) == experiments.assign(USERS[0], NOW + timedelta(days=9))


def test_variants_of_two_experiments_are_put_together() -> None:
    bundles = make("tower", control=0, new={"share_bps": 10_000, "share_bps_max": 10_000, "bundle": "b2"})
    bundles["variants"][0]["share_bps_max"] = 0
    search = make(
        "search", "another salt", one={"share_bps": 5000, "settings": {"retriever": "exact"}}, two=5000
    )
    experiments = Experiments(plan_of(bundles, search), {("b2", None): 3, ("b2", "exact"): 4})
    assert {experiments.assign(user, NOW).place for user in USERS[:50]} == {3, 4}


def test_nobody_draws_anything_outside_the_time_of_an_experiment() -> None:
    timed = make(control=5000, new=5000) | {"start_time": NOW, "end_time": NOW + timedelta(days=1)}
    experiments = Experiments(plan_of(timed), {(None, None): 0})
    assert len(experiments.assign(USERS[0], NOW).variants) == 1
    for outside in (NOW - timedelta(microseconds=1), NOW + timedelta(days=1)):
        assert experiments.assign(USERS[0], outside) == NO_EXPERIMENT


def test_who_is_held_back_takes_part_in_nothing_and_the_answer_says_so() -> None:
    holdback = {"salt": "held back", "share_bps": 2000}
    experiments = Experiments(plan_of(make(control=5000, new=5000), holdback=holdback), {(None, None): 0})
    drawn = [experiments.assign(user, NOW).variants for user in USERS]
    held = [variants for variants in drawn if variants[0].variant == "held"]
    assert set(held) == {(ExperimentVariant("holdback", "held"),)}
    assert {len(variants) for variants in drawn if variants not in held[:1]} == {2}
    assert stats.binomtest(len(held), len(drawn), 0.2).pvalue > FALSE_ALARM


def test_without_experiments_nobody_is_drawn() -> None:
    assert Experiments(Plan(), {}).assign(USERS[0], NOW) is NO_EXPERIMENT
