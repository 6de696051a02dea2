"""Asks about the cold: products that nobody has touched, and users of whom little is known.

What came last is held out. All events of some products are hidden from everybody who learns, and all but the
last few events of some users. Of what users then took, the hidden products are asked for on their own: who
ranks them knows their content alone.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet

from benchmarks.errors import EmptyTestError
from benchmarks.evaluate.holding import (
    Products,
    collect_products,
    find_instants,
    forget_products,
    hold_out_after,
    shorten_histories,
)
from benchmarks.evaluate.task import Task

KNOWN_SHARE: Final = 0.9
FEW_EVENTS: Final = range(1, 4)
EVERYBODY: Final = "everybody"
COLD_PRODUCTS: Final = "cold products"
COLD_USERS: Final = "cold users"
K: Final = {COLD_PRODUCTS: 50, COLD_USERS: 10, EVERYBODY: 10}


@dataclass(frozen=True)
class Questions:
    """What is asked after one draw of hidden products.

    Attributes:
        everybody: asks for all that was held out; what may be learned from is its data.
        cold: the same, of cold products alone and of cold users alone; those that have a test.
        cold_product_count: products without events in the data.
    """

    everybody: Task
    cold: tuple[Task, ...]
    cold_product_count: int

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All questions, each named after its draw, its table saying what it is about."""
        return (*self.cold, self.everybody)


def ask_cold(data: Path, known: Path, *, hidden_share: float, shortened_share: float, seed: int) -> Questions:
    """Writes what may be learned from, and asks for what came later.

    Args:
        data: the data set; its last tenth of events is held out.
        known: where to write what may be learned from; replaced.
        hidden_share: of the products with events, how many lose all of them; 0 leaves those that are cold.
        shortened_share: of the users with events, how many keep their last one to three alone; 0 leaves those
            who have no more.
        seed: of the draws of products and users.

    Raises:
        EmptyTestError: neither a cold product nor a cold user is left to test.
    """
    (instant,) = find_instants(data, KNOWN_SHARE)
    relevant = hold_out_after(data, known, known_until=instant, tested_from=instant)
    owned = collect_products(known)
    forget_products(known, hidden_share, seed=seed)
    shorten_histories(known, shortened_share, FEW_EVENTS, seed=seed)
    events = pyarrow.parquet.read_table(known / "interactions.parquet", use_threads=False)
    touched = set(events["product_id"].to_pylist())
    catalogue = pyarrow.parquet.read_table(known / "products.parquet", columns=["id"], use_threads=False)
    ids: Any = catalogue["id"].to_pylist()
    candidates = tuple(sorted(ids))
    counts = Counter(events["user_id"].to_pylist())
    cold = frozenset(candidates) - touched

    def ask(table: str, asked: Products) -> Task:
        return Task(str(seed), table, known, instant, asked, owned, candidates)

    questions = {
        COLD_PRODUCTS: _narrow(relevant, lambda _, products: products & cold),
        COLD_USERS: _narrow(
            relevant, lambda user, products: products if counts[user] in FEW_EVENTS else frozenset()
        ),
    }
    tasks = tuple(ask(table, asked) for table, asked in questions.items() if asked)
    if not tasks:
        raise EmptyTestError(f"{data}: expected a cold product or a cold user to test, found none")
    return Questions(ask(EVERYBODY, relevant), tasks, len(cold))


def _narrow(
    relevant: Products, keep: Callable[[str, frozenset[str]], Collection[str]]
) -> dict[str, frozenset[str]]:
    """Keeps of each user's products what counts; a user with nothing left is not asked."""
    narrowed = {user: frozenset(keep(user, products)) for user, products in relevant.items()}
    return {user: products for user, products in narrowed.items() if products}
