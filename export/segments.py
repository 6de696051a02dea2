"""Makes the segments of a model: groups of its training users' vectors, as a server computes them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from export.judges import encode_now
from export.parity import embed_rows, open_session
from index.reference import quantise
from index.segments import SEGMENT_COUNT_MAX, Segments, order_segments
from training.examples import LearningData
from training.segments import DEFAULT_COUNT, cluster_dbscan, cluster_k_means
from training.trained import TrainedRun

USER_COUNT: Final = 20_000
AUTO: Final = "auto"
DBSCAN: Final = "dbscan"
DEFAULT: Final = str(DEFAULT_COUNT)


def make_segments(
    trained: TrainedRun, data: LearningData, user_tower: bytes, user_scale: float, choice: str = DEFAULT
) -> Segments:
    """Embeds up to USER_COUNT users with all that they did, evenly spread over the ids, and groups them.

    Args:
        trained: the run.
        data: its data.
        user_tower: the graph that will serve.
        user_scale: integer steps per unit of a user vector.
        choice: a number of segments, AUTO or DBSCAN.

    Raises:
        EmptyDataError: DBSCAN found no cluster.
    """
    count = min(USER_COUNT, data.interactions.user_count)
    rows = np.linspace(0, data.interactions.user_count - 1, count).round().astype(np.int64)
    vectors = embed_rows(open_session(user_tower), encode_now(trained, data, rows))
    return group_users(vectors, user_scale, choice)


def group_users(vectors: NDArray[np.float32], user_scale: float, choice: str) -> Segments:
    """Groups user vectors, float32 [users, dim], and counts each group as a server would.

    The choice is that of `make_segments`.
    """
    if choice == DBSCAN:
        method, clusters = "dbscan", cluster_dbscan(vectors, count_max=SEGMENT_COUNT_MAX)
    else:
        method, clusters = "k_means", cluster_k_means(vectors, None if choice == AUTO else int(choice))
    return order_segments(
        method,
        quantise(vectors, user_scale),
        quantise(clusters.centroids, user_scale),
        noise_share=clusters.noise_share,
        silhouettes=clusters.silhouettes,
    )
