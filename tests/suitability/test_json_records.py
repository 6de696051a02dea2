"""Tests of records read from JSON: names are strict, values are passed on."""

import json
from datetime import UTC, date, datetime

import pytest

from suitability import RecordError, evaluate
from suitability.json_documents import DOCUMENT_BYTES_MAX
from suitability.json_records import decode_record, load_product, load_user
from suitability.records import PRODUCT_FIELDS, USER_FIELDS
from suitability.tools.explanation import to_json


def as_json(record):
    plain = {name: frozenset(value) if isinstance(value, set) else value for name, value in record.items()}
    return json.dumps(to_json(plain)).encode()


def test_a_pair_survives_the_way_through_json(user, product, policy, now):
    users, products = load_user(as_json(user)), load_product(as_json(product))
    assert users == {**user, **{name: sorted(v) for name, v in user.items() if isinstance(v, set)}}
    assert products["sale_start"] == product["sale_start"]
    assert evaluate(users, products, policy, now, "app") == frozenset()


def test_dates_instants_and_bytes_are_decoded():
    values = {"birth_date": "1986-05-17", "profile_as_of": "2026-11-22T11:00:00+08:00", "pseudonym": "0A0b"}
    assert decode_record(values, USER_FIELDS) == {
        "birth_date": date(1986, 5, 17),
        "profile_as_of": datetime(2026, 11, 22, 3, tzinfo=UTC),
        "pseudonym": b"\x0a\x0b",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("birth_date", "1986-5-17"),
        ("birth_date", "1986-02-30"),
        ("birth_date", "1986-W20-6"),
        ("birth_date", "19860517"),
        ("birth_date", "1986-05-17T00:00:00Z"),
        ("birth_date", "\uff11986-05-17"),
        ("birth_date", 19860517),
        ("profile_as_of", "2026-11-22"),
        ("profile_as_of", "2026-11-22T03:00:00"),
        ("profile_as_of", "2026-11-22 03:00:00Z"),
        ("profile_as_of", "0001-01-01T00:00:00+08:00"),
        ("pseudonym", ""),
        ("pseudonym", "0"),
        ("pseudonym", "0a 0b"),
        ("pseudonym", "zz"),
        ("risk_level", "3"),
        ("risk_level", 3.0),
        ("risk_level", True),
        ("needs", {"HEALTH": 1}),
        ("blocked", "no"),
        ("knowledge", ["FUND"]),
        ("liquid", None),
    ],
)
def test_a_malformed_value_is_passed_on(name, value):
    assert decode_record({name: value}, USER_FIELDS) == {name: value}


@pytest.mark.parametrize("name", ["rsik_level", "riskLevel", "Risk_level", "risk_level ", "id", ""])
def test_an_unknown_field_is_refused_by_name(name):
    with pytest.raises(RecordError, match="unknown") as caught:
        load_user(json.dumps({name: 1}).encode())
    assert caught.value.path.rstrip(".") == f"user.{name}".rstrip(".")


def test_a_product_may_not_hold_a_field_of_users():
    with pytest.raises(RecordError, match=r"product\.liquid"):
        load_product(b'{"liquid": 1}')


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"liquid": NaN}',
        b'{"liquid": 1,}',
        b'{"blocked": no}',
        b'{"liquid": 1, "liquid": 2}',
        b'{"held_issuer": {"a": 1, "a": 2}}',
        b"liquid: 1",
        b"\xff{}",
        b'{"jurisdiction": "\\ud800"}',
        b"{}" + b" " * DOCUMENT_BYTES_MAX + b"x",
    ],
)
def test_what_is_not_one_json_object_is_refused(data):
    with pytest.raises(RecordError, match="user"):
        load_user(data)


def test_a_missing_file_is_refused_and_named(tmp_path):
    with pytest.raises(RecordError, match=r"nobody\.json"):
        load_user(tmp_path / "nobody.json")


def test_assumed_fields_are_kept():
    assert decode_record({"assumed": ["retail"]}, PRODUCT_FIELDS) == {"assumed": ("retail",)}


@pytest.mark.parametrize("value", ["retail", [1], ["liquid"], {"retail": True}, None, [["retail"]]])
def test_assumed_must_list_fields_of_the_record(value):
    with pytest.raises(RecordError, match="assumed"):
        decode_record({"assumed": value}, PRODUCT_FIELDS)
