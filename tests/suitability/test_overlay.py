"""Tests of overlays: what is refused, and that an overlay admits a subset of what the policy admits."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suitability import (
    OverlayError,
    PolicyError,
    default_policy_path,
    evaluate,
    is_tighter,
    lint,
    load_overlay,
    load_policy,
    tighten,
)
from suitability.json_documents import DOCUMENT_BYTES_MAX

POLICY = load_policy(default_policy_path())
OVERLAY = {
    "schema": "suitability-overlay/1",
    "policy_id": "cn-retail-default",
    "sequence": 1,
    "halted_products": ["fund-1"],
    "halted_issuers": [],
    "level_cap": None,
    "reason": "prospectus withdrawn",
}
EXAMPLES = settings(max_examples=200, deadline=None, derandomize=True, database=None)
ELIGIBLE_MIN = 30


def overlay(**changes):
    return load_overlay({**OVERLAY, **changes})


def with_rules(**changes):
    return load_policy({**POLICY.values, **changes})


def test_path_bytes_and_mapping_give_the_same_overlay(tmp_path):
    path = tmp_path / "halt.json"
    path.write_text(json.dumps(OVERLAY, indent=4))
    overlays = {load_overlay(path), load_overlay(str(path)), load_overlay(path.read_bytes()), overlay()}
    assert len(overlays) == 1
    assert load_overlay(overlay().canonical).sha256 == overlay().sha256


def test_an_overlay_holds_what_it_states():
    halt = overlay(halted_issuers=["a", "b", "a"], level_cap=3, sequence=7)
    assert halt.halted_products == {"fund-1"}
    assert halt.halted_issuers == {"a", "b"}
    assert (halt.level_cap, halt.sequence, halt.policy_id) == (3, 7, "cn-retail-default")
    assert halt.reason == "prospectus withdrawn"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", "suitability-policy/1"),
        ("policy_id", ""),
        ("sequence", 0),
        ("sequence", True),
        ("sequence", 1.0),
        ("sequence", "1"),
        ("sequence", 2**53),
        ("halted_products", None),
        ("halted_products", "fund-1"),
        ("halted_products", [1]),
        ("halted_products", [" "]),
        ("halted_issuers", {"a": 1}),
        ("level_cap", -1),
        ("level_cap", 8),
        ("level_cap", False),
        ("level_cap", "3"),
        ("reason", ""),
        ("reason", None),
    ],
)
def test_load_refuses_a_wrong_value_and_names_the_key(name, value):
    with pytest.raises(OverlayError) as caught:
        overlay(**{name: value})
    assert caught.value.path == name
    assert str(caught.value).startswith(f"overlay key {name}:")


def test_load_refuses_an_unknown_and_each_missing_key():
    with pytest.raises(OverlayError, match="unknown key") as caught:
        overlay(resumed_products=["fund-2"])
    assert caught.value.path == "resumed_products"
    for name in OVERLAY:
        with pytest.raises(OverlayError, match="no such key") as caught:
            load_overlay({key: value for key, value in OVERLAY.items() if key != name})
        assert caught.value.path == name


def test_load_refuses_a_key_given_twice():
    text = json.dumps(OVERLAY).replace('"sequence": 1', '"sequence": 1, "sequence": 2')
    with pytest.raises(OverlayError, match="twice") as caught:
        load_overlay(text.encode())
    assert caught.value.path == "sequence"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"schema: suitability-overlay/1\nsequence: 1\n",
        json.dumps(OVERLAY).replace("null", "no").encode(),
        json.dumps(OVERLAY).replace("null", "NaN").encode(),
        json.dumps(OVERLAY).replace("null", "+3").encode(),
        json.dumps(OVERLAY).replace("null", "0x3").encode(),
        json.dumps(OVERLAY).replace("null", "~").encode(),
        json.dumps(OVERLAY).replace('"fund-1"', '"fund-1",').encode(),
        json.dumps(OVERLAY).replace('"fund-1"', "fund-1").encode(),
        json.dumps(OVERLAY).replace('"fund-1"', "'fund-1'").encode(),
        json.dumps(OVERLAY).replace("prospectus", "pros\tpectus").encode(),
        json.dumps(OVERLAY).replace("{", "{ # halt\n").encode(),
        json.dumps(OVERLAY).replace("{", "{ // halt\n").encode(),
        json.dumps(OVERLAY).encode("utf-16"),
        json.dumps(OVERLAY).encode() + b" " * DOCUMENT_BYTES_MAX + b"{}",
    ],
)
def test_load_refuses_what_is_not_strict_json(data):
    with pytest.raises(OverlayError):
        load_overlay(data)


def test_load_refuses_a_missing_and_an_enormous_file(tmp_path):
    with pytest.raises(OverlayError, match=r"missing\.json"):
        load_overlay(tmp_path / "missing.json")
    large = tmp_path / "large.json"
    large.write_bytes(json.dumps(OVERLAY).encode() + b" " * DOCUMENT_BYTES_MAX)
    with pytest.raises(OverlayError, match=r"large\.json"):
        load_overlay(large)


def test_tighten_adds_halts_to_those_of_the_policy_and_keeps_the_rest():
    rules = with_rules(halted_products=["fund-9"], halted_issuers=["issuer-9"])
    tightened = tighten(rules, overlay(halted_products=["fund-1", "fund-9"], level_cap=3))
    assert tightened.values["halted_products"] == ("fund-9", "fund-1")
    assert tightened.values["halted_issuers"] == ("issuer-9",)
    assert tightened.values["level_cap"] == 3
    changed = {"halted_products", "level_cap"}
    assert {name for name in rules.values if tightened.values[name] != rules.values[name]} == changed


def test_tighten_returns_the_kind_that_it_was_given():
    change = {"halted_products": ["fund-1"]}
    assert tighten(POLICY, change) == tighten(POLICY, overlay())
    mapping = json.loads(default_policy_path().read_bytes())
    tightened = tighten(mapping, change)
    assert isinstance(tightened, dict)
    assert load_policy(tightened) == tighten(POLICY, change)
    assert mapping["halted_products"] == []


def test_tighten_by_nothing_changes_nothing():
    assert tighten(POLICY, {}) == POLICY
    assert tighten(POLICY, {"level_cap": None}) == POLICY


@pytest.mark.parametrize("cap", [None, 4, 5, 7])
def test_tighten_refuses_a_cap_above_that_of_the_policy(cap):
    with pytest.raises(OverlayError) as caught:
        tighten(with_rules(level_cap=3), {"level_cap": cap})
    assert caught.value.path == "level_cap"


def test_an_overlay_without_cap_leaves_that_of_the_policy():
    assert tighten(with_rules(level_cap=3), overlay()).values["level_cap"] == 3
    with pytest.raises(OverlayError):
        tighten(with_rules(level_cap=3), overlay(level_cap=4))


@pytest.mark.parametrize(
    "change",
    [
        {"elder": {"age": 99}},
        {"response_max_ttl_s": 1},
        {"halted_product": ["fund-1"]},
        {"reason": "why not"},
        {"halted_products": None},
        {"halted_products": "fund-1"},
        {"halted_issuers": [1]},
        {"level_cap": "2"},
        {"level_cap": True},
        {"level_cap": -1},
        [],
        None,
        "halt",
    ],
)
def test_tighten_refuses_anything_that_is_not_tightening(change):
    with pytest.raises(OverlayError):
        tighten(POLICY, change)


def test_tighten_refuses_an_overlay_for_another_policy():
    with pytest.raises(OverlayError) as caught:
        tighten(POLICY, overlay(policy_id="eu-retail"))
    assert caught.value.path == "policy_id"


def test_tighten_refuses_a_malformed_policy():
    with pytest.raises(PolicyError):
        tighten({"level_cap": None}, {"level_cap": 1})


def test_what_is_tightened_is_still_fit():
    assert lint(tighten(POLICY, overlay(halted_issuers=["a"], level_cap=0))) == []


@pytest.mark.parametrize(
    ("new", "old", "tighter"),
    [
        ({}, {}, True),
        ({"halted_products": ["fund-1", "fund-2"]}, {}, True),
        ({"halted_products": ["fund-2"]}, {}, False),
        ({"halted_products": []}, {}, False),
        ({"halted_issuers": ["a"]}, {"halted_issuers": ["a"]}, True),
        ({}, {"halted_issuers": ["a"]}, False),
        ({"level_cap": 3}, {}, True),
        ({"level_cap": 3}, {"level_cap": 3}, True),
        ({"level_cap": 2}, {"level_cap": 3}, True),
        ({"level_cap": 0}, {"level_cap": 1}, True),
        ({"level_cap": 4}, {"level_cap": 3}, False),
        ({"level_cap": None}, {"level_cap": 0}, False),
    ],
)
def test_tighter_means_halting_no_less_and_capping_no_higher(new, old, tighter):
    assert is_tighter(overlay(**new), overlay(**old)) is tighter


products = st.sampled_from(["fund-1", "fund-2", "fund-3"])
issuers = st.sampled_from(["issuer-1", "issuer-2", "issuer-3"])
changes = st.fixed_dictionaries(
    {
        "halted_products": st.lists(products, max_size=2),
        "halted_issuers": st.lists(issuers, max_size=1),
        "level_cap": st.none() | st.integers(0, 7),
    }
)
base_changes = st.fixed_dictionaries(
    {"halted_products": st.lists(products, max_size=1), "level_cap": st.sampled_from([None, 4, 5])}
)


def test_what_an_overlay_admits_is_a_subset_of_what_the_policy_admits(user, product, now):
    seen = {"admitted": 0, "withheld": 0}

    @EXAMPLES
    @given(base_changes, changes, products, issuers, st.integers(1, 5))
    def holds(in_policy, in_overlay, identity, issuer, level):
        rules = with_rules(**in_policy)
        try:
            tightened = tighten(rules, overlay(**in_overlay))
        except OverlayError:
            assert in_overlay["level_cap"] > in_policy["level_cap"]
            return
        levels = {"level_issuer": level, "level_distributor": level, "risk_score": 0}
        changed = {**product, **levels, "id": identity, "issuer": issuer}
        before = evaluate({**user, "risk_level": 5}, changed, rules, now, "app")
        after = evaluate({**user, "risk_level": 5}, changed, tightened, now, "app")
        assert not before or after
        assert after - before <= {"PRD_HALTED", "MAT_LEVEL_OVER_CAP"}
        seen["admitted"] += not after
        seen["withheld"] += bool(after) and not before

    holds()
    assert min(seen.values()) >= ELIGIBLE_MIN, seen


def test_every_mapping_that_loosens_is_refused():
    refused = 0

    @EXAMPLES
    @given(st.integers(0, 7), st.none() | st.integers(0, 7))
    def holds(cap_of_policy, cap):
        nonlocal refused
        rules = with_rules(level_cap=cap_of_policy)
        if cap is None or cap > cap_of_policy:
            refused += 1
            with pytest.raises(OverlayError):
                tighten(rules, {"level_cap": cap})
        else:
            assert tighten(rules, {"level_cap": cap}).values["level_cap"] == cap

    holds()
    assert refused >= ELIGIBLE_MIN


def test_a_later_overlay_that_is_tighter_admits_no_more(user, product, now):
    seen = {True: 0, False: 0}

    @EXAMPLES
    @given(changes, changes, products, issuers, st.integers(1, 5))
    def holds(old, new, identity, issuer, level):
        old, new = overlay(**old), overlay(**new)
        levels = {"level_issuer": level, "level_distributor": level, "risk_score": 0}
        changed = {**product, **levels, "id": identity, "issuer": issuer}
        pair = ({**user, "risk_level": 5}, changed)
        before = evaluate(*pair, tighten(POLICY, old), now, "app")
        after = evaluate(*pair, tighten(POLICY, new), now, "app")
        seen[is_tighter(new, old)] += 1
        assert not is_tighter(new, old) or not before or after

    holds()
    assert min(seen.values()) >= ELIGIBLE_MIN // 3, seen


def test_an_unknown_key_of_a_mapping_is_told_what_there_is():
    for changes in ({"elder": {}}, {"level_cap": 1, 1: 2}):
        with pytest.raises(OverlayError, match="one of halted_products, halted_issuers, level_cap, got an"):
            tighten(POLICY, changes)
