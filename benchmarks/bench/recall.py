"""Compares what the server answers with exact search in float32 over the products that suit the user.

The exact side shares no code with the server's search or gate: ONNX Runtime on the bundle's tower, the float
vectors of the export, and suitability's plain definition product by product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.dataset import DataSet, read_json
from benchmarks.evaluate.bundle_scorer import open_tower, run_tower
from benchmarks.messages import make_recommend, make_user
from benchmarks.serving import Stub
from benchmarks.verify.dataset import ask_for
from index.bundle import Bundle
from index.features import encode_users
from suitability import Policy, evaluate

CHANNEL = "app"  # The server's default.
CALL_TIMEOUT_S = 30.0


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
    """

    domain: str
    k: int
    user_count: int
    recall_mean: float
    recall_min: float
    same_order_share: float
    ineligible_count: int


@dataclass(frozen=True)
class ExactSearch:
    """Everything the exact side needs.

    Attributes:
        bundle: the bundle that is served.
        tower: its user tower.
        item_vectors: float32 [products, dim], in the order of product_ids.
        product_ids: ids of the vectors' rows.
        policy: the policy in force.
    """

    bundle: Bundle
    tower: onnxruntime.InferenceSession
    item_vectors: NDArray[np.float32]
    product_ids: tuple[str, ...]
    policy: Policy


def open_exact(bundle: Bundle, export: Path, policy: Policy) -> ExactSearch:
    """Opens a bundle's tower, and reads the float vectors beside it."""
    tower = open_tower(bundle.user_tower, thread_count=1)
    vectors = np.load(export / "item_vectors.npy", allow_pickle=False)
    return ExactSearch(bundle, tower, vectors, tuple(read_json(export / "product_ids.json")), policy)


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
    same = ineligible = 0
    catalogue = dict(zip(exact.bundle.product_ids, exact.bundle.products.rows, strict=True))
    for user_id in user_ids:
        profile, history = dataset.profiles[user_id], dataset.history(user_id)
        request = make_recommend(make_user(user_id, profile, history), domain=domain, k=k)
        answer = stub.Recommend(request, timeout=CALL_TIMEOUT_S)
        served = [product.product_id for product in answer.products]
        eligible = _list_eligible(exact, dataset, user_id, answer, domain=domain)
        now = answer.decision.decision_time.ToDatetime(tzinfo=UTC)
        asked = ask_for(dataset, user_id, catalogue, exact.policy.values)
        ineligible += sum(bool(asked.judge(product_id, now)) for product_id in served)
        best = _search(exact, dataset, user_id, answer, eligible)[:k]
        if best:
            recalls.append(len(set(served) & set(best)) / len(best))
            same += served == best
    return RecallResult(
        domain=domain,
        k=k,
        user_count=len(recalls),
        recall_mean=float(np.mean(recalls)) if recalls else 0.0,
        recall_min=min(recalls, default=0.0),
        same_order_share=same / len(recalls) if recalls else 0.0,
        ineligible_count=ineligible,
    )


def _list_eligible(
    exact: ExactSearch, dataset: DataSet, user_id: str, answer: pb.RecommendResponse, *, domain: str
) -> set[str]:
    """Lists what may be shown, by the plain definition: of the domain, eligible, and not in the history."""
    now = answer.decision.decision_time.ToDatetime(tzinfo=UTC)
    user = {**dataset.profiles[user_id], "pseudonym": user_id.encode()}
    seen = {event.product_id for event in dataset.history(user_id)}
    learning = exact.bundle.learning_count
    rows = {"learning": range(learning), "financial": range(learning, exact.bundle.products.count)}
    return {
        exact.bundle.product_ids[row]
        for row in rows.get(domain, range(exact.bundle.products.count))
        if exact.bundle.product_ids[row] not in seen
        and not evaluate(user, exact.bundle.products.row(row), exact.policy, now, CHANNEL)
    }


def _search(
    exact: ExactSearch, dataset: DataSet, user_id: str, answer: pb.RecommendResponse, eligible: set[str]
) -> list[str]:
    """Ranks the eligible products by float32 inner product, ties by id."""
    now = answer.decision.decision_time.ToDatetime(tzinfo=UTC)
    profiles, histories = [dataset.profiles[user_id]], [dataset.history(user_id)]
    inputs = encode_users(exact.bundle.features, exact.bundle.vocabulary, profiles, histories, now)
    scores = exact.item_vectors @ run_tower(exact.tower, inputs)[0]  # [products]
    rows = [row for row, product_id in enumerate(exact.product_ids) if product_id in eligible]
    rows.sort(key=lambda row: (-float(scores[row]), exact.product_ids[row]))
    return [exact.product_ids[row] for row in rows]
