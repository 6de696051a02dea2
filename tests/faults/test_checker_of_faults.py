"""The checker that stands behind every fault test finds what it is there to find."""

from datetime import UTC

import grpc
import pytest
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.checker import Checker
from benchmarks.faults.figures import FaultTest, Findings, Target, Verdict
from benchmarks.faults.ground import Ground
from benchmarks.faults.server_process import ServerProcess
from benchmarks.load.client import METHOD


@pytest.fixture(scope="module")
def checker(ground: Ground, server: ServerProcess) -> Checker:
    checker = Checker(ground.questions)
    checker.learn(server.target)
    return checker


@pytest.fixture
def answers(ground: Ground, server: ServerProcess) -> list[tuple[int, pb.RecommendResponse]]:
    with grpc.insecure_channel(server.target) as channel:
        call = channel.unary_unary(METHOD)
        given = [(q.number, pb.RecommendResponse.FromString(call(q.request))) for q in ground.questions]
    return [(number, answer) for number, answer in given if len(answer.products) > 1]


def judge(checker: Checker, number: int, answer: pb.RecommendResponse) -> dict[str, int]:
    counts = checker.judge([(number, answer.SerializeToString())]).counts
    return {name: count for name, count in counts.items() if count and name != "distinct answers checked"}


def test_sound_answers_have_no_fault(
    checker: Checker, answers: list[tuple[int, pb.RecommendResponse]]
) -> None:
    assert all(judge(checker, number, answer) == {} for number, answer in answers)


def test_an_answer_to_another_question_is_crossed(
    checker: Checker, answers: list[tuple[int, pb.RecommendResponse]]
) -> None:
    (number, _), (_, other), *_ = answers
    assert "crossed answers" in judge(checker, number, other)


def test_a_product_that_does_not_suit_is_a_violation(
    checker: Checker, answers: list[tuple[int, pb.RecommendResponse]], ground: Ground
) -> None:
    for number, answer in answers:
        asked = ground.questions[number].asked
        now = answer.decision.decision_time.ToDatetime()
        shown = {product.product_id for product in answer.products}
        for name in sorted(ground.questions[number].own_ids - shown):
            if asked.judge(name, now.replace(tzinfo=UTC)):
                answer.products[-1].product_id = name
                assert "suitability violations" in judge(checker, number, answer)
                return
    raise AssertionError("some product suits nobody")


def test_an_answer_that_no_bundle_gives_is_mixed(
    checker: Checker, answers: list[tuple[int, pb.RecommendResponse]]
) -> None:
    number, answer = answers[0]
    answer.products[0].score += 1
    assert judge(checker, number, answer) == {"answers of no single bundle": 1}


def test_findings_add_up_and_are_judged_by_counts_and_limits() -> None:
    targets = (Target("lost", "==", 0), Target("ms", "<", 5.0))
    test = FaultTest(0, "a test", lambda ground, scale, seed: Findings(), {"kills": 3}, targets)
    once = Findings({"kills": 1, "lost": 0}, {}, {"ms": (1.0, 9.0, 2.0)})
    assert test.judge(None) is Verdict.NOT_RUN
    assert test.judge(once) is Verdict.SHORT
    assert test.judge(once + once + once) is Verdict.REACHED
    assert test.judge(once + Findings({"lost": 1})) is Verdict.MISSED
    assert test.judge(Findings({"kills": 3, "lost": 0})) is Verdict.MISSED
