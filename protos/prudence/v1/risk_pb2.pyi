from prudence.v1 import recommendation_pb2 as _recommendation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FeatureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FEATURE_KIND_UNSPECIFIED: _ClassVar[FeatureKind]
    FEATURE_KIND_NUMBER: _ClassVar[FeatureKind]
    FEATURE_KIND_CATEGORY: _ClassVar[FeatureKind]
FEATURE_KIND_UNSPECIFIED: FeatureKind
FEATURE_KIND_NUMBER: FeatureKind
FEATURE_KIND_CATEGORY: FeatureKind

class FeatureValue(_message.Message):
    __slots__ = ("number", "category")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    number: float
    category: str
    def __init__(self, number: _Optional[float] = ..., category: _Optional[str] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("tenant_id", "features", "context")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: FeatureValue
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[FeatureValue, _Mapping]] = ...) -> None: ...
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    features: _containers.MessageMap[str, FeatureValue]
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., features: _Optional[_Mapping[str, FeatureValue]] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class RiskReason(_message.Message):
    __slots__ = ("code", "text", "text_zh")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    code: str
    text: str
    text_zh: str
    def __init__(self, code: _Optional[str] = ..., text: _Optional[str] = ..., text_zh: _Optional[str] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("default_probability_bps", "band", "reasons", "missing_features", "score", "model_version", "bundle_version", "request_id")
    DEFAULT_PROBABILITY_BPS_FIELD_NUMBER: _ClassVar[int]
    BAND_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    MISSING_FEATURES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    default_probability_bps: int
    band: int
    reasons: _containers.RepeatedCompositeFieldContainer[RiskReason]
    missing_features: _containers.RepeatedScalarFieldContainer[str]
    score: int
    model_version: str
    bundle_version: str
    request_id: str
    def __init__(self, default_probability_bps: _Optional[int] = ..., band: _Optional[int] = ..., reasons: _Optional[_Iterable[_Union[RiskReason, _Mapping]]] = ..., missing_features: _Optional[_Iterable[str]] = ..., score: _Optional[int] = ..., model_version: _Optional[str] = ..., bundle_version: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class BatchScoreRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[ScoreRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[ScoreRequest, _Mapping]]] = ...) -> None: ...

class BatchScoreResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: ScoreResponse
    error: _recommendation_pb2.BatchError
    def __init__(self, response: _Optional[_Union[ScoreResponse, _Mapping]] = ..., error: _Optional[_Union[_recommendation_pb2.BatchError, _Mapping]] = ...) -> None: ...

class BatchScoreResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchScoreResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchScoreResult, _Mapping]]] = ...) -> None: ...

class GetRiskModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RiskFeature(_message.Message):
    __slots__ = ("name", "kind", "reason_code")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    REASON_CODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: FeatureKind
    reason_code: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[FeatureKind, str]] = ..., reason_code: _Optional[str] = ...) -> None: ...

class GetRiskModelResponse(_message.Message):
    __slots__ = ("model_version", "bundle_version", "data_source", "features", "protected_features", "band_limits_bps")
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PROTECTED_FEATURES_FIELD_NUMBER: _ClassVar[int]
    BAND_LIMITS_BPS_FIELD_NUMBER: _ClassVar[int]
    model_version: str
    bundle_version: str
    data_source: str
    features: _containers.RepeatedCompositeFieldContainer[RiskFeature]
    protected_features: _containers.RepeatedScalarFieldContainer[str]
    band_limits_bps: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, model_version: _Optional[str] = ..., bundle_version: _Optional[str] = ..., data_source: _Optional[str] = ..., features: _Optional[_Iterable[_Union[RiskFeature, _Mapping]]] = ..., protected_features: _Optional[_Iterable[str]] = ..., band_limits_bps: _Optional[_Iterable[int]] = ...) -> None: ...
