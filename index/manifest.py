"""The manifest of a bundle: what it holds, how it was made, and the size and SHA-256 of every other file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from index.errors import BundleChecksumError, BundleFormatError
from index.files import CURRENT
from index.tiers import SELECTED_SHARES, IndexPart
from index.unique_keys import require_unique

FORMAT_VERSION = 4
MANIFEST = "manifest.json"
SIGNATURES = "signatures.json"
INDEX = "index.faiss"
SEGMENTS = "segments.json"
ASSOCIATIONS = "associations.parquet"
CALIBRATION = "calibration_vectors.npy"
RISK_MODEL = "risk_model.json"
RISK_GRAPH = "risk_model.onnx"
RISK_GOLDEN = "risk_golden.json"
RISK_FILES = (RISK_MODEL, RISK_GRAPH, RISK_GOLDEN)
"""A bundle has all of these, or none."""
DIGEST = "manifest_sha256"
GOLDEN_FOUND = "golden_found"
"""In `recall`: the share of the golden requests' best products that the index found when it was built."""
MANIFEST_BYTES_MAX = 1 << 20

PRODUCT_COUNT_MAX = 10_000_000
INDEX_PART_COUNT_MAX = 16
EMBEDDING_DIM_MAX = 4096

_MEBIBYTE = 1 << 20
FILE_BYTES_MAX: Mapping[str, int] = MappingProxyType(
    {
        "user_tower.onnx": 2048 * _MEBIBYTE,
        "item_tower.onnx": 2048 * _MEBIBYTE,
        "item_vectors.int32.npy": 32768 * _MEBIBYTE,
        "item_vectors.int8.npy": 8192 * _MEBIBYTE,
        INDEX: 65536 * _MEBIBYTE,
        "products.parquet": 8192 * _MEBIBYTE,
        "features.json": 64 * _MEBIBYTE,
        "vocabulary.json": 2048 * _MEBIBYTE,
        "policy.json": _MEBIBYTE,
        "evaluation.json": 16 * _MEBIBYTE,
        "golden.json": 64 * _MEBIBYTE,
    }
)
"""Every file of a bundle beside the manifest, with the most bytes it may have."""
OPTIONAL_FILE_BYTES_MAX: Mapping[str, int] = MappingProxyType(
    {
        SEGMENTS: 4 * _MEBIBYTE,
        ASSOCIATIONS: 256 * _MEBIBYTE,
        CALIBRATION: 1024 * _MEBIBYTE,
        RISK_MODEL: 16 * _MEBIBYTE,
        RISK_GRAPH: 16 * _MEBIBYTE,
        RISK_GOLDEN: 256 * _MEBIBYTE,
    }
)
"""Files that a bundle may lack, as older ones do; what is there is proven and checked as the others are."""

_VERSION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 (lower-case hexadecimal) of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Describes a bundle. Scales are integer steps per unit; a wire score / score_scale is a model score."""

    format_version: int
    bundle_version: str
    create_time: str  # RFC 3339 with zone
    source_commit: str
    model: str
    embedding_dim: int
    product_count: int
    learning_count: int
    vocabulary_count: int
    user_scale: float
    item_scale: float
    score_scale: float
    int8_scale: float
    opset: int
    index: tuple[IndexPart, ...]
    parity: Mapping[str, Any]
    quantisation: Mapping[str, Any]
    recall: Mapping[str, Any]
    quality: Mapping[str, Any]
    policy_hash: str
    source: Mapping[str, Any]
    tool_versions: Mapping[str, str]
    files: Mapping[str, FileEntry]
    signature: None = None

    def to_json(self) -> bytes:
        """Returns the manifest as UTF-8 JSON with sorted keys, and the SHA-256 of the rest under DIGEST."""
        body = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "index": [dataclasses.asdict(part) for part in self.index],
            "files": {name: dataclasses.asdict(entry) for name, entry in self.files.items()},
        }
        return seal_json(body)

    @property
    def sha256(self) -> str:
        """Returns the SHA-256 of the manifest's bytes, which is what publishers sign."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @property
    def created(self) -> datetime:
        """Returns when the bundle was built, with its zone."""
        return datetime.fromisoformat(self.create_time)


