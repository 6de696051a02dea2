"""Puts answers of the server into words and tables for people."""

from collections.abc import Mapping, Sequence

from google.protobuf.duration_pb2 import Duration
from prudence.v1 import recommendation_pb2 as pb
from rich.table import Table

LEARNING = pb.PRODUCT_FAMILY_COURSE


def describe_trace(answer: pb.RecommendResponse, *, kernel: str) -> str:
    """Tells how an answer came about, stage by stage, in the pipeline's own words.

    Args:
        answer: asked for with include_trace.
        kernel: the kernel path that the server runs.
    """
    trace = answer.trace
    times = {stage.stage: _to_ms(stage.elapsed) for stage in trace.stages}

    def timed(text: str, stage: str) -> str:
        return f"{text} {times[stage]:.2f} ms" if stage in times else text

    rounds = f"{trace.search_round_count} round{'' if trace.search_round_count == 1 else 's'}"
    unknown = f" ({trace.history_unknown_count} unknown)" if trace.history_unknown_count else ""
    steps = [
        f"history of {trace.history_event_count} events{unknown}",
        timed(f"embed with ONNX Runtime ({trace.provider})", "embed"),
        timed(
            f"{describe_retriever(trace.retriever)}: {trace.candidate_count} candidates in {rounds}",
            "retrieve",
        ),
        timed(f"C++ score ({kernel})", "score"),
        timed(f"risk filter: {trace.removed_count} removed", "gate"),
        timed(f"top {len(answer.products)}", "select"),
    ]
    return " -> ".join(steps)


def describe_retriever(retriever: str) -> str:
    """Spells FAISS as its authors do."""
    return retriever.replace("faiss", "FAISS", 1)


def describe_withheld(withheld: pb.WithheldCount, *, limit: int | None, titles: Mapping[str, str]) -> str:
    """Tells what one code removed, with one example and, for the risk score, the numbers compared.

    Args:
        withheld: the count of one code.
        limit: the highest risk score that applied, if known.
        titles: titles by product id.
    """
    text = f"{withheld.code}: {withheld.product_count} removed"
    if not withheld.example_product_id:
        return text
    example = withheld.example_product_id
    text += f", for example {example} {titles.get(example, '')}".rstrip()
    if withheld.HasField("example_risk_score"):
        over = withheld.code == "MAT_RISK_SCORE_OVER_LIMIT" and limit is not None
        text += f", score {withheld.example_risk_score}" + (f" > limit {limit}" if over else "")
    return text


def make_product_table(title: str, products: Sequence[pb.RecommendedProduct], *, score_scale: float) -> Table:
    """Tabulates products: title, domain, level, risk score against limit, score, warnings."""
    table = Table(title=title, title_justify="left", header_style="")
    table.add_column("#", justify="right")
    table.add_column("title", overflow="fold", min_width=30)
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
            ", ".join(warning.removeprefix("W_").lower() for warning in product.warnings),
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
