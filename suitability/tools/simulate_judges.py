"""Judges a population: with the installed gate, which is fast, or with the definition, which is right.

This package imports nothing of ours, so the gate comes to it as an entry point: the server declares
`gate` in the group JUDGES. Because only the definition is right, a sample of what a gate says is judged again
with the definition, and one difference stops the simulation.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import entry_points
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suitability.codes import code_mask, codes_of_mask
from suitability.errors import SimulationError
from suitability.evaluate import evaluate
from suitability.policy import Policy

JUDGES: Final = "prudence.judges"

Record = Mapping[str, Any]
Masks = NDArray[np.uint64]
Judge = Callable[[Iterable[Sequence[Record]], Sequence[Record], Policy, datetime, str], Iterator[Masks]]
"""Judges chunks of profiles against products: yields uint64 [profiles, products, 2] for each chunk."""

_WORD: Final = (1 << 64) - 1


def find_judge(name: str) -> tuple[str, Judge]:
    """Returns a judge and its name; `auto` is the gate where one is installed, else the definition.

    Raises:
        SimulationError: `gate` is asked for and none is installed.
    """
    if name == "definition":
        return name, judge_by_definition
    found = list(entry_points(group=JUDGES, name="gate"))
    if found:
        judge: Judge = found[0].load()
        return "gate", judge
    if name == "auto":
        return "definition", judge_by_definition
    raise SimulationError(
        f"no gate is installed (entry point gate in group {JUDGES}); "
        "install the application, or say --judge definition"
    )


def judge_by_definition(
    chunks: Iterable[Sequence[Record]],
    products: Sequence[Record],
    policy: Policy,
    now: datetime,
    channel: str,
) -> Iterator[Masks]:
    """Judges every pair with `evaluate`: right, and about a tenth of a millisecond a pair."""
    for profiles in chunks:
        masks = np.empty((len(profiles), len(products), 2), np.uint64)
        for user_row, profile in enumerate(profiles):
            for product_row, product in enumerate(products):
                number = code_mask(evaluate(profile, product, policy, now, channel))
                masks[user_row, product_row] = number & _WORD, number >> 64
        yield masks


class SampleCheck:
    """Judges a random sample of pairs again with the definition; half of it where the verdict changed."""

    def __init__(
        self,
        products: Sequence[Record],
        policies: tuple[Policy, Policy],
        now: datetime,
        channel: str,
        *,
        pairs_per_chunk: int,
        random: np.random.Generator,
    ) -> None:
        """Keeps what every pair is judged with; the policies are the old one and the new one."""
        self._products = products
        self.policies = policies
        self.now = now
        self.channel = channel
        self._pairs_per_chunk = pairs_per_chunk
        self._random = random
        self.checked_count = 0
        self.changed_count = 0

    def check(self, profiles: Sequence[Record], rows: NDArray[np.int64], masks: tuple[Masks, Masks]) -> None:
        """Checks some pairs of one chunk under both policies.

        Args:
            profiles: the chunk.
            rows: their rows in the table of profiles, for the message.
            masks: what the gate said under the old and the new policy, uint64 [profiles, products, 2].

        Raises:
            SimulationError: the gate and the definition differ on a pair.
        """
        changed = np.flatnonzero(np.any(masks[0] != masks[1], axis=2))
        half = min(len(changed), self._pairs_per_chunk // 2)
        drawn = self._random.choice(changed, size=half, replace=False) if half else changed[:0]
        others = self._random.integers(0, masks[0][..., 0].size, size=self._pairs_per_chunk - half)
        for pair in np.concatenate([drawn, others]).tolist():
            user_row, product_row = divmod(pair, len(self._products))
            for policy, said in zip(self.policies, masks, strict=True):
                product = self._products[product_row]
                codes = evaluate(profiles[user_row], product, policy, self.now, self.channel)
                words = said[user_row, product_row]
                number = int(words[0]) | int(words[1]) << 64
                if number != code_mask(codes):
                    raise SimulationError(
                        f"the gate differs from the definition on profile row {rows[user_row]}, product row "
                        f"{product_row}, policy version {policy.version}: the gate says "
                        f"{sorted(codes_of_mask(number))}, the definition says {sorted(codes)}"
                    )
        self.checked_count += half + len(others)
        self.changed_count += half
