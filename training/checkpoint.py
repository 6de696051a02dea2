"""Checkpoints: one safetensors file, replaced atomically, with weights, optimizer and how far the run is."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from training.errors import CheckpointError, OutputError
from training.loop import STAGES, Epoch, Stage, Trainer
from training.metrics import RankingQuality

_FORMAT_VERSION: Final = 2
_WEIGHT: Final = "weight/"
_OPTIMIZER: Final = "optimizer/"


@dataclass(frozen=True)
class Checkpoint:
    """Holds a checkpoint: the stages so far, the last one's tensors, and what run it belongs to."""

    run_id: str
    stages: tuple[Stage, ...]
    tensors: dict[str, Tensor]
    scaler: dict[str, Any]  # Of gradients; empty where they are not scaled.


def save_checkpoint(path: Path, *, run_id: str, stages: tuple[Stage, ...], trainer: Trainer) -> None:
    """Saves a checkpoint; `path` holds the last one or this one, never a part."""
    tensors = {_WEIGHT + name: value for name, value in copy_weights(trainer.learner).items()}
    for index, entry in trainer.optimizer.state_dict()["state"].items():
        tensors |= {
            f"{_OPTIMIZER}{index}/{name}": value.clone().contiguous() for name, value in entry.items()
        }
    state = {
        "format_version": _FORMAT_VERSION,
        "run_id": run_id,
        "stages": [asdict(stage) for stage in stages],
        "scaler": trainer.scaler.state_dict(),
    }
    write_tensors(path, tensors, {"state": json.dumps(state)})


def load_checkpoint(path: Path, *, run_id: str) -> Checkpoint:
    """Loads a checkpoint.

    Raises:
        CheckpointError: there is none, it is damaged, of another version, or of another run: other settings
            or other data.
    """
    tensors, metadata = read_tensors(path)
    try:
        state = json.loads(metadata["state"])
        version, found = state["format_version"], state["run_id"]
        current = version == _FORMAT_VERSION
        stages = tuple(_read_stage(stage) for stage in state["stages"]) if current else ()
        scaler = dict(state["scaler"]) if current else {}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: expected the state of a training run: {error!r}") from error
    if version != _FORMAT_VERSION:
        raise CheckpointError(f"{path}: expected format_version {_FORMAT_VERSION}, got {version!r}")
    if found != run_id:
        raise CheckpointError(f"{path}: belongs to a run with other settings or data; start without --resume")
    return Checkpoint(found, stages, tensors, scaler)


def restore_trainer(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Puts a checkpoint's weights and the states of optimizer and scaler into a fresh trainer.

    Raises:
        CheckpointError: the tensors do not fit.
    """
    weights = _select(checkpoint.tensors, _WEIGHT)
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in _select(checkpoint.tensors, _OPTIMIZER).items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value
    load_weights(trainer.learner, weights)
    groups = trainer.optimizer.state_dict()["param_groups"]
    trainer.optimizer.load_state_dict({"state": state, "param_groups": groups})
    trainer.scaler.load_state_dict(checkpoint.scaler)


def copy_weights(module: torch.nn.Module) -> dict[str, Tensor]:
    """Copies a module's weights by name; a shared weight is copied under each of its names."""
    return {name: value.detach().clone().contiguous() for name, value in module.state_dict().items()}


def load_weights(module: torch.nn.Module, weights: dict[str, Tensor]) -> None:
    """Loads weights by name.

    Raises:
        CheckpointError: a name or a shape differs.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"weights do not fit the model: {error}") from error


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes a safetensors file atomically: temporary sibling, fsync, rename.

    Raises:
        OutputError: it cannot be written, for example because the disk is full.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file(tensors, temporary, metadata)
    except SafetensorError as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Reads a safetensors file and its metadata.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error


def _select(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _read_stage(value: dict[str, Any]) -> Stage:
    if value["name"] not in STAGES:
        raise ValueError(f"stage {value['name']!r} is unknown")
    epochs = tuple(
        Epoch(**{**epoch, "quality": epoch["quality"] and RankingQuality(**epoch["quality"])})
        for epoch in value["epochs"]
    )
    return Stage(value["name"], epochs, value["finished"])
