"""The client calls of feedback and risk, against services that say what they were asked."""

from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest
from prudence.channels import DEFAULT_TIMEOUT_S, find_timeout_s
from prudence.client import Client
from prudence.reasons import CallError
from prudence.v1 import feedback_pb2, feedback_pb2_grpc, risk_pb2, risk_pb2_grpc


class Asked(feedback_pb2_grpc.FeedbackServiceServicer, risk_pb2_grpc.RiskServiceServicer):
    """Answers with what tells one call from another."""

    def __init__(self) -> None:
        self.seconds_left = 0.0

    def StreamEvents(
        self, request_iterator: Iterator[feedback_pb2.StreamEventsRequest], context: grpc.ServicerContext
    ) -> feedback_pb2.StreamEventsResponse:
        self.seconds_left = context.time_remaining() or 0.0
        counts = [len(request.events) for request in request_iterator]
        if not counts:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nothing came")
        return feedback_pb2.StreamEventsResponse(accepted_count=sum(counts), duplicate_count=len(counts))

    def Score(self, request: risk_pb2.ScoreRequest, context: grpc.ServicerContext) -> risk_pb2.ScoreResponse:
        return risk_pb2.ScoreResponse(score=len(request.features))

    def BatchScore(
        self, request: risk_pb2.BatchScoreRequest, context: grpc.ServicerContext
    ) -> risk_pb2.BatchScoreResponse:
        return risk_pb2.BatchScoreResponse(results=[risk_pb2.BatchScoreResult() for _ in request.requests])

    def GetRiskModel(
        self, request: risk_pb2.GetRiskModelRequest, context: grpc.ServicerContext
    ) -> risk_pb2.GetRiskModelResponse:
        return risk_pb2.GetRiskModelResponse(model_version="scorecard-1")


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def client(asked: Asked) -> Iterator[Client]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    feedback_pb2_grpc.add_FeedbackServiceServicer_to_server(asked, server)
    risk_pb2_grpc.add_RiskServiceServicer_to_server(asked, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as opened:
        yield opened
    server.stop(None).wait()


def test_a_stream_sends_every_batch_and_has_the_time_that_streams_need(client: Client, asked: Asked) -> None:
    sizes = (2, 0, 3)
    batches = [feedback_pb2.StreamEventsRequest(events=[feedback_pb2.Event()] * size) for size in sizes]
    answer = client.stream_events(batches)
    assert (answer.accepted_count, answer.duplicate_count) == (5, 3)
    assert DEFAULT_TIMEOUT_S < asked.seconds_left < find_timeout_s("StreamEventsRequest") + 1


def test_a_stream_that_fails_raises_as_other_calls_do(client: Client) -> None:
    with pytest.raises(CallError, match="nothing came"):
        client.stream_events([])


def test_borrowers_are_scored_alone_and_together(client: Client) -> None:
    features = {"delay": risk_pb2.FeatureValue(number=2.0)}
    request = risk_pb2.ScoreRequest(features=features)
    assert client.score_risk(request).score == 1
    assert len(client.batch_score_risk(risk_pb2.BatchScoreRequest(requests=[request] * 3)).results) == 3


def test_the_risk_model_is_described(client: Client) -> None:
    assert client.risk_model().model_version == "scorecard-1"
