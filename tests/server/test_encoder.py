"""The tower runs on the device asked for or not at all; a stand-in for onnxruntime takes the GPU's place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from server import encoder
from server.encoder import Encoder
from server.errors import DeviceError

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts an onnxruntime with CUDA in place of the real one; its sessions load what `loaded` says."""
    calls: list[str] = []

    class Session:
        loaded = (CUDA, CPU)

        def __init__(self, tower: bytes, options: object, *, providers: list[str]) -> None:
            calls.append(f"session on {providers}")

        def get_providers(self) -> list[str]:
            return list(self.loaded)

        def get_inputs(self) -> list[Any]:
            return [SimpleNamespace(name="history_token", type="tensor(int64)")]

        def get_outputs(self) -> list[Any]:
            return [SimpleNamespace(name="user_vector")]

        def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
            calls.append(f"run of {len(feed['history_token'])}")
            return [np.zeros((len(feed["history_token"]), 4), np.float32)]

    stand_in = SimpleNamespace(
        get_available_providers=lambda: [CUDA, CPU],
        preload_dlls=lambda: calls.append("preload"),
        SessionOptions=onnxruntime.SessionOptions,
        InferenceSession=Session,
    )
    monkeypatch.setattr(encoder, "onnxruntime", stand_in)
    return calls


def test_on_cuda_the_libraries_are_loaded_first_and_a_batch_runs_at_once(calls: list[str]) -> None:
    tower = Encoder(b"", device="cuda", thread_count=1)
    assert tower.provider == CUDA
    assert tower.embed({"history_token": np.zeros((7, 50), np.int64)}).shape == (7, 4)
    assert calls == ["preload", f"session on ['{CUDA}']", "run of 7"]


@pytest.mark.usefixtures("calls")
def test_a_silent_fall_back_to_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder.onnxruntime.InferenceSession, "loaded", (CPU,))
    with pytest.raises(DeviceError, match="asked for CUDAExecutionProvider, onnxruntime loaded"):
        Encoder(b"", device="cuda", thread_count=1)
