"""RiskService: what it answers, what it refuses by name, and that its graph is proven before it serves."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from prudence.v1 import recommendation_pb2, risk_pb2, risk_pb2_grpc

from export.risk_graph import write_points_graph
from index.build import build_bundle
from index.risk_files import BundledRisk, parse_risk, read_risk_export
from index.risk_golden import list_values
from server.encoder import RiskGraph
from server.errors import ModelOutputError, SnapshotError
from server.risk_scoring import RiskScorer
from tests.conftest import NOW, MakeExport
from tests.risk_cases import SCORECARD, write_risk_export
from tests.server.conftest import Server, start_server

Stub = risk_pb2_grpc.RiskServiceStub
Value = risk_pb2.FeatureValue
LATE = {"delay": Value(number=2), "limit": Value(number=0.05), "school": Value(category="2")}
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> BundledRisk:
    found = parse_risk(read_risk_export(write_risk_export(tmp_path_factory.mktemp("bundled") / "export")))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def bundles(make_export: MakeExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("risky")
    case = make_export(directory)
    build_bundle(
        export=case.export,
        products=case.products,
        policy=case.policy,
        bundles=directory / "bundles",
        version="risky",
        risk_model=write_risk_export(directory / "risk"),
    )
    return directory / "bundles"


@pytest.fixture(scope="module")
def running(bundles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with start_server(
        tmp_path_factory.mktemp("server"), "--bundles", str(bundles), "--clock", NOW.isoformat()
    ) as server:
        yield server
        server.stop()


@pytest.fixture(scope="module")
def risk(running: Server) -> Iterator[Stub]:
    with grpc.insecure_channel(running.target) as channel:
        yield Stub(channel)


def score(risk: Stub, features: dict[str, Value], **fields: Any) -> risk_pb2.ScoreResponse:
    return risk.Score(risk_pb2.ScoreRequest(features=features, **fields), timeout=TIMEOUT_S)


def refuse(call: Callable[[], object]) -> tuple[grpc.StatusCode, str, dict[str, str], str]:
    """Returns code, reason, problems by field and the text of a refusal."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    for detail in status.details:
        for message in (info, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    problems = {each.field: each.description for each in bad.field_violations}
    return caught.value.code(), info.reason, problems, status.message


def test_score_answers_what_the_scorecard_says(risk: Stub) -> None:
    expected = SCORECARD.score({"delay": 2.0, "limit": 0.05, "school": "2"})
    answer = score(risk, LATE, context=recommendation_pb2.RequestContext(request_id="r1"))
    assert (answer.score, answer.default_probability_bps) == (expected.score, expected.basis_points)
    assert (answer.band, answer.bundle_version, answer.request_id) == (expected.band, "risky", "r1")
    assert (
        [reason.code for reason in answer.reasons]
        == list(expected.reasons)
        == [*("RSK_DELAY", "RSK_LIMIT", "RSK_SCHOOL")]
    )
    assert answer.reasons[0].text == "Late payments."
    assert answer.reasons[0].text_zh == "逾期。"
    assert answer.model_version.startswith("scorecard-")
    assert list(answer.missing_features) == []


def test_an_absent_feature_is_missing_and_counts_as_the_worst(risk: Stub) -> None:
    nothing = score(risk, {})
    assert list(nothing.missing_features) == ["delay", "limit", "school"]
    assert nothing.score == score(risk, LATE).score
    assert nothing.request_id


def test_a_batch_answers_as_its_requests_do_alone_and_names_its_own_faults(risk: Stub) -> None:
    rows = [
        {},
        LATE,
        {"delay": Value(number=-1)},
        {"sex": Value(category="1")},
        {"school": Value(category="1")},
    ]
    requests = [
        risk_pb2.ScoreRequest(features=row, context=recommendation_pb2.RequestContext(request_id=str(number)))
        for number, row in enumerate(rows)
    ]
    results = risk.BatchScore(risk_pb2.BatchScoreRequest(requests=requests), timeout=TIMEOUT_S).results
    assert [result.WhichOneof("outcome") for result in results] == [*["response"] * 3, "error", "response"]
    for request, result in zip(requests, results, strict=True):
        if result.HasField("response"):
            assert result.response == risk.Score(request, timeout=TIMEOUT_S)
    assert results[3].error.reason == "FEATURE_INVALID"
    assert results[3].error.field == 'features["sex"]'


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_of_a_wrong_size_is_refused(risk: Stub, count: int) -> None:
    request = risk_pb2.BatchScoreRequest(requests=[risk_pb2.ScoreRequest()] * count)
    code, _, problems, _ = refuse(lambda: risk.BatchScore(request, timeout=TIMEOUT_S))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert problems == {"requests": f"expected 1 to 1000 requests, got {count}"}


def test_every_bad_feature_is_named_and_no_value_is_repeated(risk: Stub) -> None:
    features = {
        "delay": Value(category="very late"),
        "limit": Value(number=math.inf),
        "school": Value(number=918273645),
        "income": Value(number=918273645),
        "sex": Value(category="female-918273645"),
        "empty": Value(),
        "nan": Value(number=math.nan),
    }
    code, reason, problems, message = refuse(lambda: score(risk, features))
    assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FEATURE_INVALID")
    assert problems == {
        'features["delay"]': "expected a number, got str",
        'features["limit"]': "expected a finite number, got an infinite one",
        'features["school"]': "expected a text, got float",
        'features["income"]': "the model scorecard reads no such feature",
        'features["sex"]': "protected by law; no risk model takes it",
        'features["empty"]': "expected a number or a category, got neither; leave out what is not known",
        'features["nan"]': "expected a finite number, got NaN; leave out what is not known",
    }
    assert "918273645" not in message + str(problems)
    assert "very late" not in message + str(problems)


def test_a_thousand_bad_names_make_an_answer_that_fits(risk: Stub) -> None:
    features = {f"{number:04}" + "名" * 200: Value(number=1) for number in range(1000)}
    code, _, problems, message = refuse(lambda: score(risk, features))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(problems) == 16
    assert len(message.encode()) <= 1000


def test_another_tenant_and_a_long_tag_are_refused(risk: Stub) -> None:
    assert list(refuse(lambda: score(risk, LATE, tenant_id="other"))[2]) == ["tenant_id"]
    long = recommendation_pb2.RequestContext(request_id="x" * 129)
    assert list(refuse(lambda: score(risk, LATE, context=long))[2]) == ["context.request_id"]


def test_the_model_says_what_it_reads_and_takes_from_nobody(risk: Stub) -> None:
    answer = risk.GetRiskModel(risk_pb2.GetRiskModelRequest(), timeout=TIMEOUT_S)
    kinds = {feature.name: feature.kind for feature in answer.features}
    assert kinds == {
        "delay": risk_pb2.FEATURE_KIND_NUMBER,
        "limit": risk_pb2.FEATURE_KIND_NUMBER,
        "school": risk_pb2.FEATURE_KIND_CATEGORY,
    }
    assert list(answer.protected_features) == ["sex"]
    assert list(answer.band_limits_bps) == [500, 2000]
    assert (answer.bundle_version, answer.data_source) == ("risky", "by hand")


def test_the_service_is_ready_by_its_name(running: Server) -> None:
    with grpc.insecure_channel(running.target) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service="prudence.v1.RiskService")
        assert health.Check(request, timeout=TIMEOUT_S).status == health_pb2.HealthCheckResponse.SERVING


