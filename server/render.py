"""Answers onto the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from google.protobuf import duration_pb2, timestamp_pb2
from prudence.v1 import recommendation_pb2

from server import messages
from server.columns import to_microseconds
from server.diversity import WHOLE
from server.status import describe

# The generated stubs type enum values as a class that does not exist at run time.
_FAMILIES: dict[str, Any] = {
    name.removeprefix("PRODUCT_FAMILY_"): number for name, number in recommendation_pb2.ProductFamily.items()
}
_REASONS: dict[messages.ResponseReason, Any] = {
    reason: recommendation_pb2.ResponseReason.Value(f"RESPONSE_REASON_{reason.name}")
    for reason in messages.ResponseReason
}


_ALSO_TOOK = "Learners of {} also took this."
_ALSO_TOOK_ZH = "学习{}的人也学习了本内容。"


def render_recommend(answer: messages.ListAnswer) -> recommendation_pb2.RecommendResponse:
    """Writes an answer of Recommend."""
    return recommendation_pb2.RecommendResponse(
        products=_products(answer.products),
        reasons=[_REASONS[reason] for reason in answer.reasons],
        withheld_counts=[_withheld(withheld) for withheld in answer.withheld],
        decision=_decision(answer.decision),
        trace=None if answer.trace is None else _trace(answer.trace),
        diversity_trade_off=None if answer.trade_off == WHOLE else answer.trade_off / WHOLE,
        segment_id=answer.segment_id,
        experiments=_experiments(answer.experiments),
        answer_id=answer.decision.answer_id,
    )


def render_similar(answer: messages.ListAnswer) -> recommendation_pb2.SimilarProductsResponse:
    """Writes an answer of SimilarProducts."""
    return recommendation_pb2.SimilarProductsResponse(
        products=_products(answer.products),
        reasons=[_REASONS[reason] for reason in answer.reasons],
        withheld_counts=[_withheld(withheld) for withheld in answer.withheld],
        decision=_decision(answer.decision),
        segment_id=answer.segment_id,
        experiments=_experiments(answer.experiments),
        answer_id=answer.decision.answer_id,
    )


def render_score(answer: messages.ScoreAnswer) -> recommendation_pb2.ScoreProductsResponse:
    """Writes an answer of ScoreProducts."""
    return recommendation_pb2.ScoreProductsResponse(
        products=_products(answer.products),
        withheld=[_verdict(verdict) for verdict in answer.withheld],
        unknown_product_ids=answer.unknown_product_ids,
        decision=_decision(answer.decision),
        segment_id=answer.segment_id,
        experiments=_experiments(answer.experiments),
        answer_id=answer.decision.answer_id,
    )


def render_check(answer: messages.CheckAnswer) -> recommendation_pb2.CheckEligibilityResponse:
    """Writes an answer of CheckEligibility."""
    return recommendation_pb2.CheckEligibilityResponse(
        products=[_verdict(verdict) for verdict in answer.products], decision=_decision(answer.decision)
    )


def render_result(answer: messages.ListAnswer | Exception) -> recommendation_pb2.BatchRecommendResult:
    """Writes one outcome of a batch."""
    if isinstance(answer, messages.ListAnswer):
        return recommendation_pb2.BatchRecommendResult(response=render_recommend(answer))
    failure = describe(answer)
    return recommendation_pb2.BatchRecommendResult(
        error=recommendation_pb2.BatchError(
            code=failure.row.code.value[0],
            reason=failure.row.reason,
            field=failure.field,
            message=failure.problem,
        )
    )


def render_instant(instant: datetime) -> timestamp_pb2.Timestamp:
    """Writes an aware instant."""
    seconds, microseconds = divmod(to_microseconds(instant), 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1000)


def render_duration(seconds: float) -> duration_pb2.Duration:
    """Writes a time span of 0 or more."""
    whole, nanoseconds = divmod(round(seconds * 1e9), 1_000_000_000)
    return duration_pb2.Duration(seconds=whole, nanos=nanoseconds)


def _products(products: Sequence[messages.ListedProduct]) -> list[recommendation_pb2.RecommendedProduct]:
    # Most products of a list end together.
    ends = {product.valid_until: render_instant(product.valid_until) for product in products}
    return [render_product(product, ends[product.valid_until]) for product in products]


def render_product(
    product: messages.ListedProduct, valid_until: timestamp_pb2.Timestamp
) -> recommendation_pb2.RecommendedProduct:
    """Writes one product of a list."""
    facts = product.facts
    return recommendation_pb2.RecommendedProduct(
        product_id=product.product_id,
        score=product.score,
        title=facts.title,
        family=_FAMILIES.get(facts.family),
        effective_level=product.effective_level,
        risk_score=product.risk_score,
        risk_score_limit=product.risk_score_limit,
        warnings=product.warnings,
        valid_until_time=valid_until,
        alternate_title=facts.alternate_title,
        issuer=facts.issuer,
        assumed_fields=product.assumed_fields,
        source_reason=_source_reason(product),
    )


def _source_reason(product: messages.ListedProduct) -> recommendation_pb2.SourceReason | None:
    """Writes why a product is listed; nothing where the model's score alone brought it there."""
    if product.source is messages.ProductSource.MODEL:
        return None
    source: Any = product.source.value
    facts = product.antecedent
    if facts is None:
        return recommendation_pb2.SourceReason(source=source)
    name, name_zh = facts.title or facts.product_id, facts.alternate_title or facts.title or facts.product_id
    return recommendation_pb2.SourceReason(
        source=source,
        antecedent_product_id=facts.product_id,
        text=_ALSO_TOOK.format(f"“{name}”"),
        text_zh=_ALSO_TOOK_ZH.format(f"《{name_zh}》"),
    )


