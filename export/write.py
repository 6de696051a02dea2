"""Turns a trained run into an export directory: graphs, item vectors, scales, measurements."""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.associations import make_rules
from export.errors import ExportInputError, ExportOutputError
from export.graph import OPSET, check_graph, write_graph
from export.judges import choose_judges, sample_users
from export.parity import Parity, check_parity, embed_rows, make_requests, open_session
from export.precision import Precision, narrow_tower
from export.quality_gate import QualityLimits, check_quality
from export.quantisation import QuantisationCost, in_float32, in_int8, in_int32, measure_cost
from export.segments import DEFAULT as DEFAULT_SEGMENTS
from export.segments import make_segments
from index.associations import write_rules
from index.errors import FeatureError
from index.features import encode_items
from index.manifest import ASSOCIATIONS, SEGMENTS
from index.reference import item_scale_for, user_scale_for
from index.segments import Segments
from training.config import Config, TwoTowerConfig
from training.dataset import put_in_place
from training.examples import LearningData, read_learning_data
from training.trained import TrainedRun, open_run

_FORMAT_VERSION: Final = 1
_EMBED_COUNT: Final = 1024

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class _Towers:
    """Holds both graphs, what they were checked for, and the vectors that come out of them."""

    graphs: dict[str, bytes]
    parity: dict[str, Parity]
    calibration: dict[str, NDArray[Any]]  # the user tower's inputs and output for the calibration users
    item_vectors: NDArray[np.float32]  # [products, embedding_dim]


def export_run(
    run: Path,
    data: Path,
    out: Path,
    *,
    force: bool,
    tower: Precision = "float32",
    limits: QualityLimits = QualityLimits(),  # noqa: B008 A frozen value.
    segments: str = DEFAULT_SEGMENTS,
    associations: bool = True,
) -> dict[str, Any]:
    """Exports a run and writes `out`, whole or not at all.

    Args:
        run: what `python -m training --model` wrote.
        data: the data directory; its products are embedded in its order, its users calibrate and judge.
        out: the export directory.
        force: whether to replace `out`.
        tower: how the user tower stores its embeddings. The item tower stays as it is: its vectors are
            computed once, and quantised themselves.
        limits: how far lists and scores may be from float32's.
        segments: how users are grouped, as `make_segments` has it.
        associations: whether to mine association rules; without them lists are the model's own.

    Returns:
        The content of export.json.

    Raises:
        ExportInputError: the run knows none of the data's products, or they lack a column that it learned
            from, or hold what it cannot encode.
        ExportParityError: a graph does not compute what its tower computes.
        ExportPrecisionError: the user tower has nothing to store in that precision.
        ExportQualityError: the narrow tower or the quantised vectors are beyond a limit.
        ExportError: see its tree.
        TrainingError: the run or the data cannot be read.
    """
    _check_target(out, force=force)
    trained = open_run(run)
    learning_data = read_learning_data(data)
    if not any(product["id"] in trained.vocabulary.tokens for product in learning_data.products):
        raise ExportInputError(f"{data}: expected the data of {run}, found none of its products")
    towers = _write_towers(trained, learning_data, tower)
    scales = choose_scales(trained.config, towers.calibration["user_vector"], towers.item_vectors)
    costs = _judge(trained, learning_data, towers, scales, tower, limits)
    grouped = make_segments(
        trained, learning_data, towers.graphs["user_tower.onnx"], scales["user_scale"], segments
    )
    rules = None
    if associations:
        rules = make_rules(learning_data, towers.calibration["user_vector"], towers.item_vectors)
    description = {
        "format_version": _FORMAT_VERSION,
        "model": trained.config.model,
        "embedding_dim": int(towers.item_vectors.shape[1]),
        **scales,
        "parity": {name: asdict(value) for name, value in towers.parity.items()},
        "quantisation": {"limits": asdict(limits), **{name: asdict(cost) for name, cost in costs.items()}},
        "opset": OPSET,
        "quality": trained.metrics,
        "source": trained.source,
        "segments": grouped.describe(),
        "associations": None if rules is None else rules.describe(),
    }
    texts = _make_texts(trained, learning_data, grouped, description)
    _write_directory(out, towers, texts, {} if rules is None else {ASSOCIATIONS: write_rules(rules)})
    return description


def _make_texts(
    trained: TrainedRun, data: LearningData, segments: Segments, description: Mapping[str, Any]
) -> dict[str, str]:
    """Returns the text files of an export by name."""
    return {
        "features.json": trained.spec.to_json(),
        "vocabulary.json": trained.vocabulary.to_json(),
        "product_ids.json": json.dumps([row["id"] for row in data.products], ensure_ascii=False),
        SEGMENTS: segments.to_json(),
        "export.json": json.dumps(description, ensure_ascii=False, indent=2),
    }