def test_no_feature_reaches_the_log(running: Server, risk: Stub) -> None:
    refuse(lambda: score(risk, {"school": Value(number=777_555_333)}))
    score(risk, {"school": Value(category="secret-777555333")})
    assert "777555333" not in running.log.read_text()


def test_a_bundle_without_a_risk_model_says_so(server: Server) -> None:
    with grpc.insecure_channel(server.target) as channel:
        stub = Stub(channel)
        for call in (
            lambda: score(stub, LATE),
            lambda: stub.BatchScore(risk_pb2.BatchScoreRequest(), timeout=TIMEOUT_S),
            lambda: stub.GetRiskModel(risk_pb2.GetRiskModelRequest(), timeout=TIMEOUT_S),
        ):
            code, reason, _, message = refuse(call)
            assert (code, reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RISK_MODEL_MISSING")
            assert message == "bundle test-1 has no risk model"


def test_graph_and_table_agree_on_every_threshold_and_beside_it(bundled: BundledRisk) -> None:
    scorer = RiskScorer(bundled)
    scorer.prove()
    delays, limits, schools = (list_values(feature) for feature in SCORECARD.features)
    records = [
        {"delay": delay, "limit": limit, "school": school}
        for delay in delays
        for limit in limits
        for school in schools
    ]
    assert [answer.score for answer in scorer.score(records)] == [
        SCORECARD.score(record).score for record in records
    ]
    assert scorer.score([]) == []


def test_a_graph_that_scores_otherwise_is_refused_before_it_serves(bundled: BundledRisk) -> None:
    other = replace(SCORECARD, points=((0, 10, 71), *SCORECARD.points[1:]))
    with pytest.raises(SnapshotError, match=r"risk_model\.onnx: \d+ of \d+ golden borrowers score otherwise"):
        RiskScorer(replace(bundled, graph=write_points_graph(other))).prove()


def test_an_answer_of_the_graph_that_is_not_the_tables_is_withheld(bundled: BundledRisk) -> None:
    other = replace(SCORECARD, base_points=SCORECARD.base_points + 1)
    with pytest.raises(ModelOutputError, match="another score than the scorecard's"):
        RiskScorer(replace(bundled, graph=write_points_graph(other))).score([{}])


def test_what_is_no_graph_of_the_model_is_refused(bundled: BundledRisk) -> None:
    with pytest.raises(SnapshotError, match="onnxruntime cannot open it"):
        RiskGraph(b"no graph", feature_count=3)
    with pytest.raises(SnapshotError, match=r"risk_model\.onnx: expected"):
        RiskGraph(bundled.graph, feature_count=4)
    with pytest.raises(ModelOutputError, match=r"risk_model\.onnx"):
        RiskGraph(bundled.graph, feature_count=3).score(np.array([[99, 99, 99]]))
