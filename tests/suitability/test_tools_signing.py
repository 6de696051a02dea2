"""Tests of `lint`, `keygen`, `sign` and `verify` as an officer uses them."""

import json
import stat
import subprocess
import sys

import pytest

from suitability import default_policy_path, load_policy
from suitability.__main__ import main
from suitability.errors import WriteError
from suitability.signatures import load_private_key, load_signatures, public_key_of
from suitability.tools.atomic_files import write_new, write_over

DEFAULT = default_policy_path().read_text("utf-8")
HALT = {
    "schema": "suitability-overlay/1",
    "policy_id": "cn-retail-default",
    "sequence": 1,
    "halted_products": ["fund-1"],
    "halted_issuers": [],
    "level_cap": None,
    "reason": "prospectus withdrawn",
}
AT = "2026-11-22T04:00:00Z"


@pytest.fixture
def call(capsys):
    """Runs a command; returns exit status, output and errors."""

    def call(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def office(tmp_path, call):
    """Holds a policy, an overlay, two officers' keys, and the file of public keys."""
    (tmp_path / "policy.json").write_text(DEFAULT)
    (tmp_path / "halt.json").write_text(json.dumps(HALT))
    entries = []
    for name, key_id in (("Li Wei", "li-wei"), ("An Na", "an-na")):
        status, out, _ = call(
            "keygen", "--out", tmp_path / f"{key_id}.pem", "--name", name, "--key-id", key_id
        )
        assert status == 0
        entries.append(json.loads(out))
    (tmp_path / "keys.json").write_text(json.dumps({"schema": "suitability-keys/1", "keys": entries}))
    return tmp_path


def sign_as(call, office, key_id, file="policy.json", purpose="activate", at=AT):
    key = ("--key", office / f"{key_id}.pem", "--key-id", key_id)
    return call("sign", office / file, *key, "--purpose", purpose, "--signed-at", at)


def verify(call, office, *options, file="policy.json", now=AT):
    return call("verify", office / file, "--keys", office / "keys.json", "--now", now, *options)


def test_lint_says_that_the_shipped_policy_is_fit_and_which_it_is(call):
    status, out, _ = call("lint", default_policy_path())
    policy = load_policy(default_policy_path())
    assert status == 0
    assert out.splitlines() == ["cn-retail-default 2026.11.0", f"sha256 {policy.sha256}", "fit"]


def test_lint_lists_findings_with_their_keys(call, tmp_path):
    path = tmp_path / "policy.json"
    path.write_text(DEFAULT.replace('"age": 65', '"age": 66').replace('"max_per_day": 2', '"max_per_day": 3'))
    status, out, _ = call("lint", path)
    assert status == 1
    assert "elder.age: may not be above legal_floor.elder_age_max 65, got 66" in out
    assert "assessment.max_per_day" in out
    assert out.splitlines()[-1] == "unfit: 2 findings"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"require_reconfirm_on_change": true', '"require_reconfirm_on_change": yes', "JSON"),
        ('"require_reconfirm_on_change": true', '"require_reconfirm_on_change": True', "JSON"),
        ('"require_reconfirm_on_change": true', '"require_reconfirm_on_change": "yes"', "true or false"),
        ('"level_cap": null', '"level_cap": ~', "JSON"),
        ('"level_cap": null', '"level_cap":', "JSON"),
        ('"level_cap": null', '"level_cap": NaN', "NaN"),
        ('"level_cap": null', '"level_cap": 1e0', "level_cap"),
        ('"level_cap": null', '"level_cap": 03', "JSON"),
        ('"level_cap": null', '"level_cap": 0o3', "JSON"),
        ('"level_cap": null', "level_cap: null", "JSON"),
        ('"level_cap": null', "'level_cap': null", "JSON"),
        ('"level_cap": null,', '"level_cap": null, # none', "JSON"),
        ('"level_cap": null,', '"level_cap": null, /* none */', "JSON"),
        ('"level_cap": null', '"level_cap": null, "level_cap": null', "twice"),
        ('"level_cap": null', '"level_cap": null, "waivers": []', "waivers"),
        ('"response_max_ttl_s": 300', '"response_max_ttl_s": 300,', "JSON"),
        ('"cn-retail-default"', '"cn-retail\tdefault"', "JSON"),
        ("{", "---\n{", "JSON"),
    ],
)
def test_lint_refuses_what_is_no_policy_in_one_line(call, tmp_path, old, new, words):
    path = tmp_path / "policy.json"
    path.write_text(DEFAULT.replace(old, new, 1))
    status, out, err = call("lint", path)
    assert (status, out) == (2, "")
    assert words in err
    assert err.startswith(f"error: policy {path}")
    assert len(err.splitlines()) == 1


