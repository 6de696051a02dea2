"""Compares what the server answers with exact search in float32 over the products that suit the user.

The exact side shares no code with the server's search: ONNX Runtime on the bundle's tower and the float
vectors of the export. What suits is judged by suitability's plain definition product by product; in a large
catalogue by the compiled gate, whose verdicts the definition repeats on a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.bench.catalogue import Catalogue
from benchmarks.dataset import DataSet, read_json
from benchmarks.evaluate.bundle_scorer import open_tower, run_tower
from benchmarks.messages import make_recommend, make_user
from benchmarks.serving import Stub
from benchmarks.verify.dataset import ask_for
from index.bundle import Bundle
from index.features import encode_users
from index.reference import rank_ids
from server.gate import Gate, find_eligible
from suitability import Policy, evaluate

CHANNEL = "app"  # The server's default.
CALL_TIMEOUT_S = 30.0
DEFINED_COUNT_MAX = 10_000
"""Larger catalogues are judged by the gate: the definition takes 50 us for a product."""
SAMPLE_COUNT = 100
"""Of those that the gate calls eligible, and of the others, so many are judged by the definition, too."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RecallResult:
    """Recall@k of served answers against exact float search.

    Attributes:
        domain: learning, financial or both.
        k: list length.
        user_count: users compared: those to whom at least one product may be shown.
        recall_mean, recall_min: over users; of the k best eligible products, or of all if fewer.
        same_order_share: share of users whose list equals the exact one, order included.
        ineligible_count: served products that the second reading of the rules does not allow; must be 0.
        eligible_share: eligible products of the domain, mean over all users asked for.
        judged_by: the definition, or the gate with a sample by the definition.
        misjudged_count: products of the sample on which gate and definition differ; must be 0.
    """

    domain: str
    k: int
    user_count: int
    recall_mean: float
    recall_min: float
    same_order_share: float
    ineligible_count: int
    eligible_share: float
    judged_by: str
    misjudged_count: int


@dataclass(frozen=True)
class ExactSearch:
    """Everything the exact side needs; arrays are in the bundle's row order.

    Attributes:
        bundle: the bundle that is served.
        tower: its user tower.
        item_vectors: float32 [products, dim].
        id_rank: int64 [products]; orders products of equal score.
        policy: the policy in force.
        gate: judges where the catalogue is large; None where the definition judges every product.
    """

    bundle: Bundle
    tower: onnxruntime.InferenceSession
    item_vectors: NDArray[np.float32]
    id_rank: Rows
    policy: Policy
    gate: Gate | None


def open_exact(bundle: Bundle, export: Path, policy: Policy) -> ExactSearch:
    """Opens a bundle's tower, and reads the float vectors beside it."""
    vectors = np.load(export / "item_vectors.npy", allow_pickle=False)
    position_of = {product_id: row for row, product_id in enumerate(read_json(export / "product_ids.json"))}
    large = bundle.products.count > DEFINED_COUNT_MAX
    return ExactSearch(
        bundle=bundle,
        tower=open_tower(bundle.user_tower, thread_count=1),
        item_vectors=vectors[[position_of[product_id] for product_id in bundle.product_ids]],
        id_rank=rank_ids(bundle.product_ids),
        policy=policy,
        gate=Gate(bundle.products.rows, policy) if large else None,
    )


