"""Judges answers under faults: what suits nobody, and what belongs to another request or another bundle."""

from collections.abc import Iterable, Sequence

import grpc
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.faults.figures import Findings
from benchmarks.faults.ground import NEW, OLD, Ground, Question
from benchmarks.faults.server_process import run_server
from benchmarks.load.client import METHOD
from benchmarks.verify.answers import check_list
from index.bundle import write_current

CALL_S_MAX = 30.0


class Checker:
    """Knows what each question is answered by each bundle while nothing is wrong."""

    def __init__(self, questions: Sequence[Question]) -> None:
        """Knows no answer yet."""
        self._questions = questions
        self._alone: dict[tuple[int, str], bytes] = {}
        # Whether an answer suits does not hang on its id: a log gives each one another.
        self._suits: dict[tuple[int, bytes], bool] = {}

    def learn(self, target: str) -> None:
        """Asks a calm server every question, one after the other, and keeps the answers as right.

        Whether they suit their users is judged like that of all others.
        """
        with grpc.insecure_channel(target) as channel:
            call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
            for question in self._questions:
                answer = pb.RecommendResponse.FromString(call(question.request, timeout=CALL_S_MAX))
                self._alone[question.number, _kind(answer)] = _canonical(answer)

    def judge(self, answers: Iterable[tuple[int, bytes]]) -> Findings:
        """Judges distinct answers, each with the number of its question."""
        violations = crossed = mixed = judged = 0
        for number, content in answers:
            question, answer = self._questions[number], pb.RecommendResponse.FromString(content)
            judged += 1
            canonical = _canonical(answer)
            if (number, canonical) not in self._suits:
                self._suits[number, canonical] = not check_list(answer, question.asked)
            violations += not self._suits[number, canonical]
            foreign = answer.decision.request_id != f"question-{number}" or any(
                product.product_id not in question.own_ids for product in answer.products
            )
            crossed += foreign
            alone = self._alone.get((number, _kind(answer)))
            mixed += not foreign and alone is not None and alone != canonical
        return Findings(
            {
                "distinct answers checked": judged,
                "suitability violations": violations,
                "crossed answers": crossed,
                "answers of no single bundle": mixed,
            }
        )


def learn_both(ground: Ground) -> Checker:
    """Returns a checker that knows what either bundle answers."""
    checker, folder = Checker(ground.questions), ground.make_folder("calm")
    bundles = ground.copy_bundles(folder)
    for version in (OLD, NEW):
        write_current(bundles, version)
        with run_server(folder, ground.settings(bundles=bundles)) as server:
            checker.learn(server.target)
    return checker


def _kind(answer: pb.RecommendResponse) -> str:
    """Returns which of the two bundles made an answer, whatever number its copy has."""
    return answer.decision.bundle_version.partition("-")[0]


def _canonical(answer: pb.RecommendResponse) -> bytes:
    """Returns an answer without the id that the log gives it and without the number of the bundle's copy."""
    kept = pb.RecommendResponse()
    kept.CopyFrom(answer)
    kept.ClearField("answer_id")
    kept.decision.bundle_version = _kind(answer)
    return kept.SerializeToString(deterministic=True)
