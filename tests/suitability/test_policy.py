"""Tests of loading, identifying and linting a policy."""

import hashlib
import json
from dataclasses import FrozenInstanceError

import pytest

from suitability import (
    PolicyError,
    PolicyKeyError,
    PolicyReadError,
    PolicySyntaxError,
    PolicyValueError,
    default_policy_path,
    lint,
    load_policy,
)
from suitability.json_documents import canonical_bytes

DEFAULT = default_policy_path().read_bytes()


def altered(path, value):
    """Returns the default policy with the value at a dotted path replaced."""
    values = json.loads(DEFAULT)
    *sections, name = path.split(".")
    target = values
    for section in sections:
        target = target[section]
    target[name] = value
    return values


def test_the_shipped_policy_loads_and_has_no_findings():
    policy = load_policy(default_policy_path())
    assert policy.policy_id == "cn-retail-default"
    assert lint(policy) == []
    assert lint(json.loads(DEFAULT)) == []


def test_path_text_bytes_and_mapping_give_the_same_identity():
    policies = [
        load_policy(source) for source in (default_policy_path(), str(default_policy_path()), DEFAULT)
    ]
    policies.append(load_policy(json.loads(DEFAULT)))
    assert len({policy.sha256 for policy in policies}) == 1
    assert len(set(policies)) == 1


def test_identity_ignores_spacing_and_key_order_and_sees_values():
    shuffled = json.dumps(dict(reversed(json.loads(DEFAULT).items())), indent=3).encode()
    assert load_policy(shuffled).sha256 == load_policy(DEFAULT).sha256
    assert load_policy(altered("elder.age", 64)).sha256 != load_policy(DEFAULT).sha256


def test_canonical_bytes_give_the_policy_back():
    policy = load_policy(DEFAULT)
    assert load_policy(policy.canonical) == policy
    assert hashlib.sha256(policy.canonical).hexdigest() == policy.sha256


def test_canonical_form_follows_rfc_8785():
    value = {
        "\U0001f600": 1,
        "\ue000": [True, None, -5],
        "b": '\u20ac\x0f\n"\\\x7f</',
        "a": {"z": 0, "y": ""},
    }
    # UTF-16 puts the surrogates of an emoji before U+E000, although its code point is larger.
    expected = '{"a":{"y":"","z":0},"b":"€\\u000f\\n\\"\\\\\x7f</","\U0001f600":1,"\ue000":[true,null,-5]}'
    assert canonical_bytes(value) == expected.encode()


@pytest.mark.parametrize("value", [1.5, {1, 2}, b"x", {"a": "\ud800"}, object])
def test_canonical_form_refuses_other_values(value):
    with pytest.raises(PolicyValueError):
        canonical_bytes(value)


def test_a_policy_cannot_be_changed():
    policy = load_policy(DEFAULT)
    with pytest.raises(TypeError):
        policy.values["elder"]["age"] = 99
    with pytest.raises(FrozenInstanceError):
        policy.sha256 = ""
    assert isinstance(policy.values["halted_products"], tuple)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("schema", "suitability-policy/2"),
        ("policy_id", ""),
        ("effective_from", None),
        ("effective_from", "2026-02-01"),
        ("effective_from", "2026-02-01T00:00:00"),
        ("effective_from", "2026-02-30T00:00:00Z"),
        ("effective_from", "２026-02-01T00:00:00Z"),
        ("effective_to", 0),
        ("jurisdiction_tz", "Asia/Atlantis"),
        ("jurisdiction_tz", "../../etc/passwd"),
        ("jurisdiction_tz", "Asia"),
        ("jurisdiction_tz", 8),
        ("default_decision", "MAYBE"),
        ("assessment.validity_months", "12"),
        ("assessment.validity_months", 12.0),
        ("assessment.validity_months", True),
        ("assessment.validity_months", -1),
        ("assessment.require_reconfirm_on_change", 1),
        ("risk_matrix.CN5.3", 6),
        ("risk_matrix.SRI7", [1, 2, 3]),
        ("risk_score.limit_by_level.5", 10_001),
        ("risk_score.derive_from_level.CN5", [1, 2, 3, 4]),
        ("risk_score.derive_from_level.CN5", [1, 2, 3, 4, None]),
        ("halted_products", "fund-1"),
        ("halted_products", [1]),
        ("halted_issuers", {}),
        ("level_cap", "3"),
        ("target_market.client_type_neutral", "deny"),
        ("response_max_ttl_s", 0),
    ],
)
def test_load_refuses_a_wrong_value_and_names_the_key(path, value):
    with pytest.raises(PolicyValueError) as caught:
        load_policy(altered(path, value))
    assert caught.value.path.startswith(path)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "path", ["waiver", "assessment.validity_days", "risk_matrix.CN7", "risk_matrix.CN5.6", "elder.age "]
)
def test_load_refuses_an_unknown_key_and_names_it(path):
    with pytest.raises(PolicyKeyError, match="unknown key") as caught:
        load_policy(altered(path, 1))
    assert caught.value.path == path


def test_load_refuses_each_missing_key_and_names_it():
    values = json.loads(DEFAULT)
    for name in values:
        with pytest.raises(PolicyKeyError) as caught:
            load_policy({key: value for key, value in values.items() if key != name})
        assert caught.value.path == name


def test_load_refuses_a_duplicate_key_at_any_depth():
    for text, name in ((b'"level_cap": null', "level_cap"), (b'"buffer_months": 0', "buffer_months")):
        with pytest.raises(PolicyKeyError, match="twice") as caught:
            load_policy(DEFAULT.replace(text, text + b", " + text))
        assert caught.value.path == name


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'\xef\xbb\xbf{"schema": 1}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        DEFAULT + b"{}",
    ],
)
def test_load_refuses_what_is_not_one_json_object(data):
    with pytest.raises(PolicySyntaxError):
        load_policy(data)