def test_keygen_writes_a_key_of_its_owner_and_shows_the_public_half_only(call, tmp_path):
    path = tmp_path / "key.pem"
    status, out, err = call("keygen", "--out", path, "--name", "李伟", "--key-id", "li-wei")
    entry = json.loads(out)
    assert (status, err) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert entry == public_key_of(load_private_key(path), key_id="li-wei", name="李伟").values()
    assert path.read_text().splitlines()[1] not in out


def test_keygen_replaces_no_key(call, office):
    before = (office / "li-wei.pem").read_bytes()
    status, _, err = call("keygen", "--out", office / "li-wei.pem", "--name", "Li Wei", "--key-id", "x")
    assert status == 2
    assert "File exists" in err
    assert (office / "li-wei.pem").read_bytes() == before


def test_keygen_refuses_a_blank_name_before_it_writes(call, tmp_path):
    assert call("keygen", "--out", tmp_path / "key.pem", "--name", " ", "--key-id", "x")[0] == 2
    assert list(tmp_path.iterdir()) == []


def test_two_people_sign_one_after_the_other(call, office):
    assert "1 of 2" in sign_as(call, office, "li-wei")[1]
    status, out, _ = verify(call, office)
    assert status == 1
    assert "expected 2 different people with different keys, got 1 with 1" in out
    assert "2 of 2" in sign_as(call, office, "an-na", at="2026-11-22T05:00:00+01:00")[1]
    status, out, _ = verify(call, office)
    assert status == 0
    assert "li-wei (Li Wei), to activate, 2026-11-22T04:00:00Z" in out
    assert out.splitlines()[-1] == "holds to activate: signed by Li Wei, An Na"


def test_more_signatures_than_needed_are_counted_as_such(call, office):
    sign_as(call, office, "li-wei", file="halt.json", purpose="tighten")
    out = sign_as(call, office, "an-na", file="halt.json", purpose="tighten")[1]
    assert out.endswith("halt.json.sig.json holds 2 signatures, needed: 1\n")


def test_signing_again_replaces_the_own_signature_only(call, office):
    sign_as(call, office, "li-wei")
    sign_as(call, office, "an-na")
    sign_as(call, office, "li-wei", at="2026-11-22T06:00:00Z")
    signatures = load_signatures(office / "policy.json.sig.json").signatures
    assert [(each.key_id, each.signed_at.hour) for each in signatures] == [("an-na", 4), ("li-wei", 6)]


def test_one_person_tightens_and_two_loosen(call, office):
    sign_as(call, office, "li-wei", file="halt.json", purpose="tighten")
    assert verify(call, office, file="halt.json")[0] == 0
    status, out, _ = verify(call, office, "--purpose", "loosen", file="halt.json")
    assert status == 1
    assert "expected loosen, got signatures to tighten" in out
    (office / "halt.json.sig.json").unlink()
    sign_as(call, office, "li-wei", file="halt.json", purpose="loosen")
    assert verify(call, office, file="halt.json")[0] == 1
    sign_as(call, office, "an-na", file="halt.json", purpose="loosen")
    assert verify(call, office, file="halt.json")[0] == 0


@pytest.mark.parametrize(
    ("file", "purpose"), [("policy.json", "tighten"), ("policy.json", "loosen"), ("halt.json", "activate")]
)
def test_a_purpose_is_for_its_kind_of_document(call, office, file, purpose):
    status, _, err = sign_as(call, office, "li-wei", file=file, purpose=purpose)
    assert status == 2
    assert "purpose" in err
    assert not (office / f"{file}.sig.json").exists()


def test_a_policy_that_fails_lint_is_not_signed(call, office):
    (office / "policy.json").write_text(DEFAULT.replace('"age": 65', '"age": 66'))
    status, _, err = sign_as(call, office, "li-wei")
    assert status == 2
    assert "fails lint" in err
    assert "elder.age" in err
    assert not (office / "policy.json.sig.json").exists()


