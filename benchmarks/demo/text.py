"""Puts answers of the server into words and tables for people."""

from collections.abc import Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from prudence.v1 import recommendation_pb2 as pb
from rich import box
from rich.table import Table

LEARNING = pb.PRODUCT_FAMILY_COURSE
SHOWN_CODE_COUNT = 3
LISTED_CODE_COUNT = 6
SHOWN_FIELD_COUNT = 5
REMEDIES = {
    "REASSESS": "the user can be assessed again",
    "COMPLETE_PROFILE": "the user can complete the profile",
    "NONE": "",
}
# Narrow enough for a terminal of 80 columns: what does not fit would be cut off, not wrapped.
TITLE_WIDTH_MIN = 14


def describe_trace(
    answer: pb.RecommendResponse, *, kernel: str, limit: int | None, titles: Mapping[str, str]
) -> list[str]:
    """Tells how an answer came about, one line for each stage, in the pipeline's own words.

    Args:
        answer: asked for with include_trace.
        kernel: the kernel path that the server runs.
        limit: the highest risk score that applied, if known.
        titles: titles by product id.
    """
    trace = answer.trace
    times = {stage.stage: _to_ms(stage.elapsed) for stage in trace.stages}
    rounds = f"{trace.search_round_count} round{'' if trace.search_round_count == 1 else 's'}"
    unknown = f" ({trace.history_unknown_count} unknown)" if trace.history_unknown_count else ""
    found = f"{describe_retriever(trace.retriever)}: {trace.candidate_count} candidates in {rounds}"
    steps = [
        (f"history of {trace.history_event_count} events{unknown}", "features"),
        (f"embed with ONNX Runtime ({trace.provider})", "embed"),
        (found, "retrieve"),
        (f"C++ score ({kernel})", "score"),
        (f"risk filter: {trace.removed_count} removed", "gate"),
        (f"top {len(answer.products)}", "select"),
    ]
    lines: list[str] = []
    for text, stage in steps:
        arrow = "-> " if lines else "   "
        lines.append(f"{arrow}{text:<58}{times[stage]:6.2f} ms" if stage in times else arrow + text)
        if stage == "gate":
            lines += [f"      {line}" for line in describe_withheld(answer, limit=limit, titles=titles)]
    if answer.reasons:
        lines.append(f"   ({describe_reasons(answer.reasons)})")
    return lines


def describe_retriever(retriever: str) -> str:
    """Spells FAISS as its authors do."""
    return retriever.replace("faiss", "FAISS", 1)


def describe_withheld(
    answer: pb.RecommendResponse, *, limit: int | None, titles: Mapping[str, str]
) -> list[str]:
    """Tells what the codes removed: those that removed most with an example, the next in one line."""
    counts = sorted(answer.withheld_counts, key=lambda entry: (-entry.product_count, entry.code))
    lines = [describe_code(entry, limit=limit, titles=titles) for entry in counts[:SHOWN_CODE_COUNT]]
    if rest := counts[SHOWN_CODE_COUNT:]:
        named = [f"{entry.code}: {entry.product_count}" for entry in rest[:LISTED_CODE_COUNT]]
        more = len(rest) - len(named)
        lines.append(", ".join([*named, *([f"and {more} more codes"] if more else [])]))
    return lines


def describe_code(withheld: pb.WithheldCount, *, limit: int | None, titles: Mapping[str, str]) -> str:
    """Tells what one code removed, with one example and, for the risk score, the numbers compared.

    Args:
        withheld: the count of one code.
        limit: the highest risk score that applied, if known.
        titles: titles by product id.
    """
    text = f"{withheld.code}: {withheld.product_count}"
    if not withheld.example_product_id:
        return text
    example = withheld.example_product_id
    text += f", for example {example} {titles.get(example, '')}".rstrip()
    if withheld.HasField("example_risk_score"):
        text += f", score {withheld.example_risk_score}"
        if limit is not None and withheld.example_risk_score > limit:
            text += f" > limit {limit}"
    return text


def choose_withheld(answer: pb.RecommendResponse) -> str | None:
    """Returns the example of the code that removed most, which says most about the user; None without one."""
    counts = sorted(answer.withheld_counts, key=lambda entry: (-entry.product_count, entry.code))
    return next((entry.example_product_id for entry in counts if entry.example_product_id), None)


def describe_reasons_against(verdict: pb.ProductEligibility) -> list[str]:
    """Tells every reason against a product: codes, what the user may be told, and what the user can do.

    Codes that are told in the same words share a line.
    """
    codes: dict[tuple[str, str, str], list[str]] = {}
    for reason in verdict.reasons:
        codes.setdefault((reason.text, reason.text_zh, reason.remedy), []).append(reason.code)
    lines = []
    for (text, text_zh, remedy), names in codes.items():
        can = REMEDIES.get(remedy, remedy)
        lines.append(f"{', '.join(names)}: {text} {text_zh}{f' ({can})' if can else ''}")
    if fields := verdict.assumed_fields:
        rest = f" and {len(fields) - SHOWN_FIELD_COUNT} more" if len(fields) > SHOWN_FIELD_COUNT else ""
        shown = ", ".join(fields[:SHOWN_FIELD_COUNT])
        lines.append(f"assumed, not stated by the source: {shown}{rest}")
    return lines


def make_product_table(products: Sequence[pb.RecommendedProduct], *, score_scale: float) -> Table:
    """Tabulates products: title, domain, level, risk score against limit, score, warnings."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("#", justify="right")
    table.add_column("title", overflow="fold", min_width=TITLE_WIDTH_MIN)
    table.add_column("domain")
    table.add_column("level", justify="right")
    table.add_column("risk score / limit", justify="right")
    table.add_column("score", justify="right")
    table.add_column("warnings", overflow="fold")
    for place, product in enumerate(products, start=1):
        table.add_row(
            str(place),
            product.title,
            "learning" if product.family == LEARNING else "financial",
            str(product.effective_level) if product.HasField("effective_level") else "-",
            describe_risk(product),
            f"{product.score / score_scale:.3f}",
            ", ".join(name.removeprefix("W_").lower().replace("_", " ") for name in product.warnings),
        )
    return table


def describe_risk(product: pb.RecommendedProduct) -> str:
    """Returns "6100 / 8000", the product's risk score against the limit that applied; "-" without one."""
    if not product.HasField("risk_score"):
        return "-"
    limit = str(product.risk_score_limit) if product.HasField("risk_score_limit") else "-"
    return f"{product.risk_score} / {limit}"


def describe_reasons(reasons: Sequence[int]) -> str:
    """Returns the reasons' names in lower case without their prefix."""
    names = [pb.ResponseReason.Name(reason) for reason in reasons]
    return ", ".join(name.removeprefix("RESPONSE_REASON_").lower().replace("_", " ") for name in names)


def _to_ms(elapsed: Duration) -> float:
    return float(elapsed.ToNanoseconds()) / 1e6
