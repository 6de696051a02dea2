"""Opens a finished run for export and evaluation."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from index.errors import FeatureError
from index.features import FeatureSpec, Vocabulary
from index.texts import TERM_CODE_COUNT
from training.checkpoint import load_weights, read_tensors
from training.config import (
    Config,
    IalsConfig,
    MfConfig,
    SvdConfig,
    TwoTowerConfig,
    make_config,
    read_settings,
)
from training.errors import CheckpointError, MissingFileError
from training.factors import FactorModel
from training.ials import make_ials
from training.mf import MatrixFactorisation
from training.run import FORMAT_VERSION
from training.svd import make_svd
from training.task_heads import count_heads
from training.two_tower import TwoTower

# What version 4 moved, by its earlier name.
_MOVED: Final = {
    "user_tower.nothing": "user_tower.history.nothing",
    "user_tower.event_logit.weight": "user_tower.history.logit.event.weight",
    "user_tower.token_logit.weight": "user_tower.history.logit.token.weight",
    "user_tower.age_slope": "user_tower.history.logit.age_slope",
}

Towers = TwoTower | MatrixFactorisation | FactorModel


@dataclass(frozen=True)
class TrainedRun:
    """Holds a finished run; the towers are in evaluation mode."""

    config: Config
    spec: FeatureSpec
    vocabulary: Vocabulary
    towers: Towers
    metrics: Mapping[str, Any]
    source: Mapping[str, Any]


def open_run(run: Path) -> TrainedRun:
    """Opens a finished run.

    Raises:
        MissingFileError: a file is missing.
        SettingError: its settings are not of this version.
        CheckpointError: a file is damaged, of another schema, or does not fit the others.
    """
    values = read_settings(run / "config.json")
    config = make_config(str(values.get("model")), values)
    try:
        spec = FeatureSpec.from_json(_read_bytes(run / "features.json"))
        vocabulary = Vocabulary.from_json(_read_bytes(run / "vocabulary.json"))
        metrics = json.loads(_read_bytes(run / "metrics.json"))
        source = json.loads(_read_bytes(run / "source.json"))
    except (FeatureError, ValueError) as error:
        raise CheckpointError(f"{run}: {error}") from error
    weights, metadata = read_tensors(run / "model.safetensors")
    found = metadata.get("format_version")
    versions = [str(version) for version in range(1, FORMAT_VERSION + 1)]
    if found not in versions:
        raise CheckpointError(
            f"{run}/model.safetensors: expected format_version 1 to {FORMAT_VERSION}, got {found}"
        )
    if isinstance(config, TwoTowerConfig):
        _upgrade(weights, config, int(found))
    towers = _make_towers(spec, vocabulary.token_count, config)
    load_weights(towers, weights)
    return TrainedRun(config, spec, vocabulary, towers.eval(), metrics, source)


def _upgrade(weights: dict[str, Tensor], config: TwoTowerConfig, version: int) -> None:
    """Adds what runs of earlier versions did not learn and renames what they did: they score as they did."""
    if version < 2:
        weights["item_tower.log_temperature"] = torch.tensor(math.log(config.temperature))
    if version < 3:
        weights["item_tower.term.weight"] = torch.zeros(TERM_CODE_COUNT + 1, config.embedding_dim - 1)
    if version < 4:
        for before, now in _MOVED.items():
            if before in weights:
                weights[now] = weights.pop(before)
    if version < 5:
        # Popularity was the bias alone.
        head_count = weights["item_tower.bias.weight"].shape[1]
        for name in ("item_tower.project.weight", "item_tower.project.bias"):
            none = weights[name].new_zeros(head_count, *weights[name].shape[1:])
            weights[name] = torch.cat([weights[name], none])
        term = weights["item_tower.term.weight"]
        weights["item_tower.term.weight"] = torch.cat([term, term.new_zeros(len(term), head_count)], dim=1)
    if version < 6:
        weights["item_tower.unknown_length"] = torch.ones(())


def _make_towers(spec: FeatureSpec, token_count: int, config: Config) -> Towers:
    match config:
        case TwoTowerConfig():
            return TwoTower(spec, torch.ones(token_count, count_heads(config.heads)), config)
        case MfConfig():
            return MatrixFactorisation(token_count, config)
        case SvdConfig():
            return make_svd(token_count, config)
        case IalsConfig():
            return make_ials(token_count, config)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MissingFileError(f"{path}: cannot be read: {error.strerror}") from error
