import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from prudence.v1 import profile_pb2 as _profile_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Domain(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DOMAIN_UNSPECIFIED: _ClassVar[Domain]
    DOMAIN_LEARNING: _ClassVar[Domain]
    DOMAIN_FINANCIAL: _ClassVar[Domain]
    DOMAIN_BOTH: _ClassVar[Domain]

class ProductFamily(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRODUCT_FAMILY_UNSPECIFIED: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_WEALTH: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_FUND: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_TRUST: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_STRUCTURED: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_INS_PROTECTION: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_INS_PAR_UL: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_INS_LINKED: _ClassVar[ProductFamily]
    PRODUCT_FAMILY_COURSE: _ClassVar[ProductFamily]

class ResponseReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESPONSE_REASON_UNSPECIFIED: _ClassVar[ResponseReason]
    RESPONSE_REASON_NOTHING_ELIGIBLE: _ClassVar[ResponseReason]
    RESPONSE_REASON_FEWER_ELIGIBLE_THAN_K: _ClassVar[ResponseReason]
    RESPONSE_REASON_USER_UNKNOWN: _ClassVar[ResponseReason]
    RESPONSE_REASON_HISTORY_EMPTY: _ClassVar[ResponseReason]
    RESPONSE_REASON_RULES_CHANGED: _ClassVar[ResponseReason]
    RESPONSE_REASON_PERSONALISATION_OFF: _ClassVar[ResponseReason]
    RESPONSE_REASON_SEGMENT_FALLBACK: _ClassVar[ResponseReason]

class ProductSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRODUCT_SOURCE_UNSPECIFIED: _ClassVar[ProductSource]
    PRODUCT_SOURCE_MODEL: _ClassVar[ProductSource]
    PRODUCT_SOURCE_ASSOCIATION: _ClassVar[ProductSource]
    PRODUCT_SOURCE_SEGMENT: _ClassVar[ProductSource]

class Intent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INTENT_UNSPECIFIED: _ClassVar[Intent]
    INTENT_RECOMMENDATION: _ClassVar[Intent]
    INTENT_USER_INITIATED: _ClassVar[Intent]
DOMAIN_UNSPECIFIED: Domain
DOMAIN_LEARNING: Domain
DOMAIN_FINANCIAL: Domain
DOMAIN_BOTH: Domain
PRODUCT_FAMILY_UNSPECIFIED: ProductFamily
PRODUCT_FAMILY_WEALTH: ProductFamily
PRODUCT_FAMILY_FUND: ProductFamily
PRODUCT_FAMILY_TRUST: ProductFamily
PRODUCT_FAMILY_STRUCTURED: ProductFamily
PRODUCT_FAMILY_INS_PROTECTION: ProductFamily
PRODUCT_FAMILY_INS_PAR_UL: ProductFamily
PRODUCT_FAMILY_INS_LINKED: ProductFamily
PRODUCT_FAMILY_COURSE: ProductFamily
RESPONSE_REASON_UNSPECIFIED: ResponseReason
RESPONSE_REASON_NOTHING_ELIGIBLE: ResponseReason
RESPONSE_REASON_FEWER_ELIGIBLE_THAN_K: ResponseReason
RESPONSE_REASON_USER_UNKNOWN: ResponseReason
RESPONSE_REASON_HISTORY_EMPTY: ResponseReason
RESPONSE_REASON_RULES_CHANGED: ResponseReason
RESPONSE_REASON_PERSONALISATION_OFF: ResponseReason
RESPONSE_REASON_SEGMENT_FALLBACK: ResponseReason
PRODUCT_SOURCE_UNSPECIFIED: ProductSource
PRODUCT_SOURCE_MODEL: ProductSource
PRODUCT_SOURCE_ASSOCIATION: ProductSource
PRODUCT_SOURCE_SEGMENT: ProductSource
INTENT_UNSPECIFIED: Intent
INTENT_RECOMMENDATION: Intent
INTENT_USER_INITIATED: Intent

class RequestContext(_message.Message):
    __slots__ = ("request_id", "placement", "campaign")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    placement: str
    campaign: str
    def __init__(self, request_id: _Optional[str] = ..., placement: _Optional[str] = ..., campaign: _Optional[str] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("tenant_id", "user", "domain", "k", "risk_score_limit", "include_product_ids", "exclude_product_ids", "allow_seen", "context", "include_trace", "count_whole_domain", "diversity_trade_off")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_SEEN_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_TRACE_FIELD_NUMBER: _ClassVar[int]
    COUNT_WHOLE_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_TRADE_OFF_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user: _profile_pb2.User
    domain: Domain
    k: int
    risk_score_limit: int
    include_product_ids: _containers.RepeatedScalarFieldContainer[str]
    exclude_product_ids: _containers.RepeatedScalarFieldContainer[str]
    allow_seen: bool
    context: RequestContext
    include_trace: bool
    count_whole_domain: bool
    diversity_trade_off: float
    def __init__(self, tenant_id: _Optional[str] = ..., user: _Optional[_Union[_profile_pb2.User, _Mapping]] = ..., domain: _Optional[_Union[Domain, str]] = ..., k: _Optional[int] = ..., risk_score_limit: _Optional[int] = ..., include_product_ids: _Optional[_Iterable[str]] = ..., exclude_product_ids: _Optional[_Iterable[str]] = ..., allow_seen: _Optional[bool] = ..., context: _Optional[_Union[RequestContext, _Mapping]] = ..., include_trace: _Optional[bool] = ..., count_whole_domain: _Optional[bool] = ..., diversity_trade_off: _Optional[float] = ...) -> None: ...

class SourceReason(_message.Message):
    __slots__ = ("source", "antecedent_product_id", "text", "text_zh")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    ANTECEDENT_PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    source: ProductSource
    antecedent_product_id: str
    text: str
    text_zh: str
    def __init__(self, source: _Optional[_Union[ProductSource, str]] = ..., antecedent_product_id: _Optional[str] = ..., text: _Optional[str] = ..., text_zh: _Optional[str] = ...) -> None: ...

class RecommendedProduct(_message.Message):
    __slots__ = ("product_id", "score", "title", "family", "effective_level", "risk_score", "risk_score_limit", "warnings", "valid_until_time", "alternate_title", "issuer", "assumed_fields", "source_reason")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    ALTERNATE_TITLE_FIELD_NUMBER: _ClassVar[int]
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    SOURCE_REASON_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    score: int
    title: str
    family: ProductFamily
    effective_level: int
    risk_score: int
    risk_score_limit: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    valid_until_time: _timestamp_pb2.Timestamp
    alternate_title: str
    issuer: str
    assumed_fields: _containers.RepeatedScalarFieldContainer[str]
    source_reason: SourceReason
    def __init__(self, product_id: _Optional[str] = ..., score: _Optional[int] = ..., title: _Optional[str] = ..., family: _Optional[_Union[ProductFamily, str]] = ..., effective_level: _Optional[int] = ..., risk_score: _Optional[int] = ..., risk_score_limit: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., valid_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., alternate_title: _Optional[str] = ..., issuer: _Optional[str] = ..., assumed_fields: _Optional[_Iterable[str]] = ..., source_reason: _Optional[_Union[SourceReason, _Mapping]] = ...) -> None: ...

class WithheldCount(_message.Message):
    __slots__ = ("code", "product_count", "example_product_id", "example_risk_score")
    CODE_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_COUNT_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_RISK_SCORE_FIELD_NUMBER: _ClassVar[int]
    code: str
    product_count: int
    example_product_id: str
    example_risk_score: int
    def __init__(self, code: _Optional[str] = ..., product_count: _Optional[int] = ..., example_product_id: _Optional[str] = ..., example_risk_score: _Optional[int] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("decision_time", "system_clock", "bundle_version", "policy_hash", "request_id", "overlay_hash", "overlay_sequence", "catalogue_sequence")
    DECISION_TIME_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_CLOCK_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_HASH_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    decision_time: _timestamp_pb2.Timestamp
    system_clock: bool
    bundle_version: str
    policy_hash: str
    request_id: str
    overlay_hash: str
    overlay_sequence: int
    catalogue_sequence: int
    def __init__(self, decision_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., system_clock: _Optional[bool] = ..., bundle_version: _Optional[str] = ..., policy_hash: _Optional[str] = ..., request_id: _Optional[str] = ..., overlay_hash: _Optional[str] = ..., overlay_sequence: _Optional[int] = ..., catalogue_sequence: _Optional[int] = ...) -> None: ...

class ExperimentVariant(_message.Message):
    __slots__ = ("experiment", "variant")
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    VARIANT_FIELD_NUMBER: _ClassVar[int]
    experiment: str
    variant: str
    def __init__(self, experiment: _Optional[str] = ..., variant: _Optional[str] = ...) -> None: ...

class StageTiming(_message.Message):
    __slots__ = ("stage", "elapsed", "row_count")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ROW_COUNT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    elapsed: _duration_pb2.Duration
    row_count: int
    def __init__(self, stage: _Optional[str] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., row_count: _Optional[int] = ...) -> None: ...

class Trace(_message.Message):
    __slots__ = ("stages", "batch_count", "search_round_count", "candidate_count", "removed_count", "history_event_count", "history_unknown_count", "retriever", "provider", "rows_scanned_count")
    STAGES_FIELD_NUMBER: _ClassVar[int]
    BATCH_COUNT_FIELD_NUMBER: _ClassVar[int]
    SEARCH_ROUND_COUNT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_EVENT_COUNT_FIELD_NUMBER: _ClassVar[int]
    HISTORY_UNKNOWN_COUNT_FIELD_NUMBER: _ClassVar[int]
    RETRIEVER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    ROWS_SCANNED_COUNT_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.RepeatedCompositeFieldContainer[StageTiming]
    batch_count: int
    search_round_count: int
    candidate_count: int
    removed_count: int
    history_event_count: int
    history_unknown_count: int
    retriever: str
    provider: str
    rows_scanned_count: int
    def __init__(self, stages: _Optional[_Iterable[_Union[StageTiming, _Mapping]]] = ..., batch_count: _Optional[int] = ..., search_round_count: _Optional[int] = ..., candidate_count: _Optional[int] = ..., removed_count: _Optional[int] = ..., history_event_count: _Optional[int] = ..., history_unknown_count: _Optional[int] = ..., retriever: _Optional[str] = ..., provider: _Optional[str] = ..., rows_scanned_count: _Optional[int] = ...) -> None: ...

class RecommendResponse(_message.Message):
    __slots__ = ("products", "reasons", "withheld_counts", "decision", "trace", "diversity_trade_off", "answer_id", "experiments", "segment_id")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_COUNTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    TRACE_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_TRADE_OFF_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[RecommendedProduct]
    reasons: _containers.RepeatedScalarFieldContainer[ResponseReason]
    withheld_counts: _containers.RepeatedCompositeFieldContainer[WithheldCount]
    decision: Decision
    trace: Trace
    diversity_trade_off: float
    answer_id: str
    experiments: _containers.RepeatedCompositeFieldContainer[ExperimentVariant]
    segment_id: str
    def __init__(self, products: _Optional[_Iterable[_Union[RecommendedProduct, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[ResponseReason, str]]] = ..., withheld_counts: _Optional[_Iterable[_Union[WithheldCount, _Mapping]]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., trace: _Optional[_Union[Trace, _Mapping]] = ..., diversity_trade_off: _Optional[float] = ..., answer_id: _Optional[str] = ..., experiments: _Optional[_Iterable[_Union[ExperimentVariant, _Mapping]]] = ..., segment_id: _Optional[str] = ...) -> None: ...

class BatchRecommendRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RecommendRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RecommendRequest, _Mapping]]] = ...) -> None: ...

class BatchError(_message.Message):
    __slots__ = ("code", "reason", "field", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    field: str
    message: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., field: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class BatchRecommendResult(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: RecommendResponse
    error: BatchError
    def __init__(self, response: _Optional[_Union[RecommendResponse, _Mapping]] = ..., error: _Optional[_Union[BatchError, _Mapping]] = ...) -> None: ...

class BatchRecommendResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchRecommendResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchRecommendResult, _Mapping]]] = ...) -> None: ...

