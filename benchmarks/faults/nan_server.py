"""Runs the server with a model that gives NaN for some users: `python -m benchmarks.faults.nan_server ...`.

Whether a user is one of them depends on the history alone, so that everybody is answered alike each time.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from index.device_matrix import DeviceMatrix
from server.__main__ import main
from server.encoder import Encoder

SHARE: Final = 3
"""One in so many products spoils the users whose history holds it as its last in the vocabulary."""


def spoil_vectors() -> None:
    """Makes searches of this process get NaN, infinity or 1e38 for some users' vectors.

    Golden requests go another way: they would refuse such a model, and the server would not start.
    """
    embed = Encoder.embed_in_place

    def embed_spoiled(
        self: Encoder, feed: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], DeviceMatrix | None]:
        vectors = np.array(embed(self, feed)[0])
        newest = np.asarray(feed["history_token"]).max(axis=1)
        for row in np.flatnonzero((newest > 0) & (newest % SHARE == 0)).tolist():
            vectors[row] = (np.nan, np.inf, 1e38)[int(newest[row]) // SHARE % 3]
        return vectors, None

    Encoder.embed_in_place = embed_spoiled  # type: ignore[method-assign]


if __name__ == "__main__":
    spoil_vectors()
    sys.exit(main(sys.argv[1:]))