def test_a_changed_policy_must_be_signed_from_the_start(call, office):
    sign_as(call, office, "li-wei")
    (office / "policy.json").write_text(DEFAULT.replace('"level_cap": null', '"level_cap": 4'))
    before = (office / "policy.json.sig.json").read_bytes()
    status, _, err = sign_as(call, office, "an-na")
    assert status == 2
    assert "let everybody sign again" in err
    assert (office / "policy.json.sig.json").read_bytes() == before
    status, out, _ = verify(call, office)
    assert status == 1
    assert "got signatures of another" in out


def test_other_spacing_is_the_same_policy(call, office):
    sign_as(call, office, "li-wei")
    (office / "policy.json").write_text(json.dumps(json.loads(DEFAULT), indent=8))
    assert "2 of 2" in sign_as(call, office, "an-na")[1]
    assert verify(call, office)[0] == 0


def test_verify_knows_when_signatures_are_stale(call, office):
    sign_as(call, office, "li-wei")
    sign_as(call, office, "an-na")
    assert verify(call, office, now="2026-12-22T04:00:00Z")[0] == 0
    status, out, _ = verify(call, office, now="2026-12-22T04:00:01Z")
    assert status == 1
    assert "expected at most 30 days ago, got 2026-11-22T04:00:00Z: the signature is stale" in out
    assert verify(call, office, "--days-max", "60", now="2026-12-22T04:00:01Z")[0] == 0
    assert verify(call, office, now="2026-11-22T03:55:00Z")[0] == 0
    assert "in the future" in verify(call, office, now="2026-11-22T03:54:59Z")[1]


def test_verify_names_unknown_keys_as_unknown(call, office):
    sign_as(call, office, "li-wei")
    (office / "keys.json").write_text('{"schema": "suitability-keys/1", "keys": []}')
    status, out, _ = verify(call, office)
    assert status == 1
    assert "li-wei (unknown)" in out


def test_verify_does_not_accept_a_signed_policy_that_is_unfit(call, office, monkeypatch):
    (office / "policy.json").write_text(DEFAULT.replace('"age": 65', '"age": 66'))
    monkeypatch.setattr("suitability.tools.signed_documents.lint", lambda policy: [])
    sign_as(call, office, "li-wei")
    sign_as(call, office, "an-na")
    monkeypatch.undo()
    status, out, _ = verify(call, office)
    assert status == 1
    assert "signed but unfit: elder.age" in out


def test_bad_files_end_in_one_line_and_status_two(call, office):
    (office / "other.json").write_text('{"schema": "suitability-policy/2"}')
    (office / "li-wei.pem").chmod(0o640)
    cases = [
        (call("lint", office / "none.json"), "none.json: cannot read"),
        (sign_as(call, office, "an-na", file="other.json"), "other.json key schema: expected"),
        (sign_as(call, office, "li-wei"), "mode 600, got 640"),
        (verify(call, office), "policy.json.sig.json: cannot read"),
        (verify(call, office, "--signatures", office / "keys.json"), "keys.json key"),
        (verify(call, office, "--signatures", office / "none.json"), "none.json: cannot read"),
    ]
    for (status, out, err), words in cases:
        assert (status, out) == (2, "")
        assert words in err
        assert len(err.splitlines()) == 1


def test_a_purpose_that_does_not_exist_is_refused(call, office):
    status, _, err = sign_as(call, office, "li-wei", purpose="waive")
    assert status == 2
    assert "activate" in err


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_over(path, b"one")
    write_over(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    with pytest.raises(WriteError, match="File exists"):
        write_new(path, b"three")
    with pytest.raises(WriteError, match="none"):
        write_over(tmp_path / "none" / "file", b"four")
    taken = tmp_path / "taken"
    taken.mkdir()
    with pytest.raises(WriteError):
        write_over(taken, b"five")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "taken"]


def test_the_command_line_lists_its_commands():
    done = subprocess.run(
        [sys.executable, "-m", "suitability", "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    for command in ("lint", "explain", "simulate", "keygen", "sign", "verify"):
        assert f"    {command} " in done.stdout
