"""Tests of the table: what each predicate says that it gives and reads is what it gives and reads."""

import re
from collections.abc import Mapping
from copy import copy
from dataclasses import replace

import pytest

from suitability import CODES, PREDICATES, evaluate, load_policy
from suitability.policy import well_formed
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS
from tests.suitability.golden_cases import CASES, pair_of

CODE = re.compile(r"\b(?:SYS|USR|PRD|MAT)_[A-Z0-9_]+\b")
each_predicate = pytest.mark.parametrize("predicate", PREDICATES, ids=lambda each: each.name)


class Recorder(Mapping):
    """Is a record that notes the name of every field that is read."""

    def __init__(self, values, seen, path=""):
        self.values_, self.seen, self.path = values, seen, path

    def __getitem__(self, name):
        self.seen.add(name)
        return self.values_[name]

    def __iter__(self):
        return iter(self.values_)

    def __len__(self):
        return len(self.values_)


class Rules(Recorder):
    """Is a policy that notes the path of every value that is read; entering a section is not reading it."""

    def __getitem__(self, name):
        path = f"{self.path}{name}"
        if isinstance(self.values_[name], Mapping):
            return Rules(self.values_[name], self.seen, f"{path}.")
        self.seen.add(path)
        return self.values_[name]


PAIRS = [
    replace(pair, policy=load_policy(pair.rules))
    for pair in map(pair_of, CASES)
    if pair.now.tzinfo is not None and well_formed(pair.policy)
]


def reads(predicate):
    """Returns the fields and keys that a predicate reads over all golden cases, and the codes it gives."""
    user, product, rules, codes = set(), set(), set(), set()
    for pair in PAIRS:
        recorded = copy(pair.policy)
        object.__setattr__(recorded, "values", Rules(recorded.values, rules))
        sides = Recorder(pair.user or {}, user), Recorder(pair.product, product)
        code = predicate.function(Pair(*sides, recorded, pair.now, pair.channel, pair.risk_score_limit))
        codes.update([code] if code else [])
    return user, product, rules, codes


def test_the_table_holds_the_rules_predicates_in_their_order():
    assert [each.number for each in PREDICATES] == list(range(27))
    assert len({each.name for each in PREDICATES}) == 27


@each_predicate
def test_a_predicate_reads_exactly_the_fields_that_it_declares(predicate):
    user, product, rules, _ = reads(predicate)
    assert user == set(predicate.user_fields)
    assert product == set(predicate.product_fields)
    declared = set(predicate.policy_keys)
    assert {key for key in rules if key not in declared and not any_above(key, declared)} == set()
    assert {key for key in declared if key not in rules and not any_below(key, rules)} == set()


def any_above(key, declared):
    return any(key.startswith(f"{each}.") for each in declared)


def any_below(key, read):
    return any(each.startswith(f"{key}.") for each in read)


@each_predicate
def test_a_predicate_declares_fields_that_exist(predicate):
    assert set(predicate.user_fields) <= USER_FIELDS.keys()
    assert set(predicate.product_fields) <= PRODUCT_FIELDS.keys()


@each_predicate
def test_a_predicate_gives_exactly_the_codes_that_its_docstring_numbers(predicate):
    named = set(CODE.findall(predicate.function.__doc__))
    given = reads(predicate)[3]
    # A clock without zone and a malformed policy are not among the well-formed pairs.
    given |= {"SYS_CLOCK_INVALID"} if predicate.number == 0 else set()
    assert given == named
    assert named <= CODES.keys()


def test_every_field_is_read_by_some_predicate():
    assert {name for each in PREDICATES for name in each.user_fields} == USER_FIELDS.keys()
    assert {name for each in PREDICATES for name in each.product_fields} == PRODUCT_FIELDS.keys()


def test_the_verdict_is_the_union_of_the_predicates_each_on_a_fresh_pair():
    for pair in PAIRS:
        if not pair.learning:
            codes = {each.function(replace(pair)) for each in PREDICATES} - {None}
            sides = (pair.user, pair.product, pair.policy)
            assert evaluate(*sides, pair.now, pair.channel, pair.risk_score_limit) == codes
