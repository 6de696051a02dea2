"""Tests of `explain`: every predicate has a row, and a row shows the value as the predicate saw it."""

import json
from pathlib import Path

import pytest

from suitability import CODES, PREDICATES, default_policy_path, evaluate, load_policy
from suitability.__main__ import main
from suitability.json_records import decode_record
from suitability.predicates.pair import Pair
from suitability.records import PRODUCT_FIELDS, USER_FIELDS
from suitability.tools.explanation import _ONLY_FOR, expected, explain

RECORDS = json.loads((Path(__file__).parents[1] / "golden" / "suitability.json").read_text("utf-8"))[
    "records"
]
NOW = "2026-11-22T04:00:00Z"
POLICY = load_policy(default_policy_path())
HALT = {
    "schema": "suitability-overlay/1",
    "policy_id": "cn-retail-default",
    "sequence": 1,
    "halted_products": ["fund-1"],
    "halted_issuers": [],
    "level_cap": None,
    "reason": "prospectus withdrawn",
}


@pytest.fixture
def run(tmp_path, capsys):
    """Runs `explain` on a changed golden pair; returns exit status and output."""

    def run(*options, user=None, product=None, kind="fund"):
        for name, record in (("user", {**RECORDS["user"], **(user or {})}), (kind, RECORDS[kind])):
            changed = record if name == "user" else {**record, **(product or {})}
            stated = {field: value for field, value in changed.items() if value != "absent"}
            (tmp_path / f"{name}.json").write_text(json.dumps(stated))
        files = ["--user", str(tmp_path / "user.json"), "--product", str(tmp_path / f"{kind}.json")]
        status = main(["explain", *files, "--now", NOW, *options])
        captured = capsys.readouterr()
        return status, captured.out or captured.err

    return run


def predicates_of(output):
    return {row["name"]: row for row in json.loads(output)["predicates"]}


def value_of(row, record, field):
    return next(each for each in row["values"] if (each["record"], each["field"]) == (record, field))


def test_an_eligible_pair_has_a_row_for_every_predicate_and_an_end(run):
    status, output = run("--json")
    document = json.loads(output)
    assert status == 0
    assert document["eligible"]
    assert [row["number"] for row in document["predicates"]] == list(range(27))
    assert {row["verdict"] for row in document["predicates"]} == {"passes", "does not apply"}
    assert document["valid_until"] == "2026-11-22T04:05:00Z"
    assert document["warnings"] == ["W_FIRST_AT_LEVEL", "W_CAN_LOSE_CAPITAL"]
    assert (document["effective_level"], document["rated"]) == (3, True)
    assert (document["effective_risk_score"], document["risk_score_limit"]) == (4200, 6000)
    assert document["policy_sha256"] == POLICY.sha256


def test_a_denied_pair_has_its_codes_in_their_rows(run):
    status, output = run("--json", user={"risk_level": 2, "blocked": True})
    document = json.loads(output)
    assert status == 1
    assert document["codes"] == ["USR_RESTRICTED", "MAT_LEVEL_OVER_TOLERANCE", "MAT_RISK_SCORE_OVER_LIMIT"]
    rows = predicates_of(output)
    assert {row["code"] for row in rows.values() if row["verdict"] == "denies"} == set(document["codes"])
    assert rows["risk_match"]["text"]["en"] == CODES["MAT_LEVEL_OVER_TOLERANCE"].text
    assert rows["risk_match"]["text"]["zh"] == CODES["MAT_LEVEL_OVER_TOLERANCE"].text_zh
    assert rows["user"]["disclosable"] is False
    assert document["valid_until"] == NOW
    assert document["warnings"] == []