def test_load_refuses_a_missing_or_enormous_file_and_names_it(tmp_path):
    missing = tmp_path / "missing.json"
    with pytest.raises(PolicyReadError, match=r"missing\.json"):
        load_policy(missing)
    with pytest.raises(PolicyReadError):
        load_policy(tmp_path)
    large = tmp_path / "large.json"
    large.write_bytes(DEFAULT + b" " * (1 << 20))
    with pytest.raises(PolicyReadError, match=r"large\.json"):
        load_policy(large)


def test_every_refusal_is_a_policy_error():
    for kind in (PolicyKeyError, PolicyReadError, PolicySyntaxError, PolicyValueError):
        assert issubclass(kind, PolicyError)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (
            "risk_matrix.SRI7",
            {**dict.fromkeys("01", 2), "2": 2, "3": 3, "4": 4, "5": 6},
            "risk_matrix.SRI7.0",
        ),
        ("risk_matrix.CN5.2", 3, "risk_matrix.CN5.2"),
        ("risk_matrix.CN5.4", 2, "risk_matrix.CN5[4]"),
        ("risk_matrix.SRI7.3", 1, "risk_matrix.SRI7[3]"),
        ("risk_score.limit_by_level.3", 3999, "risk_score.limit_by_level[3]"),
        (
            "risk_score.derive_from_level.CN5",
            [1000, 3000, 5000, 9000, 7000],
            "risk_score.derive_from_level.CN5[4]",
        ),
        (
            "risk_score.limit_by_level",
            {"0": 2500, "1": 2500, "2": 4000, "3": 6000, "4": 8000, "5": 10_000},
            "risk_score.limit_by_level.0: level 0 may see level 1 only, so it must be below "
            "risk_score.derive_from_level.SRI7[1] 2500, got 2500",
        ),
        (
            "risk_score.derive_from_level.CN5",
            [1000, 2000, 5000, 7000, 9000],
            "below risk_score.derive_from_level.CN5[1] 2000, got 2000",
        ),
        ("legal_floor.assessment_validity_months_max", 13, "above the law's 12, got 13"),
        ("legal_floor.elder_age_max", 66, "above the law's 65, got 66"),
        ("legal_floor.assessments_per_day_max", 3, "above the law's 2, got 3"),
        ("legal_floor.assessments_per_12m_max", 9, "above the law's 8, got 9"),
        ("assessment.validity_months", 13, "assessment.validity_months"),
        ("assessment.max_per_day", 3, "assessment.max_per_day"),
        ("assessment.max_per_12m", 9, "assessment.max_per_12m"),
        ("elder.age", 66, "elder.age"),
        ("default_decision", "ALLOW", "default_decision"),
        ("on_unknown", "ALLOW", "on_unknown"),
        ("assessment.require_reconfirm_on_change", False, "require_reconfirm_on_change"),
        ("effective_to", "2026-02-01T00:00:00Z", "effective_to"),
        ("version", "next", "version: expected numbers with dots between, for example 2026.11.0, got 'next'"),
        ("version", "2026.11.", "version: expected numbers"),
        ("version", "2026..11", "version: expected numbers"),
        ("version", "v2026.11", "version: expected numbers"),
        ("version", "2026.11.0-draft", "version: expected numbers"),
        ("version", "2026.11\n", "version: expected numbers"),
        ("version", "\uff12026.11", "version: expected numbers"),
        ("version", "2026.1234567890", "version: expected numbers"),
    ],
)
def test_lint_finds_one_fault_and_names_it(path, value, named):
    findings = lint(load_policy(altered(path, value)))
    assert len(findings) == 1
    assert named in findings[0]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("assessment.validity_months", 6),
        ("elder.age", 60),
        ("level_cap", 3),
        ("risk_matrix.CN5.5", 4),
        ("risk_score.limit_by_level.0", 0),
        ("risk_score.derive_from_level.CN5", [1000, 2001, 5000, 7000, 9000]),
        ("elder.max_level", 5),
        ("target_market.client_type_neutral", "ALLOW"),
        ("version", "7"),
        ("version", "2026.12.01.123456789"),
    ],
)
def test_lint_accepts_what_no_law_forbids(path, value):
    assert lint(altered(path, value)) == []


def test_lint_refuses_a_level_zero_that_sees_level_two():
    findings = lint(altered("risk_matrix.CN5", {"0": 2, "1": 2, "2": 2, "3": 3, "4": 4, "5": 5}))
    assert "risk_matrix.CN5.0: level 0 may see level 1 only, got 2" in findings
    assert "risk_matrix.CN5.1: may not be above 1, got 2" in findings


def test_lint_does_not_let_a_policy_widen_its_own_floor():
    values = json.loads(DEFAULT)
    values["legal_floor"]["elder_age_max"] = values["elder"]["age"] = 70
    assert lint(values) == ["legal_floor.elder_age_max: may not be above the law's 65, got 70"]
    strict = json.loads(DEFAULT)
    strict["legal_floor"]["elder_age_max"] = 60
    assert lint(strict) == ["elder.age: may not be above legal_floor.elder_age_max 60, got 65"]


def test_lint_reports_a_wrong_shape_instead_of_raising():
    assert lint({}) == ["policy key schema: expected a value, got no such key"]
    assert "elder.age" in lint(altered("elder.age", "65"))[0]
