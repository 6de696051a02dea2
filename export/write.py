"""Turns a trained run into an export directory: graphs, item vectors, scales, measurements."""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from export.errors import ExportInputError, ExportOutputError
from export.graph import OPSET, write_graph
from export.parity import Parity, check_parity, make_requests
from export.quantisation import measure_int8, measure_int16
from index.features import EVENT_TYPES, Event, UserInputs, encode_items, encode_users
from index.reference import item_scale_for, user_scale_for
from training.config import TwoTowerConfig
from training.dataset import put_in_place
from training.examples import LearningData, read_learning_data
from training.trained import TrainedRun, open_run

CALIBRATION_COUNT: Final = 512
_FORMAT_VERSION: Final = 1


@dataclass(frozen=True)
class _Measured:
    """Holds everything an export directory is written from."""

    graphs: dict[str, bytes]
    item_vectors: NDArray[np.float32]  # [products, embedding_dim]
    calibration: dict[str, NDArray[Any]]
    description: dict[str, Any]


def export_run(run: Path, data: Path, out: Path, *, force: bool) -> dict[str, Any]:
    """Exports a run and writes `out`, whole or not at all.

    Args:
        run: what `python -m training --model` wrote.
        data: the data directory; its products are embedded in its order, its users calibrate.
        out: the export directory.
        force: whether to replace `out`.

    Returns:
        The content of export.json.

    Raises:
        ExportInputError: the run knows none of the data's products.
        ExportParityError: a graph does not compute what its tower computes.
        ExportError: see its tree.
        TrainingError: the run or the data cannot be read.
    """
    _check_target(out, force=force)
    trained = open_run(run)
    learning_data = read_learning_data(data)
    if not any(product["id"] in trained.vocabulary.tokens for product in learning_data.products):
        raise ExportInputError(f"{data}: expected the data of {run}, found none of its products")
    measured = _measure(trained, learning_data)
    texts = {
        "features.json": trained.spec.to_json(),
        "vocabulary.json": trained.vocabulary.to_json(),
        "product_ids.json": json.dumps([row["id"] for row in learning_data.products], ensure_ascii=False),
        "export.json": json.dumps(measured.description, ensure_ascii=False, indent=2),
    }
    _write_directory(out, measured, texts)
    return measured.description


def _check_target(out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise ExportOutputError(f"{out} exists; expected a new directory (--force replaces it)")
    if out.exists() and not (out / "export.json").is_file():
        raise ExportOutputError(f"{out} holds no export.json; expected an export, nothing else is replaced")


def _measure(trained: TrainedRun, data: LearningData) -> _Measured:
    towers = trained.towers
    users = sample_users(trained, data)
    items = encode_items(trained.spec, trained.vocabulary, data.products)
    graphs = {
        "user_tower.onnx": write_graph(towers.user_tower, users.feed(), output="user_vector"),
        "item_tower.onnx": write_graph(towers.item_tower, items.feed(), output="item_vector"),
    }
    requests = make_requests(users.feed(), token_count=trained.vocabulary.token_count)
    parity = {
        "user_tower": check_parity(towers.user_tower, graphs["user_tower.onnx"], requests, name="user tower"),
        "item_tower": check_parity(
            towers.item_tower, graphs["item_tower.onnx"], items.feed(), name="item tower"
        ),
    }
    with torch.no_grad():
        user_vectors = towers.user_tower(*map(torch.from_numpy, users.feed().values())).numpy()
        item_vectors = towers.item_tower(*map(torch.from_numpy, items.feed().values())).numpy()
    description = _describe(trained, parity, user_vectors, item_vectors)
    return _Measured(graphs, item_vectors, {**users.feed(), "user_vector": user_vectors}, description)


def sample_users(trained: TrainedRun, data: LearningData) -> UserInputs:
    """Encodes up to CALIBRATION_COUNT users, evenly spread over the ids, as served at the data's end."""
    events = data.interactions
    count = min(CALIBRATION_COUNT, events.user_count)
    rows = np.linspace(0, events.user_count - 1, count).round().astype(np.int64)
    histories = []
    for row in rows:
        span = range(events.user_offset[row], events.user_offset[row + 1])
        histories.append(
            [
                Event(
                    data.products[events.item_row[place]]["id"],
                    EVENT_TYPES[events.event_code[place] - 1],
                    float(events.event_time[place]),
                )
                for place in span
            ]
        )
    now = datetime.fromtimestamp(float(events.event_time.max()), UTC)
    profiles = [data.profiles[row] for row in rows]
    return encode_users(trained.spec, trained.vocabulary, profiles, histories, now)


def _describe(
    trained: TrainedRun,
    parity: dict[str, Parity],
    user_vectors: NDArray[np.float32],
    item_vectors: NDArray[np.float32],
) -> dict[str, Any]:
    for name, vectors in (("user", user_vectors), ("item", item_vectors)):
        if not np.isfinite(vectors).all():
            raise ExportInputError(f"{name} vectors: expected finite numbers, found NaN or infinity")
    unit_length = isinstance(trained.config, TwoTowerConfig)
    user_scale = user_scale_for(user_vectors, unit_length=unit_length)
    item_scale = item_scale_for(item_vectors)
    int16 = measure_int16(user_vectors, item_vectors, user_scale=user_scale, item_scale=item_scale)
    return {
        "format_version": _FORMAT_VERSION,
        "model": trained.config.model,
        "embedding_dim": int(item_vectors.shape[1]),
        "user_scale": user_scale,
        "item_scale": item_scale,
        "parity": {name: asdict(value) for name, value in parity.items()},
        "quantisation": {
            "int16": asdict(int16),
            "int8": asdict(measure_int8(user_vectors, item_vectors)),
        },
        "opset": OPSET,
        "quality": trained.metrics,
        "source": trained.source,
    }


def _write_directory(out: Path, measured: _Measured, texts: dict[str, str]) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, content in measured.graphs.items():
            (temporary / name).write_bytes(content)
        for name, text in texts.items():
            (temporary / name).write_text(text + "\n", encoding="utf-8")
        np.save(temporary / "item_vectors.npy", measured.item_vectors, allow_pickle=False)
        np.savez(temporary / "calibration_inputs.npz", allow_pickle=False, **measured.calibration)
        put_in_place(temporary, out)
    except OSError as error:
        raise ExportOutputError(f"cannot write {out}: {error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