@pytest.mark.parametrize(
    ("value", "missing"),
    [
        ("absent", "not stated"),
        (None, "not stated"),
        ("5", 'malformed: "5", expected integer 0..5'),
        (True, "malformed: true, expected integer 0..5"),
        (5.0, "malformed: 5.0, expected integer 0..5"),
        (6, "malformed: 6, expected integer 0..5"),
        ([5], "malformed: [5], expected integer 0..5"),
        ("9" * 100, 'malformed: "' + "9" * 59 + "..., expected integer 0..5"),
    ],
)
def test_a_missing_value_says_why(run, value, missing):
    _, output = run("--json", user={"risk_level": value})
    reading = value_of(predicates_of(output)["assessment"], "user", "risk_level")
    assert reading == {
        "record": "user",
        "field": "risk_level",
        "value": None,
        "missing": missing,
        "assumed": False,
    }


def test_every_kind_of_value_is_shown_as_it_was_read(run):
    rows = predicates_of(run("--json")[1])
    shown = {
        (row["name"], value["field"]): value["value"] for row in rows.values() for value in row["values"]
    }
    assert shown["user", "pseudonym"] == "01" * 16
    assert shown["staleness", "profile_as_of"] == "2026-11-22T03:00:00Z"
    assert shown["age", "birth_date"] == "1986-05-17"
    assert shown["knowledge", "knowledge"] == {"FUND": 2, "INS_PROTECTION": 1}
    assert shown["channel", "channels"] == ["app", "web"]
    assert shown["objectives", "objectives_n"] == []
    assert shown["user", "blocked"] is False
    assert shown["affordability", "liquid"] == 50_000_000


def test_policy_values_are_those_that_were_used(run):
    rows = predicates_of(run("--json")[1])
    assert rows["elder"]["policy"]["elder.age"] == 65
    assert rows["risk_match"]["policy"]["risk_matrix"]["CN5"]["3"] == 3
    assert rows["risk_match"]["policy"]["level_cap"] is None


def test_an_assumed_field_is_marked_in_every_row_that_reads_it(run):
    status, output = run("--json", user={"assumed": ["liquid"]}, product={"assumed": ["min_amount"]})
    readings = [
        (row["name"], value["field"], value["assumed"])
        for row in predicates_of(output).values()
        for value in row["values"]
        if value["field"] in {"liquid", "min_amount"}
    ]
    assert status == 0
    assert "W_ASSUMED_DATA" in json.loads(output)["warnings"]
    assert len(readings) == 5
    assert all(assumed for *_, assumed in readings)
    assert "user.liquid = 50000000 (assumed)" in run(user={"assumed": ["liquid"]})[1]


def test_learning_content_is_outside_the_financial_rows(run):
    status, output = run("--json", kind="course")
    verdicts = [row["verdict"] for row in json.loads(output)["predicates"]]
    assert status == 0
    assert verdicts == ["passes"] * 4 + ["does not apply"] * 23


def test_a_row_that_does_not_apply_is_one_that_its_predicate_passes_unseen():
    fund = decode_record(RECORDS["fund"], PRODUCT_FIELDS)
    cover = decode_record(RECORDS["insurance"], PRODUCT_FIELDS)
    unfit = {"rated": cover, "investment": cover, "insurance": fund, "credit-like": fund}
    predicates = {predicate.name: predicate for predicate in PREDICATES}
    now = decode_record({"sale_end": NOW}, PRODUCT_FIELDS)["sale_end"]
    assert len(_ONLY_FOR) == 8
    for name, kind in _ONLY_FOR.items():
        assert predicates[name].function(Pair({}, unfit[kind], POLICY, now, "app")) is None
        row = next(row for row in explain({}, unfit[kind], POLICY, now, "app").rows if row.name == name)
        assert row.verdict == "does not apply"


def test_the_rows_give_the_codes_of_the_verdict_for_every_missing_field():
    user = decode_record(RECORDS["user"], USER_FIELDS)
    now = decode_record({"sale_end": NOW}, PRODUCT_FIELDS)["sale_end"]
    denied = 0
    for kind in ("fund", "insurance", "course"):
        product = decode_record(RECORDS[kind], PRODUCT_FIELDS)
        pairs = [({k: v for k, v in user.items() if k != name}, product) for name in USER_FIELDS]
        pairs += [(user, {k: v for k, v in product.items() if k != name}) for name in PRODUCT_FIELDS]
        for pair in pairs:
            found = explain(*pair, POLICY, now, "app")
            assert {row.code for row in found.rows if row.code} == found.codes
            assert found.codes == evaluate(*pair, POLICY, now, "app")
            denied += bool(found.codes)
    assert denied >= 60


