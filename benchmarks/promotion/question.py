"""What both bundles are asked: who did what after the later of them had stopped learning."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from benchmarks.dataset import LEARNING_FAMILY, DataSet, read_dataset
from benchmarks.evaluate.holding import collect_products, hold_out_after
from benchmarks.evaluate.task import Task, sample_users
from index.bundle import Bundle

EVERYTHING: Final = "all"
DOMAINS: Final = ("learning", "financial")
_SEED: Final = 0


@dataclass(frozen=True)
class Question:
    """What happened until an instant, and tasks about what happened from then on.

    Attributes:
        now: the instant; nothing from there on was learned by either bundle.
        known: the data set until then.
        tasks: by domain, and over the whole catalogue; a domain in which nothing happened is not there.
    """

    now: datetime
    known: DataSet
    tasks: Mapping[str, Task]


def find_end(bundle: Bundle) -> datetime:
    """Finds the instant until which a bundle's model learned: its data's clock, or else when it was built."""
    clock = bundle.manifest.source.get("clock")
    return datetime.fromisoformat(str(clock or bundle.manifest.create_time))


def make_question(data: Path, work: Path, *, now: datetime, user_count: int) -> Question:
    """Makes the question from a data set that reaches beyond an instant.

    Args:
        data: the data set.
        work: where to write what is known; replaced.
        now: the instant.
        user_count: the most users to ask about, drawn with a fixed seed.

    Raises:
        BenchmarkInputError: nothing happened from then on that was new to a user.
    """
    relevant = sample_users(hold_out_after(data, work, known_until=now, tested_from=now), user_count, _SEED)
    known, owned = read_dataset(work), collect_products(work)
    families = {product: record.get("family") for product, record in known.products.items()}
    domain_of = {product: DOMAINS[family != LEARNING_FAMILY] for product, family in families.items()}
    tasks = {}
    for name in (EVERYTHING, *DOMAINS):
        mine = frozenset(product for product in families if name in (EVERYTHING, domain_of[product]))
        wanted = {user: left for user, products in relevant.items() if (left := products & mine)}
        if wanted:
            tasks[name] = Task(name, name, work, now, wanted, owned, tuple(sorted(mine)))
    return Question(now, known, tasks)
