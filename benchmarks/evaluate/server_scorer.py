"""Scores through a running server over gRPC: profiles and histories travel with every request."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.errors import BenchmarkInputError
from benchmarks.evaluate.task import Scores
from benchmarks.messages import make_recommend, make_user
from benchmarks.serving import Stub
from index.features import Event

PRODUCT_COUNT_MAX = 10_000  # The wire contract's limit.
TIMEOUT_S = 60.0


class ServerScorer:
    """Scores products by the integers that a server sends."""

    def __init__(
        self,
        stub: Stub,
        histories: Mapping[str, Sequence[Event]],
        profiles: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Keeps what is told of users.

        Args:
            stub: of a running server whose catalogue may be shown to everybody.
            histories: what users did, by user id.
            profiles: what is known about users, by user id.
        """
        self._stub = stub
        self._histories = histories
        self._profiles = profiles

    def score(self, user_ids: Sequence[str], product_ids: Sequence[str]) -> Scores:
        """Returns the scores that ScoreProducts gives, int64 [users, products].

        Raises:
            BenchmarkInputError: the server withholds a product, or does not know it.
        """
        column_of = {product: column for column, product in enumerate(product_ids)}
        scores = np.zeros((len(user_ids), len(product_ids)), np.int64)
        for row, user in enumerate(user_ids):
            for start in range(0, len(product_ids), PRODUCT_COUNT_MAX):
                asked = product_ids[start : start + PRODUCT_COUNT_MAX]
                request = pb.ScoreProductsRequest(user=self._make_user(user), product_ids=asked)
                answer = self._stub.ScoreProducts(request, timeout=TIMEOUT_S)
                if len(answer.products) != len(asked):
                    raise BenchmarkInputError(
                        f"the server scored {len(answer.products)} of {len(asked)} products; expected all"
                    )
                for product in answer.products:
                    scores[row, column_of[product.product_id]] = product.score
        return scores

    def recommend(
        self, user_id: str, *, k: int, candidates: Sequence[str], owned: Sequence[str]
    ) -> tuple[str, ...]:
        """Returns the list that Recommend gives; more than 10,000 candidates are all of the catalogue."""
        named = candidates if len(candidates) <= PRODUCT_COUNT_MAX else ()
        request = make_recommend(
            self._make_user(user_id), domain="both", k=k, include_product_ids=named, allow_seen=True
        )
        request.exclude_product_ids.extend(owned)
        answer = self._stub.Recommend(request, timeout=TIMEOUT_S)
        return tuple(product.product_id for product in answer.products)

    def _make_user(self, user_id: str) -> Any:
        return make_user(user_id, self._profiles.get(user_id) or {}, self._histories.get(user_id, ()))