def measure_recall(
    stub: Stub, exact: ExactSearch, dataset: DataSet, user_ids: Sequence[str], *, domain: str, k: int
) -> RecallResult:
    """Asks the server for k products for every user and compares.

    Args:
        stub: the server; it serves the bundle of `exact`.
        exact: the exact side.
        dataset: profiles and histories, sent inline so that both sides read the same.
        user_ids: users with a profile.
        domain: learning, financial or both.
        k: list length.
    """
    recalls: list[float] = []
    shares = []
    same = ineligible = misjudged = 0
    catalogue = Catalogue(exact.bundle)
    row_start, row_stop = _domain_rows(exact, domain)
    for user_id in user_ids:
        profile, history = dataset.profiles[user_id], dataset.history(user_id)
        request = make_recommend(make_user(user_id, profile, history), domain=domain, k=k)
        answer = stub.Recommend(request, timeout=CALL_TIMEOUT_S)
        served = [product.product_id for product in answer.products]
        now = answer.decision.decision_time.ToDatetime(tzinfo=UTC)
        user = {**profile, "pseudonym": user_id.encode()}
        eligible = _find_eligible(exact, user, np.arange(row_start, row_stop), now)
        misjudged += _count_misjudged(exact, user, eligible, (row_start, row_stop), now)
        shares.append(len(eligible) / max(1, row_stop - row_start))
        asked = ask_for(dataset, user_id, catalogue, exact.policy.values)
        ineligible += sum(bool(asked.judge(product_id, now)) for product_id in served)
        seen = {event.product_id for event in history}
        best = [row for row in _rank(exact, dataset, user_id, eligible, now) if _id(exact, row) not in seen]
        best_ids = [_id(exact, row) for row in best[:k]]
        if best_ids:
            recalls.append(len(set(served) & set(best_ids)) / len(best_ids))
            same += served == best_ids
    return RecallResult(
        domain=domain,
        k=k,
        user_count=len(recalls),
        recall_mean=float(np.mean(recalls)) if recalls else 0.0,
        recall_min=min(recalls, default=0.0),
        same_order_share=same / len(recalls) if recalls else 0.0,
        ineligible_count=ineligible,
        eligible_share=float(np.mean(shares)) if shares else 0.0,
        judged_by="definition" if exact.gate is None else "gate, a sample by the definition",
        misjudged_count=misjudged,
    )


def _domain_rows(exact: ExactSearch, domain: str) -> tuple[int, int]:
    learning_count, count = exact.bundle.learning_count, exact.bundle.products.count
    return {"learning": (0, learning_count), "financial": (learning_count, count)}.get(domain, (0, count))


def _find_eligible(exact: ExactSearch, user: dict[str, object], rows: Rows, now: datetime) -> Rows:
    """Returns the rows that may be shown."""
    if exact.gate is not None:
        return rows[find_eligible(exact.gate.masks(user, rows, now, CHANNEL, None))]
    return rows[[_is_eligible(exact, user, row, now) for row in rows.tolist()]]


def _count_misjudged(
    exact: ExactSearch, user: dict[str, object], eligible: Rows, extent: tuple[int, int], now: datetime
) -> int:
    """Counts where the definition says otherwise than the gate, on a sample of either verdict."""
    if exact.gate is None:
        return 0
    random = np.random.default_rng(len(eligible))
    others = np.setdiff1d(np.arange(*extent), eligible, assume_unique=True)
    wrong = 0
    for rows, verdict in ((eligible, True), (others, False)):
        sample = random.permutation(rows)[:SAMPLE_COUNT].tolist()
        wrong += sum(_is_eligible(exact, user, row, now) is not verdict for row in sample)
    return wrong


def _is_eligible(exact: ExactSearch, user: dict[str, object], row: int, now: datetime) -> bool:
    return not evaluate(user, exact.bundle.products.row(row), exact.policy, now, CHANNEL)


def _rank(exact: ExactSearch, dataset: DataSet, user_id: str, rows: Rows, now: datetime) -> list[int]:
    """Ranks eligible rows by float32 inner product, ties by id."""
    history = dataset.history(user_id)
    inputs = encode_users(
        exact.bundle.features, exact.bundle.vocabulary, [dataset.profiles[user_id]], [history], now
    )
    scores = exact.item_vectors[rows] @ run_tower(exact.tower, inputs)[0]  # [rows]
    order = np.lexsort((exact.id_rank[rows], -scores))
    ranked: list[int] = rows[order].tolist()
    return ranked


def _id(exact: ExactSearch, row: int) -> str:
    return exact.bundle.product_ids[row]