def _check_target(out: Path, *, force: bool) -> None:
    if out.exists() and not force:
        raise ExportOutputError(f"{out} exists; expected a new directory (--force replaces it)")
    if out.exists() and not (out / "export.json").is_file():
        raise ExportOutputError(f"{out} holds no export.json; expected an export, nothing else is replaced")


def _write_towers(trained: TrainedRun, data: LearningData, precision: Precision) -> _Towers:
    user_tower, item_tower = trained.towers.user_tower, trained.towers.item_tower
    users = sample_users(trained, data).feed()
    items = _encode_products(trained, data)
    user_graph = write_graph(user_tower, users, output="user_vector")
    item_graph = write_graph(item_tower, items, output="item_vector")
    requests = make_requests(users, token_count=trained.vocabulary.token_count)
    parity = {
        "user_tower": check_parity(user_tower, user_graph, requests, name="user tower"),
        "item_tower": check_parity(item_tower, item_graph, items, name="item tower"),
    }
    if precision != "float32":
        user_graph = narrow_tower(user_graph, precision)
        check_graph(user_graph, list(users), "user_vector")
        parity["user_tower"] = check_parity(
            user_tower, user_graph, requests, name="user tower", precision=precision
        )
    # A server's tower gives these vectors, and a bundle's golden requests ask it for them.
    user_vectors = embed_rows(open_session(user_graph), users)
    item_vectors = embed_all(item_tower, items)
    for name, vectors in (("user", user_vectors), ("item", item_vectors)):
        if not np.isfinite(vectors).all():
            raise ExportInputError(f"{name} vectors: expected finite numbers, found NaN or infinity")
    graphs = {"user_tower.onnx": user_graph, "item_tower.onnx": item_graph}
    return _Towers(graphs, parity, {**users, "user_vector": user_vectors}, item_vectors)


def _encode_products(trained: TrainedRun, data: LearningData) -> Inputs:
    try:
        trained.spec.require_columns(data.products[0])
        return encode_items(trained.spec, trained.vocabulary, data.products).feed()
    except FeatureError as error:
        raise ExportInputError(str(error)) from error


def embed_all(tower: nn.Module, inputs: Inputs) -> NDArray[np.float32]:
    """Embeds with the trained tower itself, float32 [rows, embedding_dim]."""
    count = len(next(iter(inputs.values())))
    parts = []
    with torch.no_grad():
        for start in range(0, count, _EMBED_COUNT):
            rows = (torch.from_numpy(value[start : start + _EMBED_COUNT]) for value in inputs.values())
            parts.append(tower(*rows).numpy())
    return np.concatenate(parts)


def choose_scales(config: Config, users: NDArray[np.float32], items: NDArray[np.float32]) -> dict[str, float]:
    """Chooses how many integer steps a unit of a model's user vectors and of its item vectors has."""
    unit_length = not isinstance(config, TwoTowerConfig) or config.similarity == "cosine"
    return {
        "user_scale": user_scale_for(users, unit_length=unit_length),
        "item_scale": item_scale_for(items),
    }


def _judge(
    trained: TrainedRun,
    data: LearningData,
    towers: _Towers,
    scales: Mapping[str, float],
    precision: Precision,
    limits: QualityLimits,
) -> dict[str, QuantisationCost]:
    """Measures what is served, in the order in which it loses, each against float32 as trained."""
    judges = choose_judges(trained, data)
    exact = in_float32(embed_all(trained.towers.user_tower, judges.inputs), towers.item_vectors)
    users = embed_rows(open_session(towers.graphs["user_tower.onnx"]), judges.inputs)
    int32 = in_int32(users, towers.item_vectors, **scales)
    int8 = in_int8(users, towers.item_vectors, **scales)
    costs = {}
    if precision != "float32":
        costs["user_tower"] = measure_cost(exact, in_float32(users, towers.item_vectors), judges)
        check_quality(f"user tower in {precision}", costs["user_tower"], limits, ndcg_needed=True)
    costs["int32"] = measure_cost(exact, int32, judges)
    check_quality("vectors in int32", costs["int32"], limits, ndcg_needed=False)
    costs["int8"] = measure_cost(exact, int32, judges, scan=int8)
    check_quality("int8 scan with int32 scores", costs["int8"], limits, ndcg_needed=False)
    return costs


def _write_directory(
    out: Path, towers: _Towers, texts: Mapping[str, str], tables: Mapping[str, bytes]
) -> None:
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        for name, content in {**towers.graphs, **tables}.items():
            (temporary / name).write_bytes(content)
        for name, text in texts.items():
            (temporary / name).write_text(text + "\n", encoding="utf-8")
        np.save(temporary / "item_vectors.npy", towers.item_vectors, allow_pickle=False)
        np.savez(temporary / "calibration_inputs.npz", allow_pickle=False, **towers.calibration)
        put_in_place(temporary, out)
    except OSError as error:
        raise ExportOutputError(f"cannot write {out}: {error}") from error
    finally:
        with suppress(OSError):
            shutil.rmtree(temporary)
