"""Reads the JSON of feature specs and vocabularies strictly: every key known, every number finite."""

import json
import math
from collections.abc import Collection, Mapping
from typing import Any, Final

from index.errors import FeatureSchemaError
from index.unique_keys import require_unique

FORMAT_VERSION: Final = 1


def read_object(
    text: str | bytes, keys: set[str], *, what: str, optional: Collection[str] = ()
) -> dict[str, Any]:
    """Reads an object that has exactly these keys, format_version, and any of the optional ones.

    Raises:
        FeatureSchemaError: the text is no such JSON.
    """
    try:
        body = json.loads(text, object_pairs_hook=require_unique)
    except (ValueError, RecursionError) as error:
        raise FeatureSchemaError(f"{what}: expected JSON: {error}") from error
    if not isinstance(body, dict):
        raise FeatureSchemaError(f"{what}: expected an object, got {type(body).__name__}")
    version = body.get("format_version")
    if version != FORMAT_VERSION:
        raise FeatureSchemaError(f"{what}: expected format_version {FORMAT_VERSION}, got {version!r}")
    expected = keys | {"format_version"}
    if body.keys() - optional != expected:
        wrong = sorted((body.keys() - optional) ^ expected)
        raise FeatureSchemaError(f"{what}: missing or unknown keys {wrong}, expected {sorted(expected)}")
    return body


def read_categorical(value: Any, readers: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Reads the values of each feature.

    Raises:
        FeatureSchemaError: other features than expected, or a value that is no text.
    """
    _check_names(value, readers)
    for name, values in value.items():
        if not isinstance(values, list) or not all(isinstance(entry, str) for entry in values):
            raise FeatureSchemaError(f"features: {name} must be a list of strings, got {values!r}")
    return {name: tuple(values) for name, values in value.items()}


def read_numeric(value: Any, readers: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Reads the mean and the standard deviation of each feature.

    Raises:
        FeatureSchemaError: other features than expected, or numbers that cannot be these.
    """
    _check_names(value, readers)
    fitted = {}
    for name, pair in value.items():
        match pair:
            case [int() | float() as mean, int() | float() as std] if (
                math.isfinite(mean) and 0 < std < math.inf
            ):
                fitted[name] = (float(mean), float(std))
            case _:
                raise FeatureSchemaError(f"features: {name} must be [mean, std > 0], got {pair!r}")
    return fitted


def _check_names(value: Any, readers: Mapping[str, Any]) -> None:
    """Checks names and their order, since the order is the order of the tower's columns."""
    if not isinstance(value, dict) or tuple(value) != tuple(readers):
        names = list(value) if isinstance(value, dict) else value
        raise FeatureSchemaError(f"features: expected exactly {list(readers)}, got {names!r}")
