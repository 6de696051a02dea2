"""Turns what is known of a borrower into bins: the whole numbers that every risk model takes.

Comparisons happen here and nowhere else, exactly and in one place, so that a model's graph sees no threshold
and a value that sits on one cannot fall on different sides in training and in serving.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from index.errors import RiskFieldError

Value = float | int | str | None
Record = Mapping[str, Value]


@dataclass(frozen=True)
class NumberBins:
    """Bins of a number: bin n holds the values from edges[n - 1] up to, but not including, edges[n].

    Attributes:
        name: the field of the record.
        reason: the reason code under which it is told.
        edges: ascending.
        missing_bin: the bin of a value that is absent, None or NaN.
    """

    name: str
    reason: str
    edges: tuple[float, ...]
    missing_bin: int

    @property
    def bin_count(self) -> int:
        """Counts the bins."""
        return len(self.edges) + 1

    def find(self, value: Value) -> int:
        """Returns the bin of a value.

        Raises:
            RiskFieldError: the value is no number, or is infinite.
        """
        if value is None:
            return self.missing_bin
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RiskFieldError(self.name, f"expected a number, got {type(value).__name__}")
        try:
            number = float(value)
        except OverflowError as error:
            raise RiskFieldError(self.name, "expected a number that 64 bits can hold, got more") from error
        if math.isnan(number):
            return self.missing_bin
        if math.isinf(number):
            raise RiskFieldError(self.name, "expected a finite number, got an infinite one")
        return bisect_right(self.edges, number)


@dataclass(frozen=True)
class CategoryBins:
    """Bins of a text.

    Attributes:
        name: the field of the record.
        reason: the reason code under which it is told.
        bin_of: the bin of every category that training saw.
        missing_bin: the bin of a value that is absent or None.
        unseen_bin: the bin of any other text.
    """

    name: str
    reason: str
    bin_of: Mapping[str, int]
    missing_bin: int
    unseen_bin: int

    @property
    def bin_count(self) -> int:
        """Counts the bins."""
        return max(self.bin_of.values()) + 1

    def find(self, value: Value) -> int:
        """Returns the bin of a value.

        Raises:
            RiskFieldError: the value is no text.
        """
        if value is None:
            return self.missing_bin
        if not isinstance(value, str):
            raise RiskFieldError(self.name, f"expected a text, got {type(value).__name__}")
        return self.bin_of.get(value, self.unseen_bin)


FeatureBins = NumberBins | CategoryBins
