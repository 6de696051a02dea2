"""Plain-text tables of the server's answers."""

import unicodedata
from collections.abc import Iterable, Sequence

from prudence.v1 import admin_pb2
from prudence.v1 import recommendation_pb2 as pb


def render_recommend(response: pb.RecommendResponse, *, whole_domain: bool) -> str:
    """Shows the products, why there are not more, what was withheld, and the trace if there is one.

    Args:
        response: the answer.
        whole_domain: whether the request asked for what is withheld of the whole domain.
    """
    parts = [
        _products_table(response.products),
        *_source_reasons(response.products),
        *_response_reasons(response.reasons),
    ]
    if response.HasField("diversity_trade_off"):
        parts.append(
            f"note: chosen for variety, trade-off {response.diversity_trade_off:g}; not in order of score"
        )
    parts += [
        f"note: variant {each.variant} of experiment {each.experiment}" for each in response.experiments
    ]
    parts += _withheld_counts(response.withheld_counts, whole_domain=whole_domain)
    if response.HasField("trace"):
        parts.append(_trace_table(response.trace))
    return _join([*parts, _decision_line(response.decision, response.segment_id)])


def render_score(response: pb.ScoreProductsResponse) -> str:
    """Shows the eligible products with scores, then the withheld ones with reasons, then unknown ids."""
    parts = [_products_table(response.products)]
    if response.withheld:
        parts.append(_eligibility_table(response.withheld))
    if response.unknown_product_ids:
        parts.append("unknown to the bundle: " + ", ".join(response.unknown_product_ids))
    return _join([*parts, _decision_line(response.decision)])


def render_similar(response: pb.SimilarProductsResponse) -> str:
    """Shows the similar products and why there are not more."""
    parts = [_products_table(response.products), *_response_reasons(response.reasons)]
    parts += _withheld_counts(response.withheld_counts, whole_domain=False)
    return _join([*parts, _decision_line(response.decision)])


def render_eligible(response: pb.CheckEligibilityResponse) -> str:
    """Shows one verdict per product."""
    return _join([_eligibility_table(response.products), _decision_line(response.decision)])


def render_info(response: pb.GetServingInfoResponse) -> str:
    """Shows every field of the serving information, one per line."""
    rows = []
    for descriptor in response.DESCRIPTOR.fields:
        value = getattr(response, descriptor.name)
        if descriptor.message_type is not None:
            value = value.ToJsonString() if response.HasField(descriptor.name) else "-"
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        rows.append([descriptor.name, str(value)])
    return _table([], rows)


def render_policy(response: admin_pb2.GetPolicyResponse) -> str:
    """Shows the policy in force, the overlay on it, and the versions to come."""
    header = ["", "policy", "version", "hash", "from"]
    rows = [["in force", *_version_cells(response.policy)]]
    rows += [["scheduled", *_version_cells(version)] for version in response.scheduled_policies]
    overlay = "no overlay"
    if response.HasField("overlay"):
        document = response.overlay.overlay_document.decode("utf-8", "replace")
        overlay = (
            f"overlay {response.overlay.overlay_sequence}, hash {response.overlay.overlay_hash}\n{document}"
        )
    signed = "changes need signatures" if response.signature_required else "unsigned; no change is taken"
    return _join([_table(header, rows), overlay, signed])


def render_overlay(response: admin_pb2.SetOverlayResponse) -> str:
    """Says which overlay is in force, and what it halts that the bundle does not have."""
    lines = [
        f"overlay {response.overlay_sequence} is in force, hash {response.overlay_hash}, "
        f"request {response.request_id}"
    ]
    if response.unknown_product_ids:
        lines.append("not in this bundle: " + ", ".join(response.unknown_product_ids))
    if response.unknown_issuers:
        lines.append("issuers of nothing in this bundle: " + ", ".join(response.unknown_issuers))
    return "\n".join(lines)


def render_activate(response: admin_pb2.ActivatePolicyResponse) -> str:
    """Says from when the version is in force, and which scheduled ones it replaced."""
    state = "is scheduled for" if response.scheduled else "is in force from"
    line = (
        f"policy {response.policy_hash} {state} {response.effective_time.ToJsonString()}, "
        f"request {response.request_id}"
    )
    if not response.replaced_versions:
        return line
    return f"{line}\nreplaces what was scheduled: {', '.join(response.replaced_versions)}"