def test_every_field_says_what_it_expects():
    fields = [*USER_FIELDS.values(), *PRODUCT_FIELDS.values()]
    assert all(expected(field) for field in fields)
    assert expected(USER_FIELDS["capacity"]) == "one of FULL, LIMITED, NONE"
    assert expected(USER_FIELDS["knowledge"]) == "object from text to integer 0..3"
    assert expected(USER_FIELDS["jurisdiction"]) == "text like [A-Z]{2}"


def test_an_overlay_is_applied_and_named(run, tmp_path):
    path = tmp_path / "halt.json"
    path.write_text(json.dumps(HALT))
    status, output = run("--overlay", str(path), "--json")
    assert status == 1
    assert json.loads(output)["codes"] == ["PRD_HALTED"]
    assert predicates_of(output)["status"]["policy"]["halted_products"] == ["fund-1"]
    assert "overlay: sequence 1: prospectus withdrawn" in run("--overlay", str(path))[1]


def test_policy_channel_limit_and_clock_are_those_that_were_given(run, tmp_path):
    assert json.loads(run("--channel", "branch", "--json")[1])["codes"] == ["PRD_CHANNEL_NOT_PERMITTED"]
    assert json.loads(run("--risk-score-limit", "4199", "--json")[1])["codes"] == [
        "MAT_RISK_SCORE_OVER_LIMIT"
    ]
    late = json.loads(run("--now", "2027-01-01T00:00:00Z", "--json")[1])
    assert "PRD_OUTSIDE_WINDOW" in late["codes"]
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({**json.loads(default_policy_path().read_bytes()), "level_cap": 2}))
    assert json.loads(run("--policy", str(path), "--json")[1])["codes"] == ["MAT_LEVEL_OVER_CAP"]


def test_the_table_shows_reasons_texts_and_summary(run):
    status, output = run(user={"risk_level": "3", "blocked": True})
    assert status == 1
    assert 'malformed: "3", expected' in output
    assert "The user must not" in output
    assert "DENIED: USR_RESTRICTED, USR_ASSESSMENT_MISSING" in output
    assert "limit: unknown, the risk level is missing" in output
    assert CODES["USR_RESTRICTED"].text_zh not in output
    assert CODES["USR_RESTRICTED"].text_zh in run("--language", "zh", user={"blocked": True})[1]


def test_a_value_that_looks_like_markup_is_shown_as_it_is(run):
    assert "product.issuer = [red]" in run(product={"issuer": "[red]"})[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--risk-score-limit", "10001"], "0 to 10000"),
        (["--risk-score-limit", "\uff15"], "0 to 10000"),
        (["--risk-score-limit", "-1"], "0 to 10000"),
        (["--now", "2026-11-22"], "RFC 3339"),
        (["--now", "yesterday"], "RFC 3339"),
        (["--language", "fr"], "--language"),
    ],
)
def test_a_bad_option_is_refused_with_its_reason(run, capsys, options, words):
    with pytest.raises(SystemExit) as caught:
        run(*options)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_bad_input_ends_in_one_line_and_status_two(run, tmp_path):
    missing = str(tmp_path / "none.json")
    cases = [
        ({"user": {"rsik_level": 3}}, [], "user.json key user.rsik_level: expected"),
        ({"product": {"assumed": "all"}}, [], "product.assumed"),
        ({}, ["--policy", missing], "none.json"),
        ({}, ["--overlay", missing], "none.json: cannot read"),
    ]
    for changes, options, words in cases:
        status, error = run(*options, **changes)
        assert status == 2
        assert words in error
        assert len(error.splitlines()) == 1
