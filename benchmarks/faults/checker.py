"""Judges answers under faults: what suits nobody, and what belongs to another request or another bundle."""

from collections.abc import Iterable, Sequence

import grpc
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.figures import Findings
from benchmarks.faults.ground import Question
from benchmarks.load.client import METHOD
from benchmarks.verify.answers import check_list

CALL_S_MAX = 30.0


class Checker:
    """Knows what each question is answered by each bundle while nothing is wrong."""

    def __init__(self, questions: Sequence[Question]) -> None:
        """Knows no answer yet."""
        self._questions = questions
        self._alone: dict[tuple[int, str], bytes] = {}

    def learn(self, target: str) -> None:
        """Asks a calm server every question, one after the other, and keeps the answers as right.

        Whether they suit their users is judged like that of all others.
        """
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
            for question in self._questions:
                answer = pb.RecommendResponse.FromString(call(question.request, timeout=CALL_S_MAX))
                self._alone[question.number, answer.decision.bundle_version] = _canonical(answer)

    def judge(self, answers: Iterable[tuple[int, bytes]]) -> Findings:
        """Judges distinct answers, each with the number of its question."""
        violations = crossed = mixed = judged = 0
        for number, content in answers:
            question, answer = self._questions[number], pb.RecommendResponse.FromString(content)
            judged += 1
            violations += bool(check_list(answer, question.asked))
            foreign = answer.decision.request_id != f"question-{number}" or any(
                product.product_id not in question.own_ids for product in answer.products
            )
            crossed += foreign
            alone = self._alone.get((number, answer.decision.bundle_version))
            mixed += not foreign and alone is not None and alone != _canonical(answer)
        return Findings(
            {
                "distinct answers checked": judged,
                "suitability violations": violations,
                "crossed answers": crossed,
                "answers of no single bundle": mixed,
            }
        )


def _canonical(answer: pb.RecommendResponse) -> bytes:
    """Returns an answer without the id that the log gives it."""
    answer.ClearField("answer_id")
    return answer.SerializeToString(deterministic=True)
