"""Jobs for the searcher, catalogues to search, and what must not be missed."""

import dataclasses
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from index import ann
from index.features import Event
from index.reference import rank_ids
from server.family import Family
from server.filter import Filter
from server.gate import Gate
from server.messages import Subject
from server.planner import Planner, Strategy
from server.retrieval import Retriever
from server.row_search import Extent, IndexSearch, RowSearch, ScanSearch
from server.scoring import Scorer
from server.search import Found, Job
from server.snapshot import Snapshot
from suitability import evaluate, load_policy
from suitability.policy import default_policy_path
from tests.server.cases import (
    CHANNEL,
    FAMILIES,
    NOW,
    PRODUCT_CHANGES,
    draw_changes,
    eligible_product,
    eligible_user,
    put,
)

POLICY = load_policy(default_policy_path())

NO_ROWS = np.empty(0, np.int64)

MODES: tuple[Literal["exact", "faiss", "mixed"], ...] = ("exact", "faiss", "mixed")


def found_of(outcome: Found | Exception) -> Found:
    assert isinstance(outcome, Found), outcome
    return outcome


def make_job(snapshot: Snapshot, *events: str, **changes: Any) -> Job:
    history = tuple(Event(product_id, "click", NOW.timestamp()) for product_id in events)
    values: dict[str, Any] = {
        "family": Family([(snapshot,)]),
        "snapshot": snapshot,
        "subject": Subject(eligible_user(), history, (), known=True),
        "row_start": 0,
        "row_stop": snapshot.bundle.products.count,
        "only_rows": None,
        "left_out_rows": NO_ROWS,
        "like_row": None,
        "k": 10,
        "risk_score_limit": None,
    }
    return Job(**(values | changes))


def make_retriever(vectors: np.ndarray, mode: Literal["exact", "faiss", "mixed"]) -> Retriever:
    """Returns a retriever that searches in one way; "mixed" takes FAISS where rows are selected."""
    index = ann.load_index(ann.build_index(vectors.astype(np.float32)))
    items = np.rint(vectors.astype(np.float64) * 127 / np.abs(vectors).max()).astype(np.int8)
    ways: dict[Strategy, RowSearch] = {"exact": ScanSearch(items), "faiss": IndexSearch(index, "faiss")}
    if mode == "mixed":
        return Retriever(Planner(ways, {"exact": SelectingCosts(1.0), "faiss": SelectingCosts(-1.0)}))
    return Retriever(Planner({mode: ways[mode]}, {}))


@dataclasses.dataclass
class SelectingCosts:
    """Costs that are high, or low, where rows are selected."""

    selected_s: float

    @property
    def least_s(self) -> float:
        return min(0.0, self.selected_s)

    def estimate(self, extent: Extent, candidate_count: int) -> float:
        return 0.0 if extent.bitmap is None else self.selected_s


def catalogue_snapshot(
    snapshot: Snapshot,
    products: list[dict[str, Any]],
    mode: Literal["exact", "faiss", "mixed"],
    vectors: np.ndarray | None = None,
) -> Snapshot:
    """Returns the snapshot over another catalogue, with random vectors if none are given."""
    dim = snapshot.bundle.manifest.embedding_dim
    if vectors is None:
        vectors = np.random.default_rng(2).integers(-99, 100, (len(products), dim)).astype(np.int32)
    gate = Gate(products, snapshot.policy)
    bundle: Any = SimpleNamespace(
        features=snapshot.bundle.features,
        vocabulary=snapshot.bundle.vocabulary,
        products=SimpleNamespace(count=len(products)),
        segments=snapshot.bundle.segments,
        associations=snapshot.bundle.associations,
    )
    return dataclasses.replace(
        snapshot,
        bundle=bundle,
        retriever=make_retriever(vectors, mode),
        scorer=Scorer(
            vectors,
            rank_ids([product["id"] for product in products]),
            user_scale=100.0,
            item_scale=10.0,
        ),
        gate=gate,
        filter=Filter(products, gate.columns, snapshot.policy),
    )


def sparse_products(count: int, eligible_count: int) -> list[dict[str, Any]]:
    """Returns products of which so many suit the eligible user, each of the others with one thing wrong."""
    random = np.random.default_rng(4)
    changes = draw_changes(PRODUCT_CHANGES, random)
    rows = set(random.choice(count, eligible_count, replace=False).tolist())
    products = []
    for row in range(count):
        good = eligible_product(f"x{row:04}", FAMILIES[row % len(FAMILIES)])
        product = dict(good)
        while row not in rows and is_eligible(product, eligible_user()):
            product = dict(good)
            put(product, *next(changes))
            product["id"] = good["id"]
        products.append(product)
    return products


def is_eligible(product: dict[str, Any], user: Mapping[str, Any]) -> bool:
    return not evaluate(user, product, POLICY, NOW, CHANNEL)


def assert_nothing_missed(snapshot: Snapshot, job: Job, found: Found, eligible: list[bool]) -> None:
    """Asserts that a list holds the best of what is eligible, and is short only where nothing else is."""
    rows = np.arange(job.row_start, job.row_stop) if job.only_rows is None else job.only_rows
    rows = np.array([row for row in rows if eligible[row] and row not in job.left_out_rows], np.int64)
    passing = found.rows[~found.masks.any(axis=1)]
    assert len(set(found.rows.tolist())) == len(found.rows)
    assert found.candidate_count >= len(found.rows)
    assert set(passing.tolist()) <= set(rows.tolist())
    assert best_of(snapshot, found, passing, job.k) == best_of(snapshot, found, rows, job.k)


def best_of(snapshot: Snapshot, found: Found, rows: np.ndarray, k: int) -> list[int]:
    scores = snapshot.scorer.score(found.vector, rows)
    best: list[int] = rows[snapshot.scorer.order(rows, scores, k)].tolist()
    return best
