"""Priority classes: which calls are refused first when not all can be answered.

As criticality in "Handling Overload" (Site Reliability Engineering, O'Reilly 2016, chapter 21) and the
partitions of Netflix' concurrency-limits: a class may use a share of the limit, the highest all of it.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Priority(IntEnum):
    """What a call is worth beside others; a smaller number is served first and refused last."""

    HIGH = 0
    """Somebody waits for the list on a screen."""
    NORMAL = 1
    """What a caller of whom nothing is said asks for."""
    LOW = 2
    """Work in bulk that can be done later."""

    @property
    def label(self) -> str:
        """The name as the callers' file and metrics write it."""
        return self.name.lower()


SHARES: Final[Mapping[Priority, float]] = {Priority.HIGH: 1.0, Priority.NORMAL: 0.9, Priority.LOW: 0.5}
"""How much of the limit may be under way for a call of the class to be let in."""

METHOD_PRIORITY: Final[Mapping[str, Priority]] = {
    "/prudence.v1.RecommendationService/BatchRecommend": Priority.LOW,
    "/prudence.v1.RiskService/BatchScore": Priority.LOW,
}
"""Methods that are never more than this, whoever calls them."""

TIMED_METHODS: Final = frozenset(
    f"/prudence.v1.RecommendationService/{name}" for name in ("Recommend", "ScoreProducts", "SimilarProducts")
)
"""Methods that search once. How long they take says how loaded the server is."""


def of_method(method: str) -> Priority:
    """Returns the highest class that calls of a method may have."""
    return METHOD_PRIORITY.get(method, Priority.HIGH)
