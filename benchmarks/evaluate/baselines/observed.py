"""Holds what a baseline may learn from: who has which product, and what the products are."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Matrix = Any  # scipy.sparse.csr_array; the library has no types of its own.


@dataclass(frozen=True)
class Observed:
    """Everything that is known when baselines learn.

    Attributes:
        user_ids: [users], ascending.
        product_ids: [products], ascending.
        pairs: float64 [users, products], 1 where the user has the product, sparse by rows.
        attributes: float64 [products, attributes], 1 where the product has the attribute, sparse by rows.
    """

    user_ids: tuple[str, ...]
    product_ids: tuple[str, ...]
    pairs: Matrix
    attributes: Matrix

    def keep_products(self, kept: NDArray[np.bool_]) -> "Observed":
        """Returns the same users with some of the products, [products]."""
        ids = tuple(product for product, keep in zip(self.product_ids, kept, strict=True) if keep)
        return Observed(self.user_ids, ids, self.pairs[:, kept], self.attributes[kept])


class Baseline(Protocol):
    """A scorer that learns from a matrix of pairs; all of them are interchangeable."""

    def fit(self, observed: Observed) -> None:
        """Learns from the pairs; the result depends on them and on the settings alone."""
        ...

    def score(self, user_rows: IntArray) -> FloatArray:
        """Scores all products for users of `fit`, float64 [len(user_rows), products]; higher is better."""
        ...


def observe(
    pairs: Iterable[tuple[str, str]],
    *,
    user_ids: Collection[str] = (),
    attributes: Mapping[str, Collection[str]] | None = None,
) -> Observed:
    """Makes the matrix of pairs; a pair that is repeated counts once.

    Args:
        pairs: (user, product).
        user_ids: users to know even where they have no pair.
        attributes: the catalogue, each product with its attributes; products of pairs are known without it.
    """
    distinct = sorted(set(pairs))
    catalogue = attributes or {}
    users = sorted({user for user, _ in distinct} | set(user_ids))
    products = sorted({product for _, product in distinct} | set(catalogue))
    names = sorted({name for values in catalogue.values() for name in values})
    described = [(product, name) for product, values in catalogue.items() for name in set(values)]
    return Observed(
        tuple(users),
        tuple(products),
        _mark(distinct, users, products),
        _mark(described, products, names),
    )


def _mark(pairs: Sequence[tuple[str, str]], rows: Sequence[str], columns: Sequence[str]) -> Matrix:
    row_of = {name: row for row, name in enumerate(rows)}
    column_of = {name: column for column, name in enumerate(columns)}
    row = np.array([row_of[name] for name, _ in pairs], np.int64)
    column = np.array([column_of[name] for _, name in pairs], np.int64)
    ones = np.ones(len(pairs))
    return sparse.csr_array((ones, (row, column)), shape=(len(rows), len(columns)))
