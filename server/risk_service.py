"""The gRPC service that scores borrowers. It knows no users, keeps nothing and logs no feature."""

import math
from collections.abc import Sequence
from typing import Any

import grpc
from prudence.v1 import recommendation_pb2, risk_pb2, risk_pb2_grpc

from index.risk_bins import NumberBins, Value
from index.risk_model import RiskScore
from server.active_policy import ActivePolicy
from server.convert import check_tenant, read_context
from server.errors import (
    InvalidArgumentError,
    InvalidFeaturesError,
    NotReadyError,
    RequestError,
    RiskModelMissingError,
)
from server.risk_scoring import RiskScorer
from server.status import describe

SERVICE_NAME = risk_pb2.DESCRIPTOR.services_by_name["RiskService"].full_name
BATCH_COUNT_MAX = 1000
FEATURE_COUNT_MAX = 10_000

Record = dict[str, Value]


class RiskService(risk_pb2_grpc.RiskServiceServicer):
    """Serves the risk model of the current bundle, once it is there."""

    def __init__(self) -> None:
        """Answers NOT_READY until `open`."""
        self._active: ActivePolicy | None = None

    def open(self, active: ActivePolicy) -> None:
        """Starts answering."""
        self._active = active

    def Score(self, request: risk_pb2.ScoreRequest, context: grpc.ServicerContext) -> risk_pb2.ScoreResponse:
        """Answers Score."""
        scorer, bundle_version = self._ready()
        record = _read_record(request, scorer)
        answer = scorer.score([record])[0]
        return _render(answer, scorer, bundle_version, read_context(request))

    def BatchScore(
        self, request: risk_pb2.BatchScoreRequest, context: grpc.ServicerContext
    ) -> risk_pb2.BatchScoreResponse:
        """Answers BatchScore: the sound requests in one run of the graph."""
        scorer, bundle_version = self._ready()
        count = len(request.requests)
        if not 1 <= count <= BATCH_COUNT_MAX:
            raise InvalidArgumentError("requests", f"expected 1 to {BATCH_COUNT_MAX} requests, got {count}")
        read = [_try_read(single, scorer) for single in request.requests]
        answers = iter(scorer.score([each[0] for each in read if not isinstance(each, RequestError)]))
        results = [
            _render_error(each)
            if isinstance(each, RequestError)
            else risk_pb2.BatchScoreResult(response=_render(next(answers), scorer, bundle_version, each[1]))
            for each in read
        ]
        return risk_pb2.BatchScoreResponse(results=results)

    def GetRiskModel(
        self, request: risk_pb2.GetRiskModelRequest, context: grpc.ServicerContext
    ) -> risk_pb2.GetRiskModelResponse:
        """Answers GetRiskModel."""
        scorer, bundle_version = self._ready()
        model = scorer.model
        return risk_pb2.GetRiskModelResponse(
            model_version=scorer.version,
            bundle_version=bundle_version,
            data_source=model.source,
            features=[
                risk_pb2.RiskFeature(
                    name=feature.name,
                    kind=risk_pb2.FEATURE_KIND_NUMBER
                    if isinstance(feature, NumberBins)
                    else risk_pb2.FEATURE_KIND_CATEGORY,
                    reason_code=feature.reason,
                )
                for feature in model.features
            ],
            protected_features=model.protected_fields,
            band_limits_bps=model.band_limits,
        )

    def _ready(self) -> tuple[RiskScorer, str]:
        if self._active is None:
            raise NotReadyError("the server is starting")
        snapshot = self._active.pin()
        if snapshot.risk is None:
            raise RiskModelMissingError(f"bundle {snapshot.version} has no risk model")
        return snapshot.risk, snapshot.version


def _try_read(request: risk_pb2.ScoreRequest, scorer: RiskScorer) -> tuple[Record, str] | RequestError:
    try:
        return _read_record(request, scorer), read_context(request)
    except RequestError as error:
        return error


def _read_record(request: risk_pb2.ScoreRequest, scorer: RiskScorer) -> Record:
    """Reads the features of a borrower.

    Raises:
        InvalidArgumentError: another field is wrong.
        InvalidFeaturesError: features are wrong; every one is named.
    """
    check_tenant(request.tenant_id)
    if len(request.features) > FEATURE_COUNT_MAX:
        raise InvalidArgumentError(
            "features", f"expected at most {FEATURE_COUNT_MAX} features, got {len(request.features)}"
        )
    record: Record = {}
    faults: list[tuple[str, str]] = []
    for name, value in request.features.items():
        kind = value.WhichOneof("value")
        if kind is None:
            faults.append((name, "expected a number or a category, got neither; leave out what is not known"))
        elif kind == "number" and math.isnan(value.number):
            faults.append((name, "expected a finite number, got NaN; leave out what is not known"))
        else:
            record[name] = getattr(value, kind)
    faults += scorer.find_faults(record)
    if faults:
        raise InvalidFeaturesError([(_name(field), problem) for field, problem in sorted(faults)])
    return record


def _name(feature: str) -> str:
    """Returns the path of a feature; what a caller made up is cut short."""
    return f'features["{feature:.80}"]'


def _render(
    answer: RiskScore, scorer: RiskScorer, bundle_version: str, request_id: str
) -> risk_pb2.ScoreResponse:
    return risk_pb2.ScoreResponse(
        default_probability_bps=answer.basis_points,
        band=answer.band,
        reasons=_render_reasons(answer.reasons, scorer),
        missing_features=answer.missing,
        score=answer.score,
        model_version=scorer.version,
        bundle_version=bundle_version,
        request_id=request_id,
    )


def _render_reasons(codes: Sequence[str], scorer: RiskScorer) -> list[risk_pb2.RiskReason]:
    told = [(code, *scorer.model.reason_texts.get(code, ("", ""))) for code in codes]
    return [risk_pb2.RiskReason(code=code, text=text, text_zh=chinese) for code, text, chinese in told]


def _render_error(error: RequestError) -> risk_pb2.BatchScoreResult:
    failure = describe(error)
    code: Any = failure.row.code.value[0]
    return risk_pb2.BatchScoreResult(
        error=recommendation_pb2.BatchError(
            code=code, reason=failure.row.reason, field=failure.field, message=failure.message
        )
    )
