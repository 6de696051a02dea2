"""Tests of the registry of reason codes."""

import re

import pytest

from suitability import CODES, CODES_BY_NUMBER, code_mask, codes_of_mask, in_order, waivable
from suitability.codes import CodeClass, Remedy
from suitability.texts import USER_TEXTS


def test_names_and_numbers_are_unique_and_fit_the_mask():
    assert len(CODES) == len(CODES_BY_NUMBER) == 84
    assert min(CODES_BY_NUMBER) == 1
    assert max(CODES_BY_NUMBER) <= 127


def test_numbers_are_stable():
    # Numbers are stored in records for ever; a failure here means that one was moved.
    assert CODES["SYS_PREDICATE_ERROR"].number == 3
    assert CODES["USR_RESTRICTED"].number == 18
    assert CODES["MAT_LEVEL_OVER_TOLERANCE"].number == 34
    assert CODES["USR_HOLDINGS_UNKNOWN"].number == 64
    assert CODES["MAT_RISK_SCORE_OVER_LIMIT"].number == 81
    assert CODES["MAT_RISK_BAND_OVER_LIMIT"].number == 84


def test_a_mask_gives_the_set_back_and_fits_sixteen_bytes():
    assert codes_of_mask(code_mask(CODES)) == CODES.keys()
    assert code_mask(CODES) < 1 << 128
    assert code_mask([]) == 0
    assert codes_of_mask(0) == frozenset()
    assert code_mask(["MAT_RISK_SCORE_OVER_LIMIT"]) == 1 << 81


def test_a_mask_with_an_unassigned_bit_is_refused():
    for bit in (0, 127):
        with pytest.raises(KeyError):
            codes_of_mask(1 << bit)


def test_codes_are_ordered_by_predicate():
    names = {"MAT_RISK_SCORE_OVER_LIMIT", "PRD_HALTED", "USR_NOT_FOUND"}
    assert [code.name for code in in_order(names)] == [
        "PRD_HALTED",
        "USR_NOT_FOUND",
        "MAT_RISK_SCORE_OVER_LIMIT",
    ]


@pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.name)
def test_every_code_has_class_remedy_basis_and_both_texts(code):
    assert code.code_class in CodeClass
    assert code.remedy in Remedy
    assert code.basis
    assert code.text.endswith(".")
    assert re.search(r"[\u4e00-\u9fff]", code.text_zh)


def test_every_text_is_used():
    assert {code.user_text_key for code in CODES.values()} == USER_TEXTS.keys()


def test_no_text_coaches():
    for english, chinese in USER_TEXTS.values():
        assert not re.search(r"\d", english + chinese)
        assert not re.search(r"\b(would|could|should|if|level|higher|lower|C[1-5])\b", english)
        assert not re.search("如果|若|只要|即可|就能|可以|应当|建议|提高|降低|更高|更低|等级", chinese)


def test_only_a_code_of_the_user_calls_the_profile_incomplete():
    codes = [code for code in CODES.values() if code.user_text_key == "user_profile"]
    assert {code.code_class for code in codes} == {CodeClass.USR}


def test_only_a_hold_is_not_disclosable():
    assert [code.name for code in CODES.values() if not code.disclosable] == ["USR_RESTRICTED"]


def test_the_text_of_a_hold_is_that_of_another_code():
    key = CODES["USR_RESTRICTED"].user_text_key
    assert key == CODES["PRD_HALTED"].user_text_key


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize("level", [None, 0, 1, 5, True, "3"])
def test_only_the_tolerance_is_waivable_and_never_at_level_zero(name, level):
    expected = name == "MAT_LEVEL_OVER_TOLERANCE" and level in (1, 5) and level is not True
    assert waivable(name, {"risk_level": level}) is expected