class ScoreProductsRequest(_message.Message):
    __slots__ = ("tenant_id", "user", "product_ids", "risk_score_limit", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user: _profile_pb2.User
    product_ids: _containers.RepeatedScalarFieldContainer[str]
    risk_score_limit: int
    context: RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user: _Optional[_Union[_profile_pb2.User, _Mapping]] = ..., product_ids: _Optional[_Iterable[str]] = ..., risk_score_limit: _Optional[int] = ..., context: _Optional[_Union[RequestContext, _Mapping]] = ...) -> None: ...

class ScoreProductsResponse(_message.Message):
    __slots__ = ("products", "withheld", "unknown_product_ids", "decision", "answer_id", "experiments", "segment_id")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[RecommendedProduct]
    withheld: _containers.RepeatedCompositeFieldContainer[ProductEligibility]
    unknown_product_ids: _containers.RepeatedScalarFieldContainer[str]
    decision: Decision
    answer_id: str
    experiments: _containers.RepeatedCompositeFieldContainer[ExperimentVariant]
    segment_id: str
    def __init__(self, products: _Optional[_Iterable[_Union[RecommendedProduct, _Mapping]]] = ..., withheld: _Optional[_Iterable[_Union[ProductEligibility, _Mapping]]] = ..., unknown_product_ids: _Optional[_Iterable[str]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., answer_id: _Optional[str] = ..., experiments: _Optional[_Iterable[_Union[ExperimentVariant, _Mapping]]] = ..., segment_id: _Optional[str] = ...) -> None: ...

class SimilarProductsRequest(_message.Message):
    __slots__ = ("tenant_id", "user", "product_id", "k", "domain", "risk_score_limit", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user: _profile_pb2.User
    product_id: str
    k: int
    domain: Domain
    risk_score_limit: int
    context: RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user: _Optional[_Union[_profile_pb2.User, _Mapping]] = ..., product_id: _Optional[str] = ..., k: _Optional[int] = ..., domain: _Optional[_Union[Domain, str]] = ..., risk_score_limit: _Optional[int] = ..., context: _Optional[_Union[RequestContext, _Mapping]] = ...) -> None: ...

class SimilarProductsResponse(_message.Message):
    __slots__ = ("products", "reasons", "withheld_counts", "decision", "answer_id", "experiments", "segment_id")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_COUNTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[RecommendedProduct]
    reasons: _containers.RepeatedScalarFieldContainer[ResponseReason]
    withheld_counts: _containers.RepeatedCompositeFieldContainer[WithheldCount]
    decision: Decision
    answer_id: str
    experiments: _containers.RepeatedCompositeFieldContainer[ExperimentVariant]
    segment_id: str
    def __init__(self, products: _Optional[_Iterable[_Union[RecommendedProduct, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[ResponseReason, str]]] = ..., withheld_counts: _Optional[_Iterable[_Union[WithheldCount, _Mapping]]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ..., answer_id: _Optional[str] = ..., experiments: _Optional[_Iterable[_Union[ExperimentVariant, _Mapping]]] = ..., segment_id: _Optional[str] = ...) -> None: ...

class CheckEligibilityRequest(_message.Message):
    __slots__ = ("tenant_id", "user", "product_ids", "intent", "risk_score_limit", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    INTENT_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user: _profile_pb2.User
    product_ids: _containers.RepeatedScalarFieldContainer[str]
    intent: Intent
    risk_score_limit: int
    context: RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user: _Optional[_Union[_profile_pb2.User, _Mapping]] = ..., product_ids: _Optional[_Iterable[str]] = ..., intent: _Optional[_Union[Intent, str]] = ..., risk_score_limit: _Optional[int] = ..., context: _Optional[_Union[RequestContext, _Mapping]] = ...) -> None: ...

class EligibilityReason(_message.Message):
    __slots__ = ("code", "number", "remedy", "text", "text_zh", "basis", "waivable")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEXT_ZH_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    WAIVABLE_FIELD_NUMBER: _ClassVar[int]
    code: str
    number: int
    remedy: str
    text: str
    text_zh: str
    basis: str
    waivable: bool
    def __init__(self, code: _Optional[str] = ..., number: _Optional[int] = ..., remedy: _Optional[str] = ..., text: _Optional[str] = ..., text_zh: _Optional[str] = ..., basis: _Optional[str] = ..., waivable: _Optional[bool] = ...) -> None: ...

class ProductEligibility(_message.Message):
    __slots__ = ("product_id", "known", "eligible", "reasons", "valid_until_time", "warnings", "assumed_fields")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    ELIGIBLE_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    known: bool
    eligible: bool
    reasons: _containers.RepeatedCompositeFieldContainer[EligibilityReason]
    valid_until_time: _timestamp_pb2.Timestamp
    warnings: _containers.RepeatedScalarFieldContainer[str]
    assumed_fields: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, product_id: _Optional[str] = ..., known: _Optional[bool] = ..., eligible: _Optional[bool] = ..., reasons: _Optional[_Iterable[_Union[EligibilityReason, _Mapping]]] = ..., valid_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., warnings: _Optional[_Iterable[str]] = ..., assumed_fields: _Optional[_Iterable[str]] = ...) -> None: ...

class CheckEligibilityResponse(_message.Message):
    __slots__ = ("products", "decision")
    PRODUCTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    products: _containers.RepeatedCompositeFieldContainer[ProductEligibility]
    decision: Decision
    def __init__(self, products: _Optional[_Iterable[_Union[ProductEligibility, _Mapping]]] = ..., decision: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class GetServingInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServingInfoResponse(_message.Message):
    __slots__ = ("bundle_version", "bundle_create_time", "model", "embedding_dim", "learning_product_count", "financial_product_count", "score_scale", "policy_id", "policy_version", "policy_hash", "provider", "index_type", "kernel", "k_max", "batch_count_max", "system_clock", "decision_time", "assumed_data", "data_source", "server_version", "cpu_time", "diversity_trade_off")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIM_FIELD_NUMBER: _ClassVar[int]
    LEARNING_PRODUCT_COUNT_FIELD_NUMBER: _ClassVar[int]
    FINANCIAL_PRODUCT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SCORE_SCALE_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    INDEX_TYPE_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    K_MAX_FIELD_NUMBER: _ClassVar[int]
    BATCH_COUNT_MAX_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_CLOCK_FIELD_NUMBER: _ClassVar[int]
    DECISION_TIME_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_DATA_FIELD_NUMBER: _ClassVar[int]
    DATA_SOURCE_FIELD_NUMBER: _ClassVar[int]
    SERVER_VERSION_FIELD_NUMBER: _ClassVar[int]
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_TRADE_OFF_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    bundle_create_time: _timestamp_pb2.Timestamp
    model: str
    embedding_dim: int
    learning_product_count: int
    financial_product_count: int
    score_scale: float
    policy_id: str
    policy_version: str
    policy_hash: str
    provider: str
    index_type: str
    kernel: str
    k_max: int
    batch_count_max: int
    system_clock: bool
    decision_time: _timestamp_pb2.Timestamp
    assumed_data: bool
    data_source: str
    server_version: str
    cpu_time: _duration_pb2.Duration
    diversity_trade_off: float
    def __init__(self, bundle_version: _Optional[str] = ..., bundle_create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., model: _Optional[str] = ..., embedding_dim: _Optional[int] = ..., learning_product_count: _Optional[int] = ..., financial_product_count: _Optional[int] = ..., score_scale: _Optional[float] = ..., policy_id: _Optional[str] = ..., policy_version: _Optional[str] = ..., policy_hash: _Optional[str] = ..., provider: _Optional[str] = ..., index_type: _Optional[str] = ..., kernel: _Optional[str] = ..., k_max: _Optional[int] = ..., batch_count_max: _Optional[int] = ..., system_clock: _Optional[bool] = ..., decision_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., assumed_data: _Optional[bool] = ..., data_source: _Optional[str] = ..., server_version: _Optional[str] = ..., cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., diversity_trade_off: _Optional[float] = ...) -> None: ...
