"""The manifest is read strictly."""

from __future__ import annotations

from typing import Any

import pytest

from index import bundle as bundle_module
from index.bundle import (
    Bundle,
    open_bundle,
)
from index.errors import (
    BundleFormatError,
)
from index.manifest import FILE_BYTES_MAX, MANIFEST
from index.tiers import SELECTED_SHARES

FILES = tuple(FILE_BYTES_MAX)
ONES = [1] * len(SELECTED_SHARES)
PART = {
    "kind": "IndexFlatIP",
    "row_start": 0,
    "row_stop": 60,
    "list_count": 1,
    "effort": 1,
    "range_efforts": ONES,
    "mask_efforts": ONES,
    "size": 9,
}


@pytest.mark.usefixtures("no_parser")
def test_every_truncation_of_the_manifest_is_refused(copy: Any) -> None:
    content = (copy.path / MANIFEST).read_bytes()
    # The last byte is a newline, without which the manifest says the same.
    for size in range(0, len(content) - 1, 7):
        (copy.path / MANIFEST).write_bytes(content[:size])
        with pytest.raises(BundleFormatError):
            open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("version", [0, 3, 5, "4", 4.5, True, None])
def test_an_unknown_format_version_is_refused(copy: Any, version: object) -> None:
    copy.edit_manifest(lambda body: body.update(format_version=version))
    with pytest.raises(BundleFormatError, match=r"manifest\.json: format_version is .*; expected 4; build"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../b", "user_tower.onnx\0", "", ".", "..", "data.bin", "MANIFEST.JSON"],
)
def test_a_manifest_that_names_another_path_is_refused(copy: Any, name: str) -> None:
    copy.edit_manifest(lambda body: body["files"].update({name: {"size": 1, "sha256": "0" * 64}}))
    with pytest.raises(BundleFormatError, match="which is no file of a bundle"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embedding_dim": 10**9}, "embedding_dim"),
        ({"product_count": 10**12}, "product_count"),
        ({"product_count": 0}, "product_count"),
        ({"product_count": True}, "product_count"),
        ({"item_scale": 0.0}, "item_scale"),
        ({"user_scale": -1.0}, "user_scale"),
        ({"score_scale": "1"}, "score_scale"),
        ({"policy_hash": "00"}, "policy_hash"),
        ({"create_time": "2026-11-22"}, "create_time"),
        ({"create_time": 7}, "create_time"),
        ({"signature": "forged"}, "signature"),
        ({"bundle_version": "../up"}, "bundle_version"),
        ({"bundle_version": ".hidden"}, "bundle_version"),
        ({"bundle_version": "CURRENT"}, "bundle_version"),
        ({"bundle_version": "current"}, "bundle_version"),
        ({"model": ""}, "model"),
        ({"source": []}, "source"),
        ({"recall": {"golden_found": 1.1}}, r"golden_found from 0\.0 to 1\.0"),
        ({"recall": {"golden_found": -0.1}}, "golden_found"),
        ({"recall": {"golden_found": "1"}}, "golden_found"),
        ({"index": {"kind": "IndexFlatIP"}}, "index is"),
        ({"index": []}, "index is"),
        ({"index": [None]}, r"index\[0\] is None"),
        ({"index": [PART] * 17}, "expected a list of 1 to 16 parts"),
        ({"index": [PART, PART | {"more": 1}]}, r"index\[1\] is"),
        ({"index": [PART | {"row_stop": 0}]}, r"index\[0\] is"),
        ({"index": [PART | {"row_start": 60}]}, r"index\[0\] is"),
        ({"index": [PART | {"effort": True}]}, r"index\[0\] is"),
        ({"index": [PART | {"range_efforts": 1}]}, r"index\[0\] is"),
        ({"index": [PART | {"range_efforts": ONES[1:]}]}, r"index\[0\] is"),
        ({"index": [PART | {"mask_efforts": [*ONES[1:], 0]}]}, r"index\[0\] is"),
        ({"index": [PART | {"mask_efforts": [*ONES[1:], "1"]}]}, r"index\[0\] is"),
        ({"index": [PART | {"size": -1}]}, r"index\[0\] is"),
        ({"files": []}, "files is"),
        ({"files": {}}, "files does not name .*; build the bundle again from its export"),
        ({"comment": 1}, r"unknown keys \['comment'\]"),
    ],
)
def test_a_manifest_out_of_range_is_refused(copy: Any, change: dict[str, Any], message: str) -> None:
    copy.edit_manifest(lambda body: body.update(change))
    with pytest.raises(BundleFormatError, match=message):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("size", [-1, 0, 2**80, 1.0, "9", None])
def test_a_file_of_an_absurd_size_is_refused(copy: Any, size: object) -> None:
    copy.edit_manifest(lambda body: body["files"]["policy.json"].update(size=size))
    with pytest.raises(BundleFormatError, match=r"files\['policy\.json'\]"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"\xff", b"{", b"[" * 100_000, b'{"format_version": NaN}', b"\0" * (2 << 20)],
)
def test_a_manifest_that_is_no_json_object_is_refused(copy: Any, content: bytes) -> None:
    (copy.path / MANIFEST).write_bytes(content)
    with pytest.raises(BundleFormatError, match=r"manifest\.json"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
@pytest.mark.parametrize("value", ["1e999", r'"\ud800"', r'{"\udc00": 1}'])
def test_what_cannot_be_written_again_is_refused(copy: Any, value: str) -> None:
    copy.edit_manifest(lambda body: body.update(quality=0))
    text = (copy.path / MANIFEST).read_text()
    (copy.path / MANIFEST).write_text(text.replace('"quality": 0', f'"quality": {{"recall": {value}}}'))
    with pytest.raises(BundleFormatError, match=r"manifest\.json: expected a JSON object"):
        open_bundle(copy.path)


@pytest.mark.usefixtures("no_parser")
def test_a_duplicate_key_in_the_manifest_is_refused(copy: Any) -> None:
    text = (copy.path / MANIFEST).read_text()
    (copy.path / MANIFEST).write_text(text.replace("{", '{"format_version": 1,', 1))
    with pytest.raises(BundleFormatError, match="key 'format_version' is there twice"):
        open_bundle(copy.path)


def test_a_manifest_survives_being_written_and_read(tiny_bundle: Bundle) -> None:
    again = bundle_module.parse_manifest(tiny_bundle.manifest.to_json())
    assert again == tiny_bundle.manifest
