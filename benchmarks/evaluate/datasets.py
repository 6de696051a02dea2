"""Makes the tasks of a data set under a protocol: imports, holds out, and says who is asked what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow.parquet
from rich.console import Console

from benchmarks.dataset import LEARNING_FAMILY, read_json
from benchmarks.errors import BenchmarkInputError, EmptyTestError
from benchmarks.evaluate.held_out import HeldOut, merge_held_out, merge_valid, read_held_out
from benchmarks.evaluate.holding import (
    Products,
    collect_products,
    find_instants,
    hold_out_after,
    hold_out_last,
)
from benchmarks.evaluate.task import Task, sample_users
from benchmarks.pipeline import Artifacts, DataCommand, plan_data
from benchmarks.stages import run_stage

Protocol = Literal["sampled", "full", "leave-one-out"]
Fit = Literal["train", "train+valid"]

NEGATIVE_COUNT: Final = 99
VALID_SHARE, TEST_SHARE = 0.8, 0.9
PREFIXES: Final = ("C", "F")  # As training/importers/pairs.py names the items of two directories.
PUBLISHED: Final = ("pairs", "mooccubex")  # Their publishers hold out themselves.


@dataclass(frozen=True)
class Request:
    """What to evaluate.

    Attributes:
        dataset: name of the importer, or "data" for a data set in the documented schema.
        directories: where the data lies; two for two domains of pairs.
        protocol: how to ask.
        fit: whether the part for validation is known.
        user_count: the most users to test.
        seed: of that draw, and of negatives.
        work: directory for everything made on the way.
    """

    dataset: str
    directories: tuple[Path, ...]
    protocol: Protocol
    fit: Fit
    user_count: int
    seed: int
    work: Path


def make_tasks(request: Request, console: Console) -> list[Task]:
    """Makes the tasks: one, or one for each domain.

    Raises:
        BenchmarkInputError: the data does not suit the protocol, or nobody is left to test.
        StageFailedError: the import failed.
    """
    if request.dataset in PUBLISHED:
        directories = request.directories
        if request.fit == "train+valid":
            directories = tuple(
                merge_valid(directory, request.work / f"merged{place}")
                for place, directory in enumerate(directories)
            )
        data = _import(request, directories, console)
        parts = [read_held_out(*part) for part in zip(request.directories, PREFIXES, strict=False)]
        held = merge_held_out(parts)
    else:
        whole = (
            request.directories[0]
            if request.dataset == "data"
            else _import(request, request.directories, console)
        )
        data = request.work / "known"
        held = HeldOut(_hold_out(whole, data, request))
    return _make_domain_tasks(data, held, request)


def _import(request: Request, directories: Sequence[Path], console: Console) -> Path:
    artifacts = Artifacts(request.work)
    first, *second = map(str, directories)
    command = DataCommand(
        f"import {request.dataset}",
        ("training", "import", request.dataset, first),
        options=tuple(second),
        inputs=tuple(directories),
    )
    run_stage(plan_data(artifacts, command), artifacts.records, console)
    return artifacts.data


def _hold_out(whole: Path, data: Path, request: Request) -> Products:
    if request.protocol != "full":
        return hold_out_last(whole, data)
    valid_from, test_from = find_instants(whole, VALID_SHARE, TEST_SHARE)
    known_until = test_from if request.fit == "train+valid" else valid_from
    return hold_out_after(whole, data, known_until=known_until, tested_from=test_from)


def _make_domain_tasks(data: Path, held: HeldOut, request: Request) -> list[Task]:
    table = pyarrow.parquet.read_table(data / "products.parquet", columns=["id", "family"], use_threads=False)
    families: dict[str, str | None] = {row["id"]: row["family"] for row in table.to_pylist()}
    domains: dict[str, set[str]] = {}
    for product, family in families.items():
        domains.setdefault(_name_domain(product, family), set()).add(product)
    owned = collect_products(data)
    now = datetime.fromisoformat(str(read_json(data / "source.json")["clock"]))
    tasks = []
    for name, products in sorted(domains.items(), reverse=True):
        relevant = {
            user: left
            for user, mine in held.relevant.items()
            if (left := frozenset(one for one in mine if _name_domain(one, families.get(one)) == name))
        }
        if not relevant:
            continue
        tested = sample_users(relevant, request.user_count, request.seed)
        candidates = tuple(sorted(products))
        negatives = None
        if request.protocol == "sampled":
            negatives = held.negatives or _draw_negatives(tested, owned, candidates, request.seed)
            _check_negatives(tested, negatives)
        tasks.append(Task(name, name, data, now, tested, owned, candidates, negatives))
    if not tasks:
        raise EmptyTestError(f"{request.dataset}: expected at least one user to test, found none")
    return tasks


def _name_domain(product: str, family: str | None) -> str:
    """Names a product's domain; one that was never learned from is known by its prefix, and always missed."""
    learning = product.startswith(PREFIXES[0]) if family is None else family == LEARNING_FAMILY
    return "learning" if learning else "financial"


def _draw_negatives(
    tested: Products, owned: Products, candidates: Sequence[str], seed: int
) -> dict[str, frozenset[str]]:
    """Draws NEGATIVE_COUNT products that the user does not have; fewer where there are fewer."""
    rng = np.random.default_rng(seed)
    negatives = {}
    for user in sorted(tested):
        taken = owned.get(user, frozenset()) | tested[user]
        order = rng.permutation(len(candidates))[: NEGATIVE_COUNT + len(taken)]
        free = [candidates[place] for place in order if candidates[place] not in taken]
        negatives[user] = frozenset(free[:NEGATIVE_COUNT])
    return negatives


def _check_negatives(tested: Products, negatives: Mapping[str, frozenset[str]]) -> None:
    without = [user for user in tested if user not in negatives]
    if without:
        raise BenchmarkInputError(
            f"{len(without)} of {len(tested)} tested users have no negatives; expected all to"
        )
