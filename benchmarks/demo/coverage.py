"""Counts over many users how much they are shown and what is withheld from them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prudence.v1 import recommendation_pb2 as pb

from benchmarks.messages import make_recommend, make_user
from benchmarks.progress import Advance
from benchmarks.serving import Stub

BATCH_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Coverage:
    """How many users were shown how much.

    Attributes:
        user_count: users asked for.
        full_count: users shown k products.
        some_count: users shown fewer than k but at least one.
        product_count: products shown to all of them together.
        code_counts: for each reason code the number of users from whom it withheld something.
        error_counts: failed requests by reason.
    """

    user_count: int
    full_count: int
    some_count: int
    product_count: int
    code_counts: Mapping[str, int]
    error_counts: Mapping[str, int]

    @property
    def full_share(self) -> float:
        """Returns the share of users shown k products."""
        return self.full_count / self.user_count if self.user_count else 0.0


def measure_coverage(
    stub: Stub, user_ids: Sequence[str], *, k: int, batch_count: int, advance: Advance
) -> Coverage:
    """Asks for k financial products for every user, by id, with BatchRecommend.

    Args:
        stub: the server.
        user_ids: users known to its store.
        k: products wanted for each.
        batch_count: users in one call.
        advance: told of the number of users answered.
    """
    shown: list[int] = []
    codes, errors = Counter[str](), Counter[str]()
    for start in range(0, len(user_ids), batch_count):
        block = user_ids[start : start + batch_count]
        requests = [make_recommend(make_user(user), domain="financial", k=k) for user in block]
        batch = stub.BatchRecommend(pb.BatchRecommendRequest(requests=requests), timeout=BATCH_TIMEOUT_S)
        for result in batch.results:
            shown.append(len(result.response.products))
            codes.update(withheld.code for withheld in result.response.withheld_counts)
            if result.HasField("error"):
                errors[result.error.reason] += 1
        advance(len(block))
    return Coverage(
        user_count=len(shown),
        full_count=sum(count == k for count in shown),
        some_count=sum(0 < count < k for count in shown),
        product_count=sum(shown),
        code_counts=dict(codes),
        error_counts=dict(errors),
    )
