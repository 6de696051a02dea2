"""Scores through a sealed bundle, as a server does: features, ONNX user tower, integer vectors."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.task import Scores
from index.bundle import Bundle, open_bundle, read_current
from index.features import Event, UserInputs, encode_users
from index.reference import quantise

USER_VECTOR = "user_vector"


class BundleScorer:
    """Scores products by the integers that a server would send, without what association rules add."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        profiles: Mapping[str, Mapping[str, Any]],
        histories: Mapping[str, Sequence[Event]],
        now: datetime,
    ) -> None:
        """Opens a session on the bundle's user tower.

        Args:
            bundle: an open bundle.
            profiles: what is known about users at `now`, by user id.
            histories: what users did before `now`, by user id.
            now: the decision time.
        """
        self._bundle = bundle
        self._profiles = profiles
        self._histories = histories
        self._now = now
        self._session = open_tower(bundle.user_tower, thread_count=1)
        self._rows = {product_id: row for row, product_id in enumerate(bundle.product_ids)}

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns integer scores, int64 [users, products].

        Raises:
            BenchmarkInputError: the bundle does not know a product.
        """
        unknown = [product for product in product_ids if product not in self._rows]
        if unknown:
            raise BenchmarkInputError(f"the bundle lacks {len(unknown)} candidates, for example {unknown[0]}")
        inputs = encode_users(
            self._bundle.features,
            self._bundle.vocabulary,
            [self._profiles.get(user) for user in user_ids],
            [self._histories.get(user, ()) for user in user_ids],
            self._now,
        )
        vectors = run_tower(self._session, inputs)  # [users, dim]
        users = quantise(vectors, self._bundle.manifest.user_scale)  # [users, dim]
        rows = [self._rows[product] for product in product_ids]
        items = self._bundle.item_vectors[rows]  # [products, dim]
        # float64 holds these sums exactly. Items fill half of their range, so that a score is at most
        # 2^45 dim, and at most 2^45 sqrt(dim) for a user of unit length.
        return np.rint(users.astype(np.float64) @ items.astype(np.float64).T).astype(np.int64)


def open_current(bundles: Path) -> Bundle:
    """Opens the bundle that CURRENT names, every byte proven."""
    return open_bundle(read_current(bundles))


def open_tower(
    content: bytes, *, thread_count: int, provider: str = "CPUExecutionProvider"
) -> onnxruntime.InferenceSession:
    """Opens an ONNX Runtime session that runs on the provider asked for and no other.

    Raises:
        BenchmarkInputError: ONNX Runtime did not load that provider.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count
    options.log_severity_level = 3  # Errors only; what loaded is checked below.
    session = onnxruntime.InferenceSession(content, sess_options=options, providers=[provider])
    loaded = session.get_providers()
    if loaded[0] != provider:
        raise BenchmarkInputError(f"ONNX Runtime loaded {loaded}; expected {provider} first")
    return session


def run_tower(session: onnxruntime.InferenceSession, inputs: UserInputs) -> NDArray[np.float32]:
    """Runs the user tower row by row, as a server does on the CPU: in a batch a row's last bits are others.

    Returns:
        float32 [users, dim], users >= 1.
    """
    feed = inputs.feed()
    rows = [
        {name: values[row : row + 1] for name, values in feed.items()}
        for row in range(len(inputs.history_token))
    ]
    return np.concatenate([session.run([USER_VECTOR], row)[0] for row in rows])
