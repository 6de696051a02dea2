"""A server with publishers' keys serves nothing that none of them signed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from index.signing import sign_bundle
from server.doctor import examine
from suitability.signatures import KEYS_SCHEMA_NAME, generate_private_key, private_key_pem, public_key_of
from tests.server.conftest import CLOCK, ROOT, Platform, run_command, start_server


def test_an_unsigned_bundle_stops_the_start_and_a_signed_one_is_announced(
    platform: Platform, tmp_path: Path
) -> None:
    bundles, keys, key = tmp_path / "bundles", tmp_path / "keys.json", tmp_path / "key.pem"
    shutil.copytree(platform.bundles, bundles)
    private = generate_private_key()
    key.touch(mode=0o600)
    key.write_bytes(private_key_pem(private))
    entry = public_key_of(private, key_id="mei", name="Mei Lin").values()
    keys.write_text(json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": [entry]}), encoding="utf-8")
    arguments = ("--bundles", str(bundles), "--bundle-keys", str(keys), "--clock", CLOCK)
    ended = run_command(*arguments, "--port", "0")
    assert ended.returncode == 1
    assert "signatures.json: not there: the bundle is unsigned" in ended.stderr
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
