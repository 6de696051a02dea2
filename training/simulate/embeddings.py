"""The simulated products' embeddings: what an encoder of texts or images might say of their true positions.

A random projection of the positions that behaviour depends on, with noise. It tells more than a product's
topic does, which is all that its tags and texts speak of.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.simulate.gaps import with_gaps
from training.simulate.settings import SimulationSettings
from training.simulate.tastes import TASTE_DIM, Floats

GAP_SHARE: Final = 0.02  # An encoder has no picture or text of some products.


def draw_embeddings(settings: SimulationSettings, positions: Floats, rng: np.random.Generator) -> Any:
    """Returns a column of embeddings.

    Args:
        settings: width and noise.
        positions: of the products, float32 [products, taste_dim].
        rng: what is drawn from.
    """
    width = settings.embedding_width
    projection = rng.standard_normal((TASTE_DIM, width)) / np.sqrt(TASTE_DIM)
    told: npt.NDArray[np.float64] = positions @ projection  # [products, width]
    noise = rng.standard_normal(told.shape) * settings.embedding_noise * np.sqrt(np.square(told).mean())
    rows = (told + noise).astype(np.float32).tolist()
    return with_gaps(pa.array(rows, pa.list_(pa.float32())), GAP_SHARE, rng)
