"""Pseudonyms and their keys: who gets which, who may read the keys, and what a wrong file does."""

import json
from pathlib import Path

import pytest

from server.errors import PseudonymKeyError
from server.users.pseudonyms import (
    PSEUDONYM_BYTES,
    Pseudonyms,
    add_epoch,
    load_pseudonyms,
    make_key_file,
    make_process_pseudonyms,
)
from tests.server.conftest import run_command

KEYS = {1: b"a" * 32, 3: b"c" * 32}


def test_pseudonyms_differ_by_user_and_do_not_hold_the_id() -> None:
    names = [Pseudonyms(KEYS).derive(user_id) for user_id in ("ana", "bo", "")]
    assert len(set(names)) == 3
    assert {len(name) for name in names} == {PSEUDONYM_BYTES}
    assert not any(b"ana" in name for name in names)


def test_a_pseudonym_is_the_epoch_and_an_hmac_under_its_key() -> None:
    one, both = Pseudonyms({1: KEYS[1]}), Pseudonyms(KEYS)
    # Computed with openssl dgst -mac HMAC: a change here would leave every stored user unknown.
    assert one.derive("ana").hex() == "0001f112eb11dd65f96ad0050248df02f2af8f1cb88e4042ae330b04f298acacbbb1"
    assert both.derive("ana") == both.derive_all("ana")[0]
    assert both.derive_all("ana")[1:] == one.derive_all("ana")
    assert [int.from_bytes(name[:2], "big") for name in both.derive_all("ana")] == [3, 1]


def test_a_digest_outlives_a_new_epoch_and_differs_by_key() -> None:
    assert Pseudonyms({1: KEYS[1]}).digest(b"x") == Pseudonyms(KEYS).digest(b"x")
    assert make_process_pseudonyms().digest(b"x") != make_process_pseudonyms().digest(b"x")


def test_a_key_file_is_for_its_owner_and_never_made_over_another(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    make_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    before = load_pseudonyms(path)
    with pytest.raises(PseudonymKeyError, match="File exists"):
        make_key_file(path)
    assert load_pseudonyms(path).fingerprints == before.fingerprints


def test_a_new_epoch_keeps_the_keys_before_it(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    make_key_file(path)
    before = load_pseudonyms(path)
    assert add_epoch(path) == 2
    after = load_pseudonyms(path)
    assert after.derive_all("ana")[1:] == before.derive_all("ana")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    make_key_file(path)
    path.chmod(mode)
    with pytest.raises(PseudonymKeyError, match=f"mode 0600.*{mode:04o}"):
        load_pseudonyms(path)


KEY = {"epoch": 1, "key": "ab" * 32}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        json.dumps({"format": "other/1", "keys": [KEY]}).encode(),
        *[
            json.dumps({"format": "prudence-pseudonym-keys/1", "keys": keys}).encode()
            for keys in (
                [],
                [KEY, KEY],
                [KEY | {"epoch": 0}],
                [KEY | {"epoch": True}],
                [KEY | {"epoch": 65536}],
                [KEY | {"key": "ab"}],
                [KEY | {"key": "zz" * 32}],
                [5],
            )
        ],
    ],
)
def test_what_is_no_key_file_is_refused_without_showing_it(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "keys"
    path.write_bytes(body)
    path.chmod(0o600)
    with pytest.raises(PseudonymKeyError, match="not a key file of format") as refusal:
        load_pseudonyms(path)
    assert "ab" * 8 not in str(refusal.value)


def test_a_missing_key_file_is_refused_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(PseudonymKeyError, match="make-keys"):
        load_pseudonyms(tmp_path / "none")


def test_the_command_line_makes_keys_and_epochs(tmp_path: Path) -> None:
    path = str(tmp_path / "keys")
    assert run_command("make-keys", path).returncode == 0
    assert run_command("make-keys", path).returncode == 1
    assert "epoch 2" in run_command("add-key-epoch", path).stderr
    assert sorted(load_pseudonyms(Path(path)).fingerprints) == [1, 2]
