"""Devices and precisions: what 16 bits change, and what they must not."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.tiny_data import TINY_SETTINGS, make_events, write_data
from training.blocks import draw_blocks
from training.checkpoint import read_tensors
from training.config import Precision, TwoTowerConfig, make_config
from training.errors import DeviceError
from training.examples import Examples, encode_examples, read_learning_data
from training.learner import TwoTowerLearner
from training.mixed_precision import find_device, make_scaler
from training.run import train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("precision") / "data", make_events())


@pytest.fixture(scope="module")
def examples(data: Path) -> Examples:
    learning_data = read_learning_data(data)
    return encode_examples(learning_data, learning_data.interactions)


def compute_loss(examples: Examples, precision: Precision, encoder: str = "pooled") -> torch.Tensor:
    torch.manual_seed(1)
    config = TwoTowerConfig(embedding_dim=8, hidden_dim=5, precision=precision, encoder=encoder)  # type: ignore[arg-type]
    learner = TwoTowerLearner(examples, config)
    torch.manual_seed(2)
    loss: torch.Tensor = learner(draw_blocks(examples.targets, np.random.default_rng(1)))
    loss.backward()
    for name, entry in learner.named_parameters():
        assert entry.dtype == torch.float32, name
        assert entry.grad is None or torch.isfinite(entry.grad).all(), name
    return loss.detach()


@pytest.mark.parametrize("encoder", ["pooled", "attention", "transformer"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits_round_the_loss_and_no_more(
    examples: Examples, precision: Precision, encoder: str
) -> None:
    exact, rounded = (compute_loss(examples, name, encoder) for name in ("float32", precision))
    assert rounded.dtype == torch.float32
    assert rounded != exact
    # bf16 keeps 8 bits of a number: a part in 256.
    assert rounded.item() == pytest.approx(exact.item(), rel=2**-8)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_in_sixteen_bits_learns_and_repeats(data: Path, tmp_path: Path, precision: str) -> None:
    weights = []
    for name in ("a", "b"):
        config = make_config("two_tower", TINY_SETTINGS | {"precision": precision, "epochs": 8})
        console = Console(file=io.StringIO())
        train(data, tmp_path / name, config, resume=False, force=False, console=console)
        weights.append(read_tensors(tmp_path / name / "model.safetensors")[0])
    for part, value in weights[0].items():
        assert torch.equal(value, weights[1][part]), part
        assert value.dtype == torch.float32


def test_gradients_are_scaled_for_fp16_alone() -> None:
    enabled = {
        precision: make_scaler(make_config("two_tower", {"precision": precision})).is_enabled()
        for precision in ("float32", "bf16", "fp16")
    }
    assert enabled == {"float32": False, "bf16": False, "fp16": True}
    assert not make_scaler(make_config("mf", {})).is_enabled()


def test_a_device_that_is_not_there_is_refused_by_name(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"device: expected one that this machine .* got 'cuda'"):
        find_device("cuda")
    config = make_config("two_tower", TINY_SETTINGS | {"device": "cuda"})
    console = Console(file=io.StringIO())
    with pytest.raises(DeviceError):
        train(data, tmp_path / "run", config, resume=False, force=False, console=console)
    assert list(tmp_path.iterdir()) == []
