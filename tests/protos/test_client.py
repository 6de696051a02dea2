"""The command line and the client, against a server with fixed answers."""

import json
from pathlib import Path

import pytest
from prudence.__main__ import main
from prudence.client import Client
from prudence.errors import CallError, CallFault, FieldViolation
from prudence.v1 import recommendation_pb2 as pb

USER = {
    "user_id": "u1",
    "profile": {"risk_level": 3, "us_person": False, "knowledge": {"values": {"FUND": "2"}}},
    "history": [{"product_id": "C1", "event_type": "EVENT_TYPE_CLICK", "event_time": "2026-01-02T03:04:05Z"}],
}


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "user.json"
    path.write_text(json.dumps(USER), encoding="utf-8")
    return path


def test_recommend_prints_a_table(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["recommend", "--target", target, "--user", "u1", "--risk-score-limit", "4000"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "#",
        "product",
        "title",
        "family",
        "level",
        "risk",
        "score",
        "score",
        "warnings",
    ]
    assert lines[2].split("  ")[-1] == "W_ASSUMED_DATA"
    assert "3100 <= 4000" in lines[2]
    assert "note: FEWER_ELIGIBLE_THAN_K" in lines
    table = lines[lines.index("withheld because           among those searched") :]
    assert table[1] == "MAT_RISK_SCORE_OVER_LIMIT  7"


def test_recommend_says_what_withheld_products_are_counted_among(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["recommend", "--target", target, "--user", "u1", "--count-all"])
    out = capsys.readouterr().out
    assert "in the whole domain" in out
    assert "among those searched" not in out


def test_recommend_keeps_columns_straight_under_chinese_titles(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["recommend", "--target", target, "--user", "u1"])
    course, fund = capsys.readouterr().out.splitlines()[1:3]
    # Four characters of two columns each: the same place on the screen is four positions earlier in the text.
    assert course.index("COURSE") + 4 == fund.index("FUND")


def test_recommend_shows_the_trace_when_asked(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["recommend", "--target", target, "--user", "u1", "--trace"])
    out = capsys.readouterr().out
    assert "1.234 ms" in out
    assert "for example" in out
    assert "F9 (risk score 6100)" in out
    assert "faiss IndexFlat" in out


def test_recommend_says_that_a_list_was_chosen_for_variety(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["recommend", "--target", target, "--user", "u1"])
    assert "variety" not in capsys.readouterr().out
    main(["recommend", "--target", target, "--user", "u1", "--diversity", "0.75"])
    assert "note: chosen for variety, trade-off 0.75; not in order of score" in capsys.readouterr().out


def test_recommend_names_the_variants_of_the_user(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["recommend", "--target", target, "--user", "experimental"])
    assert "note: variant new of experiment tower" in capsys.readouterr().out


def test_recommend_prints_json(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--target", target, "--user", "u1", "--k", "1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [product["product_id"] for product in answer["products"]] == ["C1"]


def test_recommend_reads_a_user_file(
    target: str, user_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recommend", "--target", target, "--user-file", str(user_file)]) == 0
    assert "Steady Fund" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["score", "--user", "u1", "C1", "F1"], ["C1", "not eligible", "unknown to the bundle: Z9"]),
        (["eligible", "--user", "u1", "F1"], ["F1", "not eligible", "USR_ASSESSMENT_EXPIRED"]),
        (["similar", "--user", "u1", "F1"], ["no products", "NOTHING_ELIGIBLE", "bundle b1"]),
        (["info"], ["two_tower", "system_clock", "yes"]),
        (["health"], ["SERVING"]),
    ],
)
def test_every_command_prints_its_answer(
    target: str, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: list[str]
) -> None:
    assert main([arguments[0], "--target", target, *arguments[1:]]) == 0
    out = capsys.readouterr().out
    assert [text for text in expected if text not in out] == []


def test_every_reason_against_a_product_has_its_remedy_and_text(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["eligible", "--target", target, "--user", "u1", "F1", "F2"])
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[1] == ["F1", "not eligible", "USR_ASSESSMENT_EXPIRED", "REASSESS", "It has expired."]
    assert cells[2] == ["MAT_LEVEL_OVER_TOLERANCE (waivable)", "NONE"]
    assert cells[3][0] == "F2"