def parse_manifest(content: bytes) -> Manifest:
    """Parses a manifest strictly.

    Raises:
        BundleFormatError: not JSON, a duplicate, unknown or missing key, a wrong type, an unknown
            format_version, or a value out of range.
        BundleChecksumError: a byte differs from what was sealed.
    """
    body = strict_json(content, MANIFEST)
    version = body.get("format_version")
    # True and 1.0 equal 1 in Python, and are no version.
    current = type(version) is int and version == FORMAT_VERSION
    _require("format_version", current, body, f"{FORMAT_VERSION}; build the bundle again from its export")
    expected = {field.name for field in dataclasses.fields(Manifest)} | {DIGEST}
    if body.keys() != expected:
        raise BundleFormatError(MANIFEST, f"missing or unknown keys {sorted(body.keys() ^ expected)}")
    require_version_name(body["bundle_version"])
    for field in ("source_commit", "model"):
        _require(field, isinstance(body[field], str) and 0 < len(body[field]) <= 200, body, "a short text")
    for field in ("parity", "quantisation", "recall", "quality", "source", "tool_versions"):
        _require(field, isinstance(body[field], dict), body, "an object")
    found = body["recall"].get(GOLDEN_FOUND, 0.0)
    _require("recall", type(found) is float and 0 <= found <= 1, body, f"{GOLDEN_FOUND} from 0.0 to 1.0")
    _require("create_time", _is_instant(body["create_time"]), body, "RFC 3339 with a zone")
    _require("policy_hash", _matches(_SHA256_PATTERN, body["policy_hash"]), body, "64 hexadecimal digits")
    _require("signature", body["signature"] is None, body, "null")
    _check_numbers(body)
    digest = body.pop(DIGEST)
    manifest = Manifest(
        **{**body, "index": _parse_index(body["index"]), "files": _parse_files(body["files"])}
    )
    # A manifest is written in one way only, so equal bytes mean an equal digest and nothing beside it.
    if manifest.to_json() != content:
        raise BundleChecksumError(MANIFEST, f"differs from what was sealed with digest {digest!r:.80}")
    return manifest


def seal_json(body: Mapping[str, Any]) -> bytes:
    """Returns an object as UTF-8 JSON with sorted keys, and the SHA-256 of that text under DIGEST."""
    digest = hashlib.sha256(_write_json(body)).hexdigest()
    return _write_json({**body, DIGEST: digest})


def _write_json(body: Mapping[str, Any]) -> bytes:
    text = json.dumps(body, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False)
    return f"{text}\n".encode()


def strict_json(content: bytes, file: str) -> dict[str, Any]:
    """Parses one JSON object, refusing duplicate keys, NaN, infinity and text that UTF-8 cannot hold.

    Raises:
        BundleFormatError: it is anything else; the message names the file.
    """

    def refuse(constant: str) -> None:
        raise BundleFormatError(file, f"{constant} is no JSON number")

    try:
        body = json.loads(content.decode("utf-8"), object_pairs_hook=require_unique, parse_constant=refuse)
        # 1e999 and half a surrogate pair can be read, but never be written out again.
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BundleFormatError(file, f"expected a JSON object: {error}") from error
    if not isinstance(body, dict):
        raise BundleFormatError(file, f"expected a JSON object, got {type(body).__name__}")
    return body


def require_version_name(name: object) -> str:
    """Returns a bundle version that is safe as a directory name.

    Raises:
        BundleFormatError: it is not 1 to 100 letters, digits, dots, hyphens or underscores, or starts with
            anything but a letter or digit, or is the pointer's own name.
    """
    if not isinstance(name, str) or _VERSION_PATTERN.fullmatch(name) is None or name.upper() == CURRENT:
        raise BundleFormatError(
            "bundle_version",
            f"{name!r:.120}; expected 1 to 100 of A-Z a-z 0-9 . _ -, a letter or digit first, not {CURRENT}",
        )
    return name