def _version_cells(version: admin_pb2.PolicyVersion) -> list[str]:
    return [
        version.policy_id,
        version.version,
        version.policy_hash,
        version.effective_time.ToJsonString(),
    ]


def _products_table(products: Sequence[pb.RecommendedProduct]) -> str:
    if not products:
        return "no products"
    header = ["#", "product", "title", "family", "level", "risk score", "score", "warnings"]
    rows = [
        [
            str(position),
            product.product_id,
            product.title,
            pb.ProductFamily.Name(product.family).removeprefix("PRODUCT_FAMILY_"),
            str(product.effective_level) if product.HasField("effective_level") else "-",
            _risk_score(product),
            str(product.score),
            " ".join(product.warnings),
        ]
        for position, product in enumerate(products, start=1)
    ]
    return _table(header, rows)


def _risk_score(product: pb.RecommendedProduct) -> str:
    score = str(product.risk_score) if product.HasField("risk_score") else "-"
    return f"{score} <= {product.risk_score_limit}" if product.HasField("risk_score_limit") else score


def _eligibility_table(products: Sequence[pb.ProductEligibility]) -> str:
    rows = []
    for product in products:
        verdict = "eligible" if product.eligible else "not eligible" if product.known else "unknown"
        reasons = [[_reason_name(reason), reason.remedy, reason.text] for reason in product.reasons]
        first, *others = reasons or [["", "", ""]]
        rows.append([product.product_id, verdict, *first])
        rows += [["", "", *cells] for cells in others]
    return _table(["product", "verdict", "reason", "remedy", "what the user may be told"], rows)


def _reason_name(reason: pb.EligibilityReason) -> str:
    return f"{reason.code} (waivable)" if reason.waivable else reason.code


def _source_reasons(products: Sequence[pb.RecommendedProduct]) -> list[str]:
    told = [(each.product_id, each.source_reason.text) for each in products if each.source_reason.text]
    return ["\n".join(f"{product_id}: {text}" for product_id, text in told)] if told else []


def _response_reasons(reasons: Iterable[pb.ResponseReason]) -> list[str]:
    names = [pb.ResponseReason.Name(reason).removeprefix("RESPONSE_REASON_") for reason in reasons]
    return ["note: " + ", ".join(names)] if names else []


def _withheld_counts(counts: Sequence[pb.WithheldCount], *, whole_domain: bool) -> list[str]:
    if not counts:
        return []
    rows = []
    for each in counts:
        example = each.example_product_id
        if example and each.HasField("example_risk_score"):
            example += f" (risk score {each.example_risk_score})"
        rows.append([each.code, str(each.product_count), example])
    header = [
        "withheld because",
        "in the whole domain" if whole_domain else "among those searched",
        "for example",
    ]
    if not any(example for *_, example in rows):
        # The server gives examples with a trace only.
        header, rows = header[:-1], [row[:-1] for row in rows]
    return [_table(header, rows)]


def _trace_table(trace: pb.Trace) -> str:
    rows = [
        [
            each.stage,
            f"{each.elapsed.ToMicroseconds() / 1000:.3f} ms",
            str(each.row_count) if each.HasField("row_count") else "-",
        ]
        for each in trace.stages
    ]
    facts = (
        f"{trace.retriever}, {trace.provider}, batch of {trace.batch_count}, "
        f"{trace.search_round_count} search rounds, {trace.rows_scanned_count} rows scanned, "
        f"{trace.candidate_count} candidates, "
        f"{trace.removed_count} removed, {trace.history_event_count} events read, "
        f"{trace.history_unknown_count} unknown"
    )
    return f"{_table(['stage', 'elapsed', 'rows'], rows)}\n{facts}"


def _decision_line(decision: pb.Decision, segment_id: str = "") -> str:
    clock = "" if decision.system_clock else " (evaluation clock)"
    overlay = f" with overlay {decision.overlay_sequence}" if decision.overlay_sequence else ""
    return (
        f"decided for {decision.decision_time.ToJsonString()}{clock}, bundle {decision.bundle_version}, "
        f"policy {decision.policy_hash[:12]}{overlay}, request {decision.request_id}"
        f"{f', segment {segment_id}' if segment_id else ''}"
    )


def _join(parts: Iterable[str]) -> str:
    return "\n\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, *rows] if header else list(rows)
    widths = [max(_width(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(_pad(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """Counts terminal columns: Chinese characters and full-width punctuation take two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
