"""A server with publishers' keys serves nothing that none of them signed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from index.errors import BundleSignatureError
from index.signing import sign_bundle
from server.bundles.listing import list_bundles
from server.bundles.machine import Machine
from server.bundles.messages import Facts, Reason, Refusal
from server.bundles.opener import Opener
from server.bundles.state import State
from server.config import Settings
from server.doctor import examine
from server.errors import SnapshotError
from server.snapshot import load_fit_policy
from suitability.signatures import KEYS_SCHEMA_NAME, generate_private_key, private_key_pem, public_key_of
from tests.server.cases import NOW
from tests.server.conftest import CLOCK, ROOT, Platform, run_command, start_server


def write_key(key: Path, keys: Path) -> None:
    """Makes a key, and a file of public keys that holds no other."""
    private = generate_private_key()
    key.touch(mode=0o600)
    key.write_bytes(private_key_pem(private))
    entry = public_key_of(private, key_id="mei", name="Mei Lin").values()
    keys.write_text(json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": [entry]}), encoding="utf-8")


def test_an_unsigned_bundle_stops_the_start_and_a_signed_one_is_announced(
    platform: Platform, tmp_path: Path
) -> None:
    bundles, keys, key = tmp_path / "bundles", tmp_path / "keys.json", tmp_path / "key.pem"
    shutil.copytree(platform.bundles, bundles)
    write_key(key, keys)
    arguments = ("--bundles", str(bundles), "--bundle-keys", str(keys), "--clock", CLOCK)
    ended = run_command(*arguments, "--port", "0")
    assert ended.returncode == 1
    assert "bundle test-1: signatures.json: not there: the bundle is unsigned" in ended.stderr
    (unsigned,) = [found for found in examine("cpu", bundles, keys) if found.subject == "bundle"]
    assert not unsigned.good
    assert "the bundle is unsigned" in unsigned.detail
    sign_bundle(bundles / "test-1", key, "mei")
    assert "golden requests" in run_command("doctor", *arguments[:4]).stdout
    with start_server(tmp_path / "run", *arguments) as server:
        assert '"bundle_signers": ["Mei Lin"]' in server.log.read_text()
        assert server.stop() == 0


def test_unsigned_bundles_are_served_only_where_that_is_allowed_and_the_start_says_so(
    platform: Platform, tmp_path: Path
) -> None:
    command = (sys.executable, "-m", "server", "--bundles", str(platform.bundles), "--port", "0")
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert ended.returncode == 1
    assert "bundle_keys: not set" in ended.stderr
    assert "--allow-unsigned" in ended.stderr
    with start_server(tmp_path / "run", "--bundles", str(platform.bundles)) as server:
        assert server.stop() == 0
    assert "bundles are not asked who made them" in server.log.read_text()


def test_a_file_of_keys_that_is_none_stops_the_start(platform: Platform, tmp_path: Path) -> None:
    ended = run_command("--bundles", str(platform.bundles), "--bundle-keys", str(tmp_path / "absent.json"))
    assert ended.returncode == 1
    assert "bundle_keys: " in ended.stderr


def test_keys_that_are_exchanged_count_from_the_next_bundle_on(platform: Platform, tmp_path: Path) -> None:
    bundles, keys, key = tmp_path / "bundles", tmp_path / "keys.json", tmp_path / "key.pem"
    shutil.copytree(platform.bundles, bundles)
    write_key(key, keys)
    sign_bundle(bundles / "test-1", key, "mei")
    opener = Opener(Settings(bundles=bundles, bundle_keys=keys, retriever="exact"))
    assert opener.examine("test-1").signers == ("Mei Lin",)
    write_key(tmp_path / "other.pem", keys)
    with pytest.raises(BundleSignatureError):
        opener.examine("test-1")
    with pytest.raises(SnapshotError, match="bundle test-1: "):
        opener.open("test-1", [load_fit_policy(None)])
    keys.unlink()
    (listed,) = list_bundles(bundles, opener, Machine(State(Facts("none", NOW, "hash"), "none")))
    assert isinstance(listed.result, Refusal)
    assert (listed.result.reason, "bundle_keys" in listed.result.problem) == (Reason.UNSIGNED, True)