def _check_numbers(body: Mapping[str, Any]) -> None:
    counts = {
        "embedding_dim": (1, EMBEDDING_DIM_MAX),
        "product_count": (1, PRODUCT_COUNT_MAX),
        "learning_count": (0, PRODUCT_COUNT_MAX),
        "vocabulary_count": (0, PRODUCT_COUNT_MAX),
        "opset": (1, 1000),
    }
    for field, (low, high) in counts.items():
        _require(field, _is_count(body[field], low, high), body, f"an integer from {low} to {high}")
    for field in ("user_scale", "item_scale", "score_scale", "int8_scale"):
        value = body[field]
        sound = isinstance(value, float) and math.isfinite(value) and value > 0
        _require(field, sound, body, "a positive finite number")


def _parse_index(value: object) -> tuple[IndexPart, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= INDEX_PART_COUNT_MAX:
        raise BundleFormatError(
            MANIFEST, f"index is {value!r:.120}; expected a list of 1 to {INDEX_PART_COUNT_MAX} parts"
        )
    return tuple(_parse_part(position, part) for position, part in enumerate(value))


def _parse_part(position: int, value: object) -> IndexPart:
    names = {field.name for field in dataclasses.fields(IndexPart)}
    tables = ("range_efforts", "mask_efforts")
    if (
        isinstance(value, dict)
        and value.keys() == names
        and isinstance(value["kind"], str)
        and all(isinstance(value[name], list) and len(value[name]) == len(SELECTED_SHARES) for name in tables)
    ):
        part = IndexPart(**(value | {name: tuple(value[name]) for name in tables}))
        counts = (part.row_stop, part.list_count, part.effort, *part.range_efforts, *part.mask_efforts)
        if (
            _is_count(part.row_start, 0, PRODUCT_COUNT_MAX)
            and all(_is_count(count, 1, PRODUCT_COUNT_MAX) for count in counts)
            and part.row_start < part.row_stop
            and _is_count(part.size, 1, FILE_BYTES_MAX[INDEX])
        ):
            return part
    raise BundleFormatError(MANIFEST, f"index[{position}] is {value!r:.200}; expected {sorted(names)}")


def _parse_files(value: object) -> Mapping[str, FileEntry]:
    if not isinstance(value, dict):
        raise BundleFormatError(MANIFEST, f"files is {value!r:.80}; expected an object")
    known = {**FILE_BYTES_MAX, **OPTIONAL_FILE_BYTES_MAX}
    for name in value:
        if name not in known:
            raise BundleFormatError(MANIFEST, f"files names {name!r:.120}, which is no file of a bundle")
    missing = sorted(FILE_BYTES_MAX.keys() - value.keys())
    if missing:
        raise BundleFormatError(
            MANIFEST, f"files does not name {missing}; build the bundle again from its export"
        )
    return MappingProxyType({name: _parse_entry(name, entry, known[name]) for name, entry in value.items()})


def _parse_entry(name: str, entry: object, size_max: int) -> FileEntry:
    match entry:
        case {"size": size, "sha256": str(sha256), **rest} if (
            not rest and _is_count(size, 1, size_max) and _matches(_SHA256_PATTERN, sha256)
        ):
            return FileEntry(size, sha256)
    raise BundleFormatError(
        MANIFEST,
        f"files[{name!r}] is {entry!r:.120}; expected sha256 and a size from 1 to {size_max}",
    )


def _require(field: str, sound: bool, body: Mapping[str, Any], expected: str) -> None:
    if not sound:
        raise BundleFormatError(MANIFEST, f"{field} is {body.get(field)!r:.120}; expected {expected}")


def _is_count(value: object, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_instant(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).utcoffset() is not None
    except ValueError:
        return False


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None
