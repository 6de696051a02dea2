"""Reads what `python -m export` wrote, as far as a bundle needs it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.assembly import Model
from index.errors import BuildInputError
from index.golden import INPUT_DTYPES
from index.manifest import OPTIONAL_FILE_BYTES_MAX

_TEXTS = ("model",)
_COUNTS = ("embedding_dim", "opset")
_SCALES = ("user_scale", "item_scale")
_OBJECTS = ("parity", "quantisation", "quality", "source")


@dataclass(frozen=True)
class ExportInput(Model):
    """An export: the model, and item vectors in catalogue order."""

    product_ids: tuple[str, ...]
    item_vectors: NDArray[np.float32]  # [n, dim]


def read_export(directory: Path) -> ExportInput:
    """Reads an export directory.

    Raises:
        BuildInputError: a file is missing or is not what its name says; the message names it.
    """
    description = _read_json(directory / "export.json", dict)
    facts = _check_description(description)
    item_vectors = _read_array(directory / "item_vectors.npy")
    product_ids = _read_json(directory / "product_ids.json", list)
    if not all(isinstance(product_id, str) for product_id in product_ids):
        raise BuildInputError("product_ids.json: expected a list of texts")
    _check_matrix("item_vectors.npy", item_vectors, (len(product_ids), facts["embedding_dim"]))
    inputs, vectors = _read_calibration(directory / "calibration_inputs.npz", facts["embedding_dim"])
    return ExportInput(
        **facts,
        user_tower=_read_bytes(directory / "user_tower.onnx"),
        item_tower=_read_bytes(directory / "item_tower.onnx"),
        features=_read_bytes(directory / "features.json"),
        vocabulary=_read_bytes(directory / "vocabulary.json"),
        calibration_inputs=inputs,
        calibration_vectors=vectors,
        optional_files={
            name: _read_bytes(directory / name)
            for name in OPTIONAL_FILE_BYTES_MAX
            if (directory / name).is_file()
        },
        product_ids=tuple(product_ids),
        item_vectors=item_vectors,
    )


def _check_description(description: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for names, kind, expected in (
        (_TEXTS, str, "a text"),
        (_COUNTS, int, "an integer"),
        (_SCALES, int | float, "a number"),
        (_OBJECTS, dict, "an object"),
    ):
        for name in names:
            value = description.get(name)
            if not isinstance(value, kind) or isinstance(value, bool):
                raise BuildInputError(f"export.json: {name} is {value!r:.80}; expected {expected}")
            facts[name] = value
    return facts | {name: float(facts[name]) for name in _SCALES}


def _read_calibration(path: Path, dim: int) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    arrays = _load(path)
    expected = {*INPUT_DTYPES, "user_vector"}
    if not isinstance(arrays, Mapping) or not expected <= set(arrays):
        raise BuildInputError(f"{path.name}: expected the arrays {sorted(expected)}")
    inputs = {name: np.asarray(arrays[name]) for name in INPUT_DTYPES}
    vectors: NDArray[np.float32] = np.asarray(arrays["user_vector"])
    user_count = vectors.shape[0] if vectors.ndim else 0
    if user_count == 0:
        raise BuildInputError(f"{path.name}: holds no user; expected at least one")
    _check_matrix(f"{path.name}: user_vector", vectors, (user_count, dim))
    for name, values in inputs.items():
        if values.ndim != 2 or values.shape[0] != user_count or values.dtype != INPUT_DTYPES[name]:
            raise BuildInputError(
                f"{path.name}: {name} is {values.dtype} {values.shape}; "
                f"expected {np.dtype(INPUT_DTYPES[name])} [{user_count}, width]"
            )
    return inputs, vectors


def _check_matrix(name: str, values: NDArray[Any], shape: tuple[int, int]) -> None:
    if values.dtype != np.float32 or values.shape != shape:
        raise BuildInputError(f"{name}: {values.dtype} {values.shape}; expected float32 {shape}")
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise BuildInputError(f"{name}: row {bad} holds NaN or infinity; expected finite values")


def _read_array(path: Path) -> NDArray[Any]:
    loaded = _load(path)
    if not isinstance(loaded, np.ndarray):
        raise BuildInputError(f"{path.name}: expected one array")
    return loaded


def _load(path: Path) -> Any:
    _require_file(path)
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                return dict(loaded.items())
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BuildInputError(f"{path.name}: expected NumPy arrays: {error}") from error
    return loaded


def _read_json(path: Path, kind: type[Any]) -> Any:
    try:
        body = json.loads(_read_bytes(path))
    except ValueError as error:
        raise BuildInputError(f"{path.name}: expected JSON: {error}") from error
    if not isinstance(body, kind):
        raise BuildInputError(f"{path.name}: expected a JSON {kind.__name__}, got {type(body).__name__}")
    return body


def _read_bytes(path: Path) -> bytes:
    _require_file(path)
    content = path.read_bytes()
    if not content:
        raise BuildInputError(f"{path.name}: the file is empty")
    return content


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise BuildInputError(f"{path.name}: expected a file at {path}, found none")
