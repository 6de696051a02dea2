"""Golden requests: real tower inputs with the answers that a server must reproduce before it is ready.

Each holds the raw inputs of the user tower, the user vector that came out at export, and the best products
under exact integer scoring of that vector, before the gate. A server compares its own tower's vector within
VECTOR_TOLERANCE steps and the ranking of the recorded vector exactly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.ann_index import AnnIndex
from index.errors import BundleFormatError
from index.manifest import strict_json
from index.reference import rank_ids, score, select

GOLDEN = "golden.json"
GOLDEN_COUNT = 20
GOLDEN_K = 20

VECTOR_TOLERANCE = 2048
"""Steps by which a value of the user vector may differ between machines: export demands parity of 1e-5 of the
largest value, 84 steps at full range; 2048 leaves room for another BLAS or a GPU."""

INPUT_DTYPES: Mapping[str, type[np.generic]] = {
    "history_token": np.int64,
    "history_event": np.int64,
    "history_age": np.float32,
    "user_categorical": np.int64,
    "user_numeric": np.float32,
}
"""The user tower's inputs."""


@dataclass(frozen=True)
class GoldenRequest:
    """One request: inputs of one user (each [1, ...]), user vector, and the best products with scores."""

    inputs: Mapping[str, NDArray[Any]]
    user_vector: NDArray[np.int32]  # [dim]
    product_ids: tuple[str, ...]
    scores: tuple[int, ...]


@dataclass(frozen=True)
class Golden:
    """The golden requests of a bundle and the time at which they are evaluated."""

    decision_time: datetime
    requests: tuple[GoldenRequest, ...]


def make_golden(
    inputs: Mapping[str, NDArray[Any]],
    user_vectors: NDArray[np.int32],
    item_vectors: NDArray[np.int32],
    product_ids: Sequence[str],
    decision_time: datetime,
) -> Golden:
    """Answers the first GOLDEN_COUNT calibration users exactly, over all rows.

    Args:
        inputs: the tower's inputs by name, each [users, ...].
        user_vectors: int32 [users, dim].
        item_vectors: int32 [n, dim], bundle rows.
        product_ids: id of each row.
        decision_time: an instant with zone.
    """
    ranks = rank_ids(product_ids)
    requests = []
    for position in range(min(GOLDEN_COUNT, user_vectors.shape[0])):
        vector = user_vectors[position]
        scores = score(vector, item_vectors)  # [n]
        best = select(scores, ranks, GOLDEN_K)
        requests.append(
            GoldenRequest(
                inputs={name: inputs[name][position : position + 1] for name in INPUT_DTYPES},
                user_vector=vector,
                product_ids=tuple(product_ids[row] for row in best),
                scores=tuple(int(scores[row]) for row in best),
            )
        )
    return Golden(decision_time, tuple(requests))


def measure_found(golden: Golden, index: AnnIndex, item_vectors: NDArray[np.int32]) -> float:
    """Returns the share of the golden requests' best products that an index proposes.

    What is proposed counts by its exact score, so that a product of equal score is as good.

    Args:
        golden: the requests with their exact answers.
        index: an index over all rows.
        item_vectors: int32 [n, dim], bundle rows.

    Raises:
        AnnError: the index cannot be searched.
    """
    users = np.stack([request.user_vector for request in golden.requests])  # [users, dim]
    found = index.search(users.astype(np.float32), 2 * GOLDEN_K, 0, index.count)  # [users, candidates]
    best_count = found_count = 0
    for request, candidates in zip(golden.requests, found, strict=True):
        rows = candidates[candidates >= 0]
        good = score(request.user_vector, item_vectors[rows]) >= min(request.scores, default=0)
        best_count += len(request.scores)
        found_count += min(len(request.scores), int(np.count_nonzero(good)))
    return found_count / best_count if best_count else 1.0


def write_golden(golden: Golden) -> bytes:
    """Returns the requests as UTF-8 JSON; floats keep every bit."""
    body = {
        "format_version": 1,
        "decision_time": golden.decision_time.isoformat(),
        "requests": [
            {
                "inputs": {name: values.tolist() for name, values in request.inputs.items()},
                "user_vector": request.user_vector.tolist(),
                "product_ids": request.product_ids,
                "scores": request.scores,
            }
            for request in golden.requests
        ],
    }
    return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()


def read_golden(content: bytes) -> Golden:
    """Reads what `write_golden` wrote.

    Raises:
        BundleFormatError: it is not that.
    """
    body = strict_json(content, GOLDEN)
    if body.get("format_version") != 1:
        raise BundleFormatError(GOLDEN, f"format_version is {body.get('format_version')!r}; expected 1")
    try:
        decision_time = datetime.fromisoformat(body["decision_time"])
        requests = tuple(_read_request(request) for request in body["requests"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BundleFormatError(GOLDEN, f"expected golden requests: {error!r}") from error
    if decision_time.utcoffset() is None:
        raise BundleFormatError(GOLDEN, f"decision_time is {body['decision_time']!r}; expected a zone")
    return Golden(decision_time, requests)


def _read_request(body: Mapping[str, Any]) -> GoldenRequest:
    return GoldenRequest(
        inputs={name: np.array(body["inputs"][name], dtype=dtype) for name, dtype in INPUT_DTYPES.items()},
        user_vector=np.array(body["user_vector"], dtype=np.int32),
        product_ids=tuple(str(product_id) for product_id in body["product_ids"]),
        scores=tuple(int(score) for score in body["scores"]),
    )