def test_policy_show_prints_what_is_in_force_and_what_comes(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "show", "--target", target]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:4] for line in out.splitlines()[1:3]] == [
        ["in", "force", "cn", "2026.11"],
        ["scheduled", "cn", "2027.1", "cc"],
    ]
    assert 'overlay 7, hash bb\n{"reason":"召回"}' in out
    assert "changes need signatures" in out


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (
            "overlay",
            ["overlay 8 is in force, hash 6f6e65", "not in this bundle: F0237, F0238", "bundle: Nobody"],
        ),
        ("activate", ["policy 6f6e65 is scheduled for", "replaces what was scheduled: 2027.1"]),
    ],
)
def test_policy_changes_send_both_files_as_they_are(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], action: str, expected: list[str]
) -> None:
    document, signatures = tmp_path / "document", tmp_path / "signatures"
    document.write_bytes(b"one")
    signatures.write_bytes(b"two")
    arguments = ["policy", action, "--target", target, str(document), "--signatures", str(signatures)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert [text for text in expected if text not in out] == []
    signatures.unlink()
    assert main(arguments) == 2
    assert "signatures" in capsys.readouterr().err


def test_a_refused_change_gives_status_1_and_its_reason(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.json"
    empty.write_text("{}")
    arguments = ["policy", "overlay", "--target", target, str(empty), "--signatures", str(empty)]
    assert main(arguments) == 1
    assert "FAILED_PRECONDITION SIGNATURE_INVALID: nobody signed" in capsys.readouterr().err


def test_a_refused_field_is_named_with_its_reason(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--target", target, "--user", "u1", "--k", "0"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "INVALID_ARGUMENT FIELD_OUT_OF_RANGE: k is out of range" in captured.err
    assert "field k: expected 1 to 1000, not 0" in captured.err
    assert "request id r1" in captured.err


def test_a_refused_field_is_described_once() -> None:
    """The real server's message consists of the field and its description."""
    violation = FieldViolation("k", "expected 1 to 1000, got 0")
    fault = CallFault("INVALID_ARGUMENT", "k: expected 1 to 1000, got 0", violations=(violation,))
    assert str(CallError(fault)) == "INVALID_ARGUMENT: k: expected 1 to 1000, got 0"


def test_an_unhealthy_service_gives_status_1(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--target", target, "--service", "draining"]) == 1
    assert capsys.readouterr().out == "NOT_SERVING\n"


def test_an_unknown_service_gives_status_1(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["health", "--target", target, "--service", "nobody"]) == 1
    assert "NOT_FOUND" in capsys.readouterr().err


def test_an_unreachable_server_gives_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    # Port 1 needs privileges to bind and nothing listens there.
    assert main(["info", "--target", "127.0.0.1:1", "--timeout", "5"]) == 1
    assert "127.0.0.1:1: UNAVAILABLE" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["recommend", "--user", "u1"],
        ["recommend", "--target", "localhost:1"],
        ["recommend", "--target", "localhost:1", "--user", "u1", "--domain", "stars"],
        ["recommend", "--target", "localhost:1", "--user", "u1", "--k", "many"],
        ["recommend", "--target", "localhost:1", "--user", "u1", "--k", "2147483648"],
        ["eligible", "--target", "localhost:1", "--user", "u1", "--risk-score-limit", "-2147483649", "p1"],
        ["info", "--target", "localhost:1", "--timeout", "0"],
        ["policy"],
        ["policy", "overlay", "--target", "localhost:1", "overlay.json"],
        ["score", "--target", "localhost:1", "--user", "u1"],
    ],
)
def test_wrong_usage_gives_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: prudence" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "expected the JSON form of prudence.v1.User"),
        ('{"user_id": "u1", "shoe_size": 43}', "shoe_size"),
        ('{"profile": {"client_type": "CLIENT_TYPE_ROYAL"}}', "CLIENT_TYPE_ROYAL"),
        ('{"profile": {"risk_level": "high"}}', "risk_level"),
        ("\udcff", "expected the JSON form"),
    ],
)
def test_a_bad_user_file_gives_status_2_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, expected: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    assert main(["recommend", "--target", "localhost:1", "--user-file", str(path)]) == 2
    err = capsys.readouterr().err
    assert "bad.json" in err
    assert expected in err


def test_a_missing_user_file_gives_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "absent.json"
    assert main(["recommend", "--target", "localhost:1", "--user-file", str(path)]) == 2
    assert "absent.json" in capsys.readouterr().err


def test_the_client_takes_a_fault_apart(target: str) -> None:
    with Client(target) as client, pytest.raises(CallError) as caught:
        client.recommend(pb.RecommendRequest(k=-1))
    fault = caught.value.fault
    assert (fault.code, fault.reason, fault.request_id) == ("INVALID_ARGUMENT", "FIELD_OUT_OF_RANGE", "r1")
    assert fault.violations == (FieldViolation("k", "expected 1 to 1000, not -1"),)
    assert fault.retry_delay_s is None


def test_the_client_says_when_to_retry(target: str) -> None:
    with Client(target) as client, pytest.raises(CallError, match=r"retry after 0\.25 s") as caught:
        client.recommend(pb.RecommendRequest(k=1, user={"user_id": "hurry"}))
    assert caught.value.fault.retry_delay_s == 0.25


def test_the_client_reports_a_fault_without_details(target: str) -> None:
    with Client(target) as client, pytest.raises(CallError, match="INTERNAL: no details here"):
        client.recommend(pb.RecommendRequest(k=1, user={"user_id": "plain"}))


def test_the_client_reports_a_method_the_server_lacks(target: str) -> None:
    with Client(target) as client, pytest.raises(CallError, match=r"UNIMPLEMENTED(?s:.*)--admin-port"):
        client.batch_recommend(pb.BatchRecommendRequest())
