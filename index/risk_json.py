"""Reads and writes risk models as JSON; scorecard.json is all that a server needs to score a borrower."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

from index.errors import BundleFormatError
from index.manifest import strict_json
from index.risk_bins import CategoryBins, FeatureBins, NumberBins
from index.risk_model import BASIS_POINTS_MAX, BASIS_POINTS_MIN, Calibration, RiskModel, Scorecard

FORMAT_VERSION: Final = 1
MODEL_BYTES_MAX: Final = 16 << 20
EDGE_MAX: Final = 1e300  # Compared as written: turning a longer integer into a float would fail.
_POINTS_MAX: Final = 1 << 40  # A sum over any number of features stays far below 64 bits.
_BIN_COUNT_MAX: Final = 10_000
_COMMON: Final = frozenset({"format_version", "name", "source", "features", "calibration", "band_limits"})
_POINTS: Final = frozenset({"base_points", "points", "average_points"})
_TEXTS: Final = frozenset({"reason_texts", "protected_fields"})
"""Keys that files of earlier exports lack."""


def write_risk_model(model: RiskModel) -> str:
    """Returns the JSON text of a model, one feature a line."""
    body: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "name": model.name,
        "source": model.source,
        "band_limits": model.band_limits,
        "calibration": vars(model.calibration),
        "reason_texts": model.reason_texts,
        "protected_fields": model.protected_fields,
        "features": [_write_feature(feature) for feature in model.features],
    }
    if isinstance(model, Scorecard):
        body |= {name: getattr(model, name) for name in sorted(_POINTS)}
    lines = []
    for key, value in body.items():
        if key in {"features", "points"}:
            rows = ",\n  ".join(_dump(row) for row in value)
            lines.append(f' "{key}": [\n  {rows}\n ]')
        else:
            lines.append(f' "{key}": {_dump(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_risk_model(content: bytes, file: str) -> RiskModel:
    """Reads what `write_risk_model` wrote.

    Args:
        content: the bytes.
        file: their name, for messages.

    Returns:
        A Scorecard where the file holds points.

    Raises:
        BundleFormatError: it is anything else; the message names the key.
    """
    if len(content) > MODEL_BYTES_MAX:
        raise BundleFormatError(file, f"{len(content)} bytes; expected at most {MODEL_BYTES_MAX}")
    reader = _Reader(file)
    body = strict_json(content, file)
    optional = frozenset(_TEXTS & body.keys()) | (_POINTS if _POINTS & body.keys() else frozenset())
    reader.require_keys("", body, _COMMON | optional)
    reader.require("format_version", body["format_version"] == FORMAT_VERSION, f"{FORMAT_VERSION}")
    for key in ("name", "source"):
        reader.require(key, isinstance(body[key], str) and bool(body[key]), "a text")
    features = tuple(
        reader.read_feature(f"features[{place}]", feature)
        for place, feature in enumerate(reader.read_list("features", body["features"]))
    )
    names = [feature.name for feature in features]
    reader.require("features", len(set(names)) == len(names), "each name once")
    common: dict[str, Any] = {
        "name": body["name"],
        "source": body["source"],
        "features": features,
        "calibration": reader.read_calibration(body["calibration"]),
        "band_limits": reader.read_ascending("band_limits", body["band_limits"]),
        "reason_texts": reader.read_reason_texts(body.get("reason_texts", {}), features),
        "protected_fields": reader.read_names("protected_fields", body.get("protected_fields", [])),
    }
    limits_sound = all(BASIS_POINTS_MIN < limit <= BASIS_POINTS_MAX for limit in common["band_limits"])
    reader.require("band_limits", limits_sound, f"limits up to {BASIS_POINTS_MAX} basis points")
    if "points" not in body:
        return RiskModel(**common)
    return Scorecard(**common, **reader.read_points(body, features))


def read_scorecard(content: bytes, file: str) -> Scorecard:
    """Reads a scorecard.

    Raises:
        BundleFormatError: it is anything else; the message names the key.
    """
    model = read_risk_model(content, file)
    if not isinstance(model, Scorecard):
        raise BundleFormatError(file, "points is missing; expected a scorecard")
    return model


class _Reader:
    """Reads parts of a document; its errors name the file and the key."""

    def __init__(self, file: str) -> None:
        self.file = file

    def require(self, key: str, sound: bool, expected: str) -> None:
        if not sound:
            raise BundleFormatError(self.file, f"{key}: expected {expected}")

    def require_keys(self, key: str, value: object, names: frozenset[str]) -> None:
        found = sorted(value.keys()) if isinstance(value, Mapping) else type(value).__name__
        self.require(key or "keys", found == sorted(names), f"the keys {sorted(names)}, got {found}")

    def read_list(self, key: str, value: object) -> list[Any]:
        sound = isinstance(value, list) and 1 <= len(value) <= _BIN_COUNT_MAX
        self.require(key, sound, f"a list of 1 to {_BIN_COUNT_MAX} entries")
        assert isinstance(value, list), "it was required"
        return value

    def read_integers(self, key: str, value: object) -> tuple[int, ...]:
        values = self.read_list(key, value)
        sound = all(type(one) is int and -_POINTS_MAX <= one <= _POINTS_MAX for one in values)
        self.require(key, sound, f"whole numbers up to {_POINTS_MAX}")
        return tuple(values)

    def read_ascending(self, key: str, value: object) -> tuple[int, ...]:
        values = self.read_integers(key, value)
        self.require(key, all(a < b for a, b in pairwise(values)), "ascending numbers")
        return values

    def read_names(self, key: str, value: Any) -> tuple[str, ...]:
        sound = isinstance(value, list) and all(isinstance(one, str) and one for one in value)
        self.require(key, sound and len(set(value)) == len(value), "a list of distinct names")
        return tuple(value)

    def read_reason_texts(
        self, value: Any, features: tuple[FeatureBins, ...]
    ) -> Mapping[str, tuple[str, str]]:
        told: dict[str, Any] = value if isinstance(value, dict) else {"": None}
        wanted = {feature.reason for feature in features} if told else set()
        self.require("reason_texts", told.keys() == wanted, "a text for every reason of a feature, or none")
        for code, texts in told.items():
            sound = isinstance(texts, list) and [type(one) for one in texts] == [str, str] and all(texts)
            self.require(f"reason_texts.{code}", sound, "an English and a Chinese text")
        return {code: (texts[0], texts[1]) for code, texts in told.items()}

    def read_calibration(self, value: Any) -> Calibration:
        self.require_keys("calibration", value, frozenset({"method", "scores", "basis_points"}))
        scores = self.read_ascending("calibration.scores", value["scores"])
        found = self.read_integers("calibration.basis_points", value["basis_points"])
        sound = len(found) == len(scores) and list(found) == sorted(found)
        sound = sound and found[0] >= BASIS_POINTS_MIN and found[-1] <= BASIS_POINTS_MAX
        expected = f"one for each score, never falling, {BASIS_POINTS_MIN} to {BASIS_POINTS_MAX}"
        self.require("calibration.basis_points", sound, expected)
        self.require("calibration.method", value["method"] in ("isotonic", "platt"), "isotonic or platt")
        return Calibration(value["method"], scores, found)

    def read_feature(self, key: str, value: Any) -> FeatureBins:
        shared = {"name", "reason", "missing_bin"}
        is_number = isinstance(value, Mapping) and "edges" in value
        own = {"edges"} if is_number else {"bin_of", "unseen_bin"}
        self.require_keys(key, value, frozenset(shared | own))
        for name in ("name", "reason"):
            self.require(f"{key}.{name}", isinstance(value[name], str) and bool(value[name]), "a text")
        bins = self._read_number(key, value) if is_number else self._read_category(key, value)
        self._require_bin(f"{key}.missing_bin", bins.missing_bin, bins.bin_count)
        return bins

    def _read_number(self, key: str, value: Mapping[str, Any]) -> NumberBins:
        edges = value["edges"]
        # A feature may have no edge: all its values are one bin.
        sound = isinstance(edges, list) and len(edges) < _BIN_COUNT_MAX and all(map(_is_finite, edges))
        sound = sound and all(a < b for a, b in pairwise(edges))
        self.require(f"{key}.edges", sound, "a list of ascending finite numbers")
        return NumberBins(value["name"], value["reason"], tuple(map(float, edges)), value["missing_bin"])

    def _read_category(self, key: str, value: Mapping[str, Any]) -> CategoryBins:
        bin_of = value["bin_of"]
        sound = isinstance(bin_of, dict) and 1 <= len(bin_of) <= _BIN_COUNT_MAX
        self.require(f"{key}.bin_of", sound, "an object of bins by category")
        for place in bin_of.values():
            self._require_bin(f"{key}.bin_of", place, _BIN_COUNT_MAX)
        bins = CategoryBins(value["name"], value["reason"], bin_of, value["missing_bin"], value["unseen_bin"])
        self._require_bin(f"{key}.unseen_bin", bins.unseen_bin, bins.bin_count)
        return bins

    def _require_bin(self, key: str, place: object, count: int) -> None:
        sound = type(place) is int and 0 <= place < count
        self.require(key, sound, f"a bin from 0 to {count - 1}")

    def read_points(self, body: Mapping[str, Any], features: tuple[FeatureBins, ...]) -> dict[str, Any]:
        rows = self.read_list("points", body["points"])
        points = tuple(self.read_integers(f"points[{place}]", row) for place, row in enumerate(rows))
        counts = [feature.bin_count for feature in features]
        self.require("points", [len(row) for row in points] == counts, "one number for each bin")
        average = self.read_integers("average_points", body["average_points"])
        self.require("average_points", len(average) == len(features), "one number for each feature")
        base = self.read_integers("base_points", [body["base_points"]])[0]
        return {"base_points": base, "points": points, "average_points": average}


def _write_feature(feature: FeatureBins) -> dict[str, Any]:
    body = dict(vars(feature))
    if isinstance(feature, NumberBins):
        # 20000.0 is written 20000, as an officer would.
        body["edges"] = [int(edge) if edge.is_integer() else edge for edge in feature.edges]
    return body


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -EDGE_MAX <= value <= EDGE_MAX


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
