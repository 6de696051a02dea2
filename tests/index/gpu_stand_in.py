"""A GPU for tests: faiss on the host under the names it has there, with the host's memory for the GPU's."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest


class GpuIndexIVFFlat:
    """Imitates a GPU index: takes no selector, probes as it was told before, and refuses k over 2048."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.nprobe = 1

    def search_c(self, count: int, queries: Any, k: int, scores: Any, rows: Any) -> None:
        if k > 2048:
            raise RuntimeError("GPU index only supports k <= 2048")
        parameters = None
        if isinstance(self._index, faiss.IndexIVF):
            parameters = faiss.SearchParametersIVF(nprobe=self.nprobe)
        self._index.search_c(count, queries, k, scores, rows, parameters)


def compare_on_gpu(_resources: object, arguments: Any) -> None:
    """Imitates faiss.bfKnn, with the host's memory for the device's."""
    if arguments.k > min(2048, arguments.numVectors):
        raise RuntimeError("GPU index only supports k <= 2048")

    def view(pointer: Any, kind: Any, *shape: int) -> np.ndarray:
        return np.ctypeslib.as_array((kind * int(np.prod(shape))).from_address(int(pointer))).reshape(shape)

    vectors = view(arguments.vectors, ctypes.c_float, arguments.numVectors, arguments.dims)
    queries = view(arguments.queries, ctypes.c_float, arguments.numQueries, arguments.dims)
    exact = faiss.IndexFlatIP(arguments.dims)
    exact.add(vectors)
    scores, rows = exact.search(queries, arguments.k)
    view(arguments.outDistances, ctypes.c_float, *scores.shape)[:] = scores
    view(arguments.outIndices, ctypes.c_int64, *rows.shape)[:] = rows


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_ins = {
        "StandardGpuResources": object,
        "get_num_gpus": lambda: 1,
        "index_cpu_to_gpu": lambda _owner, _device, index: GpuIndexIVFFlat(index),
        "GpuDistanceParams": SimpleNamespace,
        "DistanceDataType_F32": 1,
        "IndicesDataType_I64": 0,
        "bfKnn": compare_on_gpu,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(faiss, name, stand_in, raising=False)