def _withheld(withheld: messages.Withheld) -> recommendation_pb2.WithheldCount:
    return recommendation_pb2.WithheldCount(
        code=withheld.code,
        product_count=withheld.product_count,
        example_product_id=withheld.example_product_id,
        example_risk_score=withheld.example_risk_score,
    )


def _verdict(verdict: messages.Verdict) -> recommendation_pb2.ProductEligibility:
    reasons = [
        recommendation_pb2.EligibilityReason(
            code=code.name,
            number=code.number,
            remedy=code.remedy.value,
            text=code.text,
            text_zh=code.text_zh,
            basis=code.basis,
            waivable=code.name in verdict.waivable_codes,
        )
        for code in verdict.codes
    ]
    return recommendation_pb2.ProductEligibility(
        product_id=verdict.product_id,
        known=verdict.known,
        eligible=verdict.eligible,
        reasons=reasons,
        valid_until_time=None if verdict.valid_until is None else render_instant(verdict.valid_until),
        warnings=verdict.warnings,
        assumed_fields=verdict.assumed_fields,
    )


def _experiments(
    drawn: Sequence[messages.ExperimentVariant],
) -> list[recommendation_pb2.ExperimentVariant]:
    return [
        recommendation_pb2.ExperimentVariant(experiment=each.experiment, variant=each.variant)
        for each in drawn
    ]


def _decision(decision: messages.DecisionStamp) -> recommendation_pb2.Decision:
    return recommendation_pb2.Decision(
        decision_time=render_instant(decision.decision_time),
        system_clock=decision.system_clock,
        bundle_version=decision.bundle_version,
        policy_hash=decision.policy_hash,
        request_id=decision.request_id,
        overlay_hash="" if decision.overlay is None else decision.overlay.sha256,
        overlay_sequence=0 if decision.overlay is None else decision.overlay.sequence,
        catalogue_sequence=decision.catalogue_sequence,
    )


def _trace(trace: messages.TraceDetail) -> recommendation_pb2.Trace:
    return recommendation_pb2.Trace(
        stages=[
            recommendation_pb2.StageTiming(
                stage=stage.stage, elapsed=render_duration(stage.seconds), row_count=stage.row_count
            )
            for stage in trace.stages
        ],
        batch_count=trace.batch_count,
        search_round_count=trace.search_round_count,
        candidate_count=trace.candidate_count,
        removed_count=trace.removed_count,
        history_event_count=trace.history_event_count,
        history_unknown_count=trace.history_unknown_count,
        rows_scanned_count=trace.rows_scanned_count,
        retriever=trace.retriever,
        provider=trace.provider,
    )
