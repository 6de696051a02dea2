"""A run that was interrupted after any epoch ends where an uninterrupted one ends, bit for bit."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training import run as run_module
from training.checkpoint import load_checkpoint, read_tensors
from training.config import make_config

KINDS: dict[str, dict[str, Any]] = {
    "pooled": {},
    "attention": {"encoder": "attention"},
    "transformer": {"encoder": "transformer"},
    "dot": {"similarity": "dot"},
    "heads": {"heads": {"purchase": 4.0, "click": 2.0}},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("resume") / "data", make_events(23, 17, 7))


def train(
    data: Path, out: Path, settings: dict[str, Any], *, resume: bool = False
) -> dict[str, torch.Tensor]:
    config = make_config("two_tower", TINY_SETTINGS | {"epochs": 2, "patience": 9} | settings)
    run_module.train(
        data, out, config, resume=resume, force=False, console=Console(file=io.StringIO(), width=200)
    )
    return read_tensors(out / "model.safetensors")[0]


def keep_checkpoints(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Has every checkpoint of the next runs copied into a folder; returns the growing list of copies."""
    save, kept = run_module.save_checkpoint, list[Path]()

    def save_and_keep(path: Path, **options: Any) -> None:
        save(path, **options)
        kept.append(shutil.copy(path, folder / str(len(kept))))

    monkeypatch.setattr(run_module, "save_checkpoint", save_and_keep)
    return kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_resumed_from_any_checkpoint_equals_an_uninterrupted_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    with monkeypatch.context() as patch:
        checkpoints = keep_checkpoints(tmp_path, patch)
        whole = train(data, tmp_path / "whole", KINDS[kind])
    assert len(checkpoints) >= 3
    for place, checkpoint in enumerate(checkpoints):
        work = tmp_path / f".from{place}.partial"
        work.mkdir()
        shutil.copy(checkpoint, work / "checkpoint.safetensors")
        resumed = train(data, tmp_path / f"from{place}", KINDS[kind], resume=True)
        assert whole.keys() == resumed.keys()
        for name, value in whole.items():
            assert torch.equal(value, resumed[name]), f"checkpoint {place}: {name}"


def test_the_scale_of_gradients_is_part_of_a_checkpoint(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    save = run_module.save_checkpoint

    def record(path: Path, **options: Any) -> None:
        save(path, **options)
        checkpoint = load_checkpoint(path, run_id=options["run_id"])
        names.append(",".join(sorted(checkpoint.scaler)))

    monkeypatch.setattr(run_module, "save_checkpoint", record)
    train(data, tmp_path / "fp16", KINDS["fp16"])
    assert all("_growth_tracker" in name and "scale" in name for name in names)
    names.clear()
    train(data, tmp_path / "bf16", KINDS["bf16"])
    assert set(names) == {""}
