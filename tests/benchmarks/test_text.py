"""How the demonstration puts answers into words."""

import io

from google.protobuf.duration_pb2 import Duration
from prudence.v1 import recommendation_pb2 as pb
from rich.console import Console

from benchmarks.demo.text import (
    choose_withheld,
    describe_code,
    describe_reasons,
    describe_reasons_against,
    describe_risk,
    describe_trace,
    describe_withheld,
    make_product_table,
)


def make_answer() -> pb.RecommendResponse:
    stages = [("embed", 410_000), ("retrieve", 220_000), ("gate", 1_300_000)]
    return pb.RecommendResponse(
        products=[pb.RecommendedProduct(product_id="a")],
        trace=pb.Trace(
            stages=[pb.StageTiming(stage=name, elapsed=Duration(nanos=nanos)) for name, nanos in stages],
            search_round_count=2,
            candidate_count=300,
            removed_count=63,
            history_event_count=12,
            retriever="faiss IndexFlat",
            provider="CPUExecutionProvider",
        ),
    )


def test_a_trace_is_told_in_the_order_of_the_pipeline() -> None:
    answer = make_answer()
    answer.withheld_counts.add(code="PRD_NOT_ON_SALE", product_count=5)
    lines = describe_trace(answer, kernel="scalar", limit=None, titles={})
    assert [" ".join(line.split()) for line in lines] == [
        "history of 12 events",
        "-> embed with ONNX Runtime (CPUExecutionProvider) 0.41 ms",
        "-> FAISS IndexFlat: 300 candidates in 2 rounds 0.22 ms",
        "-> C++ score (scalar)",
        "-> risk filter: 63 removed 1.30 ms",
        "PRD_NOT_ON_SALE: 5",
        "-> top 1",
    ]


def test_the_codes_that_removed_most_come_first_and_the_rest_share_a_line() -> None:
    answer = pb.RecommendResponse()
    for code, count in (("A", 1), ("B", 5), ("C", 3), ("D", 2), ("E", 1)):
        answer.withheld_counts.add(code=code, product_count=count)
    assert describe_withheld(answer, limit=None, titles={}) == ["B: 5", "C: 3", "D: 2", "A: 1, E: 1"]
    for code in "FGHIJKL":
        answer.withheld_counts.add(code=code, product_count=1)
    last = describe_withheld(answer, limit=None, titles={})[-1]
    assert last == "A: 1, E: 1, F: 1, G: 1, H: 1, I: 1, and 3 more codes"


def test_a_removed_product_is_shown_with_the_numbers_compared() -> None:
    withheld = pb.WithheldCount(
        code="MAT_RISK_SCORE_OVER_LIMIT",
        product_count=41,
        example_product_id="F00042",
        example_risk_score=6100,
    )
    text = describe_code(withheld, limit=4000, titles={"F00042": "Tech fund"})
    assert text == ("MAT_RISK_SCORE_OVER_LIMIT: 41, for example F00042 Tech fund, score 6100 > limit 4000")
    # The server may have applied a lower limit than the one known here: nothing false is said.
    assert describe_code(withheld, limit=8000, titles={}).endswith("F00042, score 6100")


def test_a_code_without_example_is_only_counted() -> None:
    withheld = pb.WithheldCount(code="PRD_NOT_ON_SALE", product_count=2)
    assert describe_code(withheld, limit=None, titles={}) == "PRD_NOT_ON_SALE: 2"


def test_the_example_to_explain_is_that_of_the_code_that_removed_most() -> None:
    answer = pb.RecommendResponse()
    assert choose_withheld(answer) is None
    for code, count, example in (("A", 9, ""), ("B", 2, "f1"), ("C", 5, "f2")):
        answer.withheld_counts.add(code=code, product_count=count, example_product_id=example)
    assert choose_withheld(answer) == "f2"


def test_a_reason_is_told_with_its_texts_and_what_the_user_can_do() -> None:
    verdict = pb.ProductEligibility(assumed_fields=list("abcdefg"))
    verdict.reasons.add(code="USR_X", text="It has expired.", text_zh="已过期。", remedy="REASSESS")
    verdict.reasons.add(code="MAT_Y", text="It does not fit.", text_zh="不匹配。", remedy="NONE")
    verdict.reasons.add(code="USR_Z", text="It has expired.", text_zh="已过期。", remedy="REASSESS")
    assert describe_reasons_against(verdict) == [
        "USR_X, USR_Z: It has expired. 已过期。 (the user can be assessed again)",
        "MAT_Y: It does not fit. 不匹配。",
        "assumed, not stated by the source: a, b, c, d, e and 2 more",
    ]


def test_risk_is_set_against_the_limit_where_there_is_one() -> None:
    assert describe_risk(pb.RecommendedProduct(risk_score=0, risk_score_limit=4000)) == "0 / 4000"
    assert describe_risk(pb.RecommendedProduct()) == "-"


def test_reasons_are_plain_words() -> None:
    assert describe_reasons([pb.RESPONSE_REASON_FEWER_ELIGIBLE_THAN_K]) == "fewer eligible than k"


def test_a_product_table_is_whole_on_a_terminal_of_80_columns() -> None:
    product = pb.RecommendedProduct(
        title="Far Orchard Artificial Intelligence Universal Life",
        score=-769,
        effective_level=3,
        risk_score=6582,
        risk_score_limit=10_000,
        warnings=["W_ELDER", "W_CAN_LOSE_CAPITAL", "W_ILLIQUID"],
    )
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(make_product_table([product] * 12, score_scale=1000.0))
    text = console.export_text()
    assert text.count("6582 / 10000") == 12
    assert text.count("-0.769") == 12
    assert text.count("capital") == 12
    assert text.count("illiquid") == 12
