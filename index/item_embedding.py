"""Fits and encodes the embedding that a catalogue may bring for each product, made offline by any encoder.

An encoder of texts, images or sound places products in its own space. Its vectors are centred and divided by
one number for all components, so that directions and distances stay as the encoder made them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from index.errors import FeatureSchemaError, FeatureValueError
from index.fields import EMBEDDING, Record

WIDTH_MAX: Final = 16_384  # The widest text encoders in use have 12,288 components.
_SCALE_MIN: Final = 1e-9  # Below it all vectors are alike.


@dataclass(frozen=True)
class EmbeddingScale:
    """Holds what is subtracted from every vector and what it is then divided by."""

    mean: tuple[float, ...]  # [width]
    scale: float

    @property
    def width(self) -> int:
        """Counts the components."""
        return len(self.mean)

    @classmethod
    def from_body(cls, body: Any) -> Self:
        """Reads what `dataclasses.asdict` gave.

        Raises:
            FeatureSchemaError: it is something else, or holds what is not finite.
        """
        match body:
            case {"mean": [_, *_] as mean, "scale": int() | float() as scale} if len(body) == 2:
                numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in mean)
                if numbers and len(mean) <= WIDTH_MAX and 0 < scale < math.inf:
                    return cls(tuple(map(float, mean)), float(scale))
        raise FeatureSchemaError(
            f"features: item_embedding must be 1 to {WIDTH_MAX} means and a scale above 0, got {body!r:.80}"
        )


def fit_embedding(products: Sequence[Record]) -> EmbeddingScale | None:
    """Fits the transform; None where no product has an embedding.

    Raises:
        FeatureValueError: one is not finite, or their widths differ; the message names field and row.
    """
    first = next((vector for product in products if (vector := product.get(EMBEDDING)) is not None), None)
    if first is None:
        return None
    vectors, known = _stack(products, len(first))
    present = vectors[known]  # [products with one, width]
    mean = present.mean(axis=0, dtype=np.float64)
    scale = float(np.sqrt(np.square(present - mean).mean()))
    return EmbeddingScale(tuple(mean.tolist()), scale if scale > _SCALE_MIN else 1.0)


def encode_embedding(fitted: EmbeddingScale, products: Sequence[Record]) -> NDArray[np.float32]:
    """Encodes embeddings, float32 [products, width + 1]: zeros and, last, 1 where a product has none.

    Raises:
        FeatureValueError: one is not finite, or not as wide as what was fitted; the message names the row.
    """
    vectors, known = _stack(products, fitted.width)
    encoded = np.zeros((len(products), fitted.width + 1), np.float32)
    encoded[known, :-1] = (vectors[known] - np.array(fitted.mean)) / fitted.scale
    encoded[~known, -1] = 1.0
    return encoded


def _stack(products: Sequence[Record], width: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns all embeddings, [products, width], and which products have one."""
    if not 1 <= width <= WIDTH_MAX:
        raise FeatureValueError(f"{EMBEDDING}: expected 1 to {WIDTH_MAX} numbers, got {width}")
    vectors = np.zeros((len(products), width), np.float32)
    known = np.zeros(len(products), np.bool_)
    for row, product in enumerate(products):
        vector = product.get(EMBEDDING)
        if vector is None:
            continue
        if len(vector) != width:
            raise FeatureValueError(
                f"{EMBEDDING}: expected {width} numbers in row {row}, as in the others, got {len(vector)}"
            )
        vectors[row], known[row] = vector, True
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise FeatureValueError(
            f"{EMBEDDING}: expected finite numbers in row {wrong[0]}, got NaN or infinity"
        )
    return vectors, known
