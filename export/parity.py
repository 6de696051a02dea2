"""Compares a trained tower with its ONNX graph, request by request: the only door to onnxruntime here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from export.errors import ExportParityError
from export.precision import Precision
from index.features import EVENT_TYPES, UNKNOWN_TOKEN

REQUEST_COUNT: Final = 10_000
RELATIVE_ERROR_LIMITS: Final[Mapping[Precision, float]] = {"float32": 1e-5, "fp16": 1e-3, "int8": 2e-2}
"""How far a graph may be from its tower. Of the simulated platform's, with 64 dimensions, float32 was 2.7e-7
away, fp16 2.0e-4 and int8 3.5e-3; what such a difference costs is judged by export.quality_gate."""
# Batches of one, of primes and of many: the batch is dynamic and must not change an answer.
_BATCH_COUNTS: Final = (1, 7, 64, 1021)

Inputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Parity:
    """Holds how far a graph is from its tower: max |torch - onnx| / max |torch|."""

    precision: Precision
    request_count: int
    relative_error_max: float
    limit: float


def check_parity(
    tower: nn.Module, graph: bytes, inputs: Inputs, *, name: str, precision: Precision = "float32"
) -> Parity:
    """Runs both on all inputs and compares.

    Raises:
        ExportParityError: the error is above the precision's limit, or a value is not finite.
    """
    limit = RELATIVE_ERROR_LIMITS[precision]
    count = len(next(iter(inputs.values())))
    session = open_session(graph)
    expected, found = [], []
    start, turn = 0, 0
    while start < count:
        stop = min(start + _BATCH_COUNTS[turn % len(_BATCH_COUNTS)], count)
        batch = {key: value[start:stop] for key, value in inputs.items()}
        with torch.no_grad():
            expected.append(tower(*(torch.from_numpy(value) for value in batch.values())).numpy())
        found.append(session.run(None, batch)[0])
        start, turn = stop, turn + 1
    ours, theirs = np.concatenate(expected), np.concatenate(found)
    error = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    # Written so that NaN is refused too.
    if not error <= limit:
        raise ExportParityError(
            f"{name} in {precision}: expected a relative error of at most {limit:g} between torch and "
            f"ONNX Runtime over {count} requests, got {error:g}"
        )
    return Parity(precision, count, error, limit)


def embed_rows(session: onnxruntime.InferenceSession, inputs: Inputs) -> NDArray[np.float32]:
    """Embeds row by row, as a server does; float32 [rows, embedding_dim]."""
    count = len(next(iter(inputs.values())))
    rows = ({name: value[row : row + 1] for name, value in inputs.items()} for row in range(count))
    return np.concatenate([session.run(None, row)[0] for row in rows])


def open_session(graph: bytes) -> onnxruntime.InferenceSession:
    """Opens a graph on one CPU thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def make_requests(real: Inputs, *, token_count: int, count: int = REQUEST_COUNT, seed: int = 0) -> Inputs:
    """Makes user inputs: two fifths real users resampled, two fifths random, one fifth without history."""
    rng = np.random.default_rng(seed)
    picked = rng.integers(0, len(real["history_token"]), count)
    requests = {name: value[picked].copy() for name, value in real.items()}
    kind = rng.integers(0, 5, count)
    empty, random = kind == 0, kind >= 3
    shape = (int(random.sum()), requests["history_token"].shape[1])
    present = np.arange(shape[1]) < rng.integers(1, shape[1] + 1, shape[0])[:, None]
    requests["history_token"][random] = rng.integers(UNKNOWN_TOKEN, token_count, shape) * present
    requests["history_event"][random] = rng.integers(1, len(EVENT_TYPES) + 1, shape) * present
    age = np.sort(rng.uniform(0, 9, shape).astype(np.float32), axis=1) * present
    requests["history_age"][random] = age
    # Each profile column is shuffled on its own: combinations that no real user has.
    for name in ("user_categorical", "user_numeric"):
        requests[name][random] = rng.permuted(requests[name][random], axis=0)
    for name in ("history_token", "history_event", "history_age"):
        requests[name][empty] = 0
    return requests
