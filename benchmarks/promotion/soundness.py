"""Checks a candidate by itself: it repeats its golden requests, and its catalogue is the data's."""

from collections.abc import Collection

import numpy as np

from benchmarks.evaluate.bundle_scorer import USER_VECTOR, open_tower
from benchmarks.promotion.measure import Measure, judge
from index.bundle import Bundle
from index.golden import VECTOR_TOLERANCE, GoldenRequest
from index.reference import quantise, rank_ids, score, select


def judge_soundness(candidate: Bundle, serving: Bundle, product_ids: Collection[str]) -> list[Measure]:
    """Judges the candidate's golden requests and catalogue.

    Args:
        candidate: the bundle to judge.
        serving: the bundle beside it, for the report.
        product_ids: the catalogue as the data has it.
    """
    faults = count_golden_faults(candidate)
    wrong, wrong_before = (len(set(bundle.product_ids) ^ set(product_ids)) for bundle in (candidate, serving))
    return [
        Measure(
            "golden answers changed", "candidate", len(candidate.golden.requests), None,
            float(faults), None, "none", judge(faults == 0),
        ),
        Measure(
            "products missing or gone", "catalogue", len(product_ids), float(wrong_before), float(wrong),
            None, "none", judge(wrong == 0),
        ),
    ]  # fmt: skip


def count_golden_faults(bundle: Bundle) -> int:
    """Counts the golden requests that the bundle's own tower and vectors answer otherwise."""
    session = open_tower(bundle.user_tower, thread_count=1)
    ranks = rank_ids(bundle.product_ids)

    def fails(request: GoldenRequest) -> bool:
        vector = session.run([USER_VECTOR], dict(request.inputs))[0]
        if not np.isfinite(vector).all():
            return True
        found = quantise(vector, bundle.manifest.user_scale)[0].astype(np.int64)
        scores = score(request.user_vector, bundle.item_vectors)
        best = select(scores, ranks, len(request.product_ids))
        names = tuple(bundle.product_ids[row] for row in best)
        return (
            int(np.abs(found - request.user_vector).max()) > VECTOR_TOLERANCE
            or names != request.product_ids
            or tuple(scores[best].tolist()) != request.scores
        )

    return sum(map(fails, bundle.golden.requests))
