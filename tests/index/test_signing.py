"""Signed bundles: who published one is proven before anything of it is parsed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from index.__main__ import main
from index.bundle import open_bundle, seal_bundle
from index.errors import BundleFormatError, BundleNotFoundError, BundleSignatureError
from index.manifest import MANIFEST, SIGNATURES
from index.publish import publish_bundle
from index.signing import sign_bundle
from suitability.errors import SigningKeyError
from suitability.signatures import (
    KEYS_SCHEMA_NAME,
    Purpose,
    SignatureSet,
    generate_private_key,
    load_keys,
    load_private_key,
    private_key_pem,
    public_key_of,
    sign,
)

SIGNED_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class Publisher:
    """Somebody with a private key, and the file that names the public half."""

    def __init__(self, directory: Path, key_id: str = "mei", retired_at: str | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.key_id, self.key, self.keys = key_id, directory / "key.pem", directory / "keys.json"
        private = generate_private_key()
        self.key.touch(mode=0o600)
        self.key.write_bytes(private_key_pem(private))
        entry = public_key_of(private, key_id=key_id, name="Mei Lin").values() | {"retired_at": retired_at}
        self.keys.write_text(json.dumps({"schema": KEYS_SCHEMA_NAME, "keys": [entry]}), encoding="utf-8")

    def sign(self, bundle: Path) -> None:
        sign_bundle(bundle, self.key, self.key_id, SIGNED_AT)


@pytest.fixture
def bundles(tiny_bundles: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundles, tmp_path / "bundles"))


@pytest.fixture
def bundle(bundles: Path) -> Path:
    return bundles / "tiny"


@pytest.fixture
def mei(tmp_path: Path) -> Publisher:
    return Publisher(tmp_path / "mei")


def test_a_signed_bundle_opens_and_says_who_signed(bundle: Path, mei: Publisher) -> None:
    mei.sign(bundle)
    assert open_bundle(bundle, load_keys(mei.keys)).signers == ("Mei Lin",)


def test_where_nobody_asks_signatures_are_not_read(bundle: Path, mei: Publisher) -> None:
    mei.sign(bundle)
    (bundle / SIGNATURES).write_bytes(b"nothing of the kind")
    assert open_bundle(bundle).signers == ()


def test_an_unsigned_bundle_is_refused_where_signatures_are_asked_for(bundle: Path, mei: Publisher) -> None:
    with pytest.raises(BundleSignatureError, match=r"signatures\.json: not there: the bundle is unsigned"):
        open_bundle(bundle, load_keys(mei.keys))


def test_a_stranger_s_signature_is_refused(bundle: Path, mei: Publisher, tmp_path: Path) -> None:
    Publisher(tmp_path / "eve", "eve").sign(bundle)
    with pytest.raises(BundleSignatureError, match="expected a key that may sign, got 'eve'"):
        open_bundle(bundle, load_keys(mei.keys))


def test_a_stranger_under_a_publisher_s_key_id_is_refused(
    bundle: Path, mei: Publisher, tmp_path: Path
) -> None:
    Publisher(tmp_path / "eve", mei.key_id).sign(bundle)
    with pytest.raises(BundleSignatureError, match="does not hold"):
        open_bundle(bundle, load_keys(mei.keys))


def test_a_key_that_was_retired_before_it_signed_is_refused(bundle: Path, tmp_path: Path) -> None:
    gone = Publisher(tmp_path / "gone", retired_at="2026-01-01T00:00:00Z")
    gone.sign(bundle)
    with pytest.raises(BundleSignatureError, match="was retired"):
        open_bundle(bundle, load_keys(gone.keys))


def test_a_key_that_was_retired_after_it_signed_still_counts(bundle: Path, tmp_path: Path) -> None:
    later = Publisher(tmp_path / "later", retired_at="2026-12-01T00:00:00Z")
    later.sign(bundle)
    assert open_bundle(bundle, load_keys(later.keys)).signers == ("Mei Lin",)


@pytest.mark.parametrize("position", [0, 57, -2])
def test_a_changed_manifest_is_refused_before_it_is_parsed(
    position: int, bundle: Path, mei: Publisher
) -> None:
    mei.sign(bundle)
    content = bytearray((bundle / MANIFEST).read_bytes())
    content[position] ^= 1
    (bundle / MANIFEST).write_bytes(content)
    with pytest.raises(BundleSignatureError, match="got signatures of another"):
        open_bundle(bundle, load_keys(mei.keys))


def test_every_flipped_bit_of_the_signatures_is_refused(bundle: Path, mei: Publisher) -> None:
    mei.sign(bundle)
    good, keys = (bundle / SIGNATURES).read_bytes(), load_keys(mei.keys)
    space = {position for position, byte in enumerate(good) if byte in b" \n"}
    kept = [position for position in range(len(good)) if position not in space]
    assert len(kept) > 200
    for position in kept:
        spoilt = bytearray(good)
        spoilt[position] ^= 1
        (bundle / SIGNATURES).write_bytes(spoilt)
        with pytest.raises(BundleSignatureError):
            open_bundle(bundle, keys)


def test_a_signature_for_something_else_is_refused(bundle: Path, mei: Publisher) -> None:
    mei.sign(bundle)
    digest = json.loads((bundle / SIGNATURES).read_text())["sha256"]
    halt = sign(digest, Purpose.TIGHTEN, load_private_key(mei.key), mei.key_id, SIGNED_AT)
    values = SignatureSet(Purpose.TIGHTEN, digest, (halt,)).values()
    (bundle / SIGNATURES).write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(BundleSignatureError, match="expected publish, got signatures to tighten"):
        open_bundle(bundle, load_keys(mei.keys))


def test_another_bundle_s_signatures_are_neither_believed_nor_added_to(
    bundle: Path, bundles: Path, mei: Publisher
) -> None:
    opened = open_bundle(bundle)
    files = {name: (bundle / name).read_bytes() for name in opened.manifest.files}
    draft = opened.manifest.__class__(**(vars(opened.manifest) | {"bundle_version": "other"}))
    other = seal_bundle(bundles, draft, files).path
    mei.sign(bundle)
    shutil.copy(bundle / SIGNATURES, other / SIGNATURES)
    with pytest.raises(BundleSignatureError, match="got signatures of another"):
        open_bundle(other, load_keys(mei.keys))
    with pytest.raises(BundleSignatureError, match="signatures of another bundle"):
        mei.sign(other)


def test_two_publishers_may_sign_and_one_signs_once(bundle: Path, mei: Publisher, tmp_path: Path) -> None:
    Publisher(tmp_path / "an", "an").sign(bundle)
    mei.sign(bundle)
    mei.sign(bundle)
    signatures = json.loads((bundle / SIGNATURES).read_text())["signatures"]
    assert [each["key_id"] for each in signatures] == ["an", "mei"]


def test_a_link_in_place_of_the_signatures_is_refused(bundle: Path, mei: Publisher, tmp_path: Path) -> None:
    mei.sign(bundle)
    (bundle / SIGNATURES).rename(tmp_path / "elsewhere.json")
    (bundle / SIGNATURES).symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleFormatError, match="link"):
        open_bundle(bundle, load_keys(mei.keys))


def test_a_draft_never_stays_in_the_bundle(bundle: Path, mei: Publisher) -> None:
    mei.sign(bundle)
    assert [path.name for path in bundle.iterdir() if path.name.startswith(".")] == []
    assert [path.name for path in bundle.parent.iterdir() if path.name.endswith(".partial")] == []


def test_a_key_that_others_can_read_signs_nothing(bundle: Path, mei: Publisher) -> None:
    mei.key.chmod(0o644)
    with pytest.raises(SigningKeyError, match="mode 600"):
        mei.sign(bundle)
    assert not (bundle / SIGNATURES).exists()


def test_what_is_not_there_cannot_be_signed(mei: Publisher, tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError):
        mei.sign(tmp_path / "absent")


def test_publishing_takes_the_signatures_along_and_asks_for_them(
    bundle: Path, mei: Publisher, tmp_path: Path
) -> None:
    serving = tmp_path / "serving"
    with pytest.raises(BundleSignatureError):
        publish_bundle(bundle, serving, keys=load_keys(mei.keys))
    assert not serving.exists()
    mei.sign(bundle)
    publish_bundle(bundle, serving, keys=load_keys(mei.keys))
    assert open_bundle(serving / "tiny", load_keys(mei.keys)).signers == ("Mei Lin",)


def test_the_command_line_signs_verifies_and_publishes(
    bundle: Path, mei: Publisher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(bundle), "--keys", str(mei.keys)]) == 1
    assert "BundleSignatureError" in capsys.readouterr().err
    assert main(["sign", str(bundle), "--key", str(mei.key), "--key-id", "mei"]) == 0
    assert main(["verify", str(bundle), "--keys", str(mei.keys)]) == 0
    assert "files match the manifest, signed by Mei Lin" in capsys.readouterr().out
    to = ["--to", str(tmp_path / "serving")]
    assert main(["publish", str(bundle), *to, "--keys", str(mei.keys)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["publish", str(bundle), *to]) == 0
    assert "is signed, but nobody asked by whom" in capsys.readouterr().err


def test_a_changed_bundle_is_not_signed(bundle: Path, mei: Publisher) -> None:
    with (bundle / "products.parquet").open("ab") as file:
        file.write(b"\0")
    assert main(["sign", str(bundle), "--key", str(mei.key), "--key-id", "mei"]) == 1
    assert not (bundle / SIGNATURES).exists()
