import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from prudence.v1 import recommendation_pb2 as _recommendation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PatchOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATCH_OUTCOME_UNSPECIFIED: _ClassVar[PatchOutcome]
    PATCH_OUTCOME_APPLIED: _ClassVar[PatchOutcome]
    PATCH_OUTCOME_UNCHANGED: _ClassVar[PatchOutcome]
    PATCH_OUTCOME_REFUSED: _ClassVar[PatchOutcome]
    PATCH_OUTCOME_PRODUCT_UNKNOWN: _ClassVar[PatchOutcome]

class PatchRefusalReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATCH_REFUSAL_REASON_UNSPECIFIED: _ClassVar[PatchRefusalReason]
    PATCH_REFUSAL_REASON_NEEDS_NEW_BUNDLE: _ClassVar[PatchRefusalReason]
    PATCH_REFUSAL_REASON_NOT_STATED: _ClassVar[PatchRefusalReason]
    PATCH_REFUSAL_REASON_OUT_OF_SCALE: _ClassVar[PatchRefusalReason]

class BundleState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUNDLE_STATE_UNSPECIFIED: _ClassVar[BundleState]
    BUNDLE_STATE_SERVING: _ClassVar[BundleState]
    BUNDLE_STATE_LOADED: _ClassVar[BundleState]
    BUNDLE_STATE_LOADING: _ClassVar[BundleState]
    BUNDLE_STATE_AVAILABLE: _ClassVar[BundleState]
    BUNDLE_STATE_REFUSED: _ClassVar[BundleState]
PATCH_OUTCOME_UNSPECIFIED: PatchOutcome
PATCH_OUTCOME_APPLIED: PatchOutcome
PATCH_OUTCOME_UNCHANGED: PatchOutcome
PATCH_OUTCOME_REFUSED: PatchOutcome
PATCH_OUTCOME_PRODUCT_UNKNOWN: PatchOutcome
PATCH_REFUSAL_REASON_UNSPECIFIED: PatchRefusalReason
PATCH_REFUSAL_REASON_NEEDS_NEW_BUNDLE: PatchRefusalReason
PATCH_REFUSAL_REASON_NOT_STATED: PatchRefusalReason
PATCH_REFUSAL_REASON_OUT_OF_SCALE: PatchRefusalReason
BUNDLE_STATE_UNSPECIFIED: BundleState
BUNDLE_STATE_SERVING: BundleState
BUNDLE_STATE_LOADED: BundleState
BUNDLE_STATE_LOADING: BundleState
BUNDLE_STATE_AVAILABLE: BundleState
BUNDLE_STATE_REFUSED: BundleState

class SetOverlayRequest(_message.Message):
    __slots__ = ("overlay_document", "signature_document", "context")
    OVERLAY_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    overlay_document: bytes
    signature_document: bytes
    context: _recommendation_pb2.RequestContext
    def __init__(self, overlay_document: _Optional[bytes] = ..., signature_document: _Optional[bytes] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class SetOverlayResponse(_message.Message):
    __slots__ = ("overlay_hash", "overlay_sequence", "effective_time", "request_id", "unknown_product_ids", "unknown_issuers")
    OVERLAY_HASH_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_PRODUCT_IDS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ISSUERS_FIELD_NUMBER: _ClassVar[int]
    overlay_hash: str
    overlay_sequence: int
    effective_time: _timestamp_pb2.Timestamp
    request_id: str
    unknown_product_ids: _containers.RepeatedScalarFieldContainer[str]
    unknown_issuers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, overlay_hash: _Optional[str] = ..., overlay_sequence: _Optional[int] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., unknown_product_ids: _Optional[_Iterable[str]] = ..., unknown_issuers: _Optional[_Iterable[str]] = ...) -> None: ...

class GetPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PolicyVersion(_message.Message):
    __slots__ = ("policy_id", "version", "policy_hash", "policy_document", "effective_time")
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    POLICY_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    version: str
    policy_hash: str
    policy_document: bytes
    effective_time: _timestamp_pb2.Timestamp
    def __init__(self, policy_id: _Optional[str] = ..., version: _Optional[str] = ..., policy_hash: _Optional[str] = ..., policy_document: _Optional[bytes] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PolicyOverlay(_message.Message):
    __slots__ = ("overlay_hash", "overlay_sequence", "overlay_document")
    OVERLAY_HASH_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    overlay_hash: str
    overlay_sequence: int
    overlay_document: bytes
    def __init__(self, overlay_hash: _Optional[str] = ..., overlay_sequence: _Optional[int] = ..., overlay_document: _Optional[bytes] = ...) -> None: ...

class GetPolicyResponse(_message.Message):
    __slots__ = ("policy", "overlay", "scheduled_policies", "signature_required", "decision_time")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_POLICIES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_REQUIRED_FIELD_NUMBER: _ClassVar[int]
    DECISION_TIME_FIELD_NUMBER: _ClassVar[int]
    policy: PolicyVersion
    overlay: PolicyOverlay
    scheduled_policies: _containers.RepeatedCompositeFieldContainer[PolicyVersion]
    signature_required: bool
    decision_time: _timestamp_pb2.Timestamp
    def __init__(self, policy: _Optional[_Union[PolicyVersion, _Mapping]] = ..., overlay: _Optional[_Union[PolicyOverlay, _Mapping]] = ..., scheduled_policies: _Optional[_Iterable[_Union[PolicyVersion, _Mapping]]] = ..., signature_required: _Optional[bool] = ..., decision_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ActivatePolicyRequest(_message.Message):
    __slots__ = ("policy_document", "signature_document", "context")
    POLICY_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_DOCUMENT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    policy_document: bytes
    signature_document: bytes
    context: _recommendation_pb2.RequestContext
    def __init__(self, policy_document: _Optional[bytes] = ..., signature_document: _Optional[bytes] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class ActivatePolicyResponse(_message.Message):
    __slots__ = ("policy_hash", "effective_time", "scheduled", "request_id", "replaced_versions")
    POLICY_HASH_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    SCHEDULED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REPLACED_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    policy_hash: str
    effective_time: _timestamp_pb2.Timestamp
    scheduled: bool
    request_id: str
    replaced_versions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, policy_hash: _Optional[str] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., scheduled: _Optional[bool] = ..., request_id: _Optional[str] = ..., replaced_versions: _Optional[_Iterable[str]] = ...) -> None: ...

class ProductPatch(_message.Message):
    __slots__ = ("product_id", "status", "capacity_left", "sale_start_time", "sale_end_time", "licence_until_time", "level_issuer", "level_distributor", "risk_score")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_LEFT_FIELD_NUMBER: _ClassVar[int]
    SALE_START_TIME_FIELD_NUMBER: _ClassVar[int]
    SALE_END_TIME_FIELD_NUMBER: _ClassVar[int]
    LICENCE_UNTIL_TIME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_ISSUER_FIELD_NUMBER: _ClassVar[int]
    LEVEL_DISTRIBUTOR_FIELD_NUMBER: _ClassVar[int]
    RISK_SCORE_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    status: str
    capacity_left: int
    sale_start_time: _timestamp_pb2.Timestamp
    sale_end_time: _timestamp_pb2.Timestamp
    licence_until_time: _timestamp_pb2.Timestamp
    level_issuer: int
    level_distributor: int
    risk_score: int
    def __init__(self, product_id: _Optional[str] = ..., status: _Optional[str] = ..., capacity_left: _Optional[int] = ..., sale_start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sale_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., licence_until_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., level_issuer: _Optional[int] = ..., level_distributor: _Optional[int] = ..., risk_score: _Optional[int] = ...) -> None: ...

class PatchProductsRequest(_message.Message):
    __slots__ = ("patches", "expected_catalogue_sequence", "idempotency_key", "context")
    PATCHES_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_CATALOGUE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    patches: _containers.RepeatedCompositeFieldContainer[ProductPatch]
    expected_catalogue_sequence: int
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, patches: _Optional[_Iterable[_Union[ProductPatch, _Mapping]]] = ..., expected_catalogue_sequence: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class PatchRefusal(_message.Message):
    __slots__ = ("field", "reason", "in_force")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    field: str
    reason: PatchRefusalReason
    in_force: str
    def __init__(self, field: _Optional[str] = ..., reason: _Optional[_Union[PatchRefusalReason, str]] = ..., in_force: _Optional[str] = ...) -> None: ...

class PatchVerdict(_message.Message):
    __slots__ = ("product_id", "outcome", "refusals")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    outcome: PatchOutcome
    refusals: _containers.RepeatedCompositeFieldContainer[PatchRefusal]
    def __init__(self, product_id: _Optional[str] = ..., outcome: _Optional[_Union[PatchOutcome, str]] = ..., refusals: _Optional[_Iterable[_Union[PatchRefusal, _Mapping]]] = ...) -> None: ...

class PatchProductsResponse(_message.Message):
    __slots__ = ("verdicts", "catalogue_sequence", "effective_time", "repeated_answer", "request_id")
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EFFECTIVE_TIME_FIELD_NUMBER: _ClassVar[int]
    REPEATED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    verdicts: _containers.RepeatedCompositeFieldContainer[PatchVerdict]
    catalogue_sequence: int
    effective_time: _timestamp_pb2.Timestamp
    repeated_answer: bool
    request_id: str
    def __init__(self, verdicts: _Optional[_Iterable[_Union[PatchVerdict, _Mapping]]] = ..., catalogue_sequence: _Optional[int] = ..., effective_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., repeated_answer: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetCatalogueRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetCatalogueResponse(_message.Message):
    __slots__ = ("bundle_version", "catalogue_sequence", "patched_count", "patches", "accepts_patches")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CATALOGUE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PATCHED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PATCHES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_PATCHES_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    catalogue_sequence: int
    patched_count: int
    patches: _containers.RepeatedCompositeFieldContainer[ProductPatch]
    accepts_patches: bool
    def __init__(self, bundle_version: _Optional[str] = ..., catalogue_sequence: _Optional[int] = ..., patched_count: _Optional[int] = ..., patches: _Optional[_Iterable[_Union[ProductPatch, _Mapping]]] = ..., accepts_patches: _Optional[bool] = ...) -> None: ...

class ListBundlesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BundleFinding(_message.Message):
    __slots__ = ("gate", "figure", "limit", "passed", "comparative")
    GATE_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    COMPARATIVE_FIELD_NUMBER: _ClassVar[int]
    gate: str
    figure: float
    limit: float
    passed: bool
    comparative: bool
    def __init__(self, gate: _Optional[str] = ..., figure: _Optional[float] = ..., limit: _Optional[float] = ..., passed: _Optional[bool] = ..., comparative: _Optional[bool] = ...) -> None: ...

class BundleEntry(_message.Message):
    __slots__ = ("bundle_version", "state", "create_time", "manifest_hash", "signers", "refusal_reason", "refusal_message", "rolled_back")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_HASH_FIELD_NUMBER: _ClassVar[int]
    SIGNERS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_REASON_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ROLLED_BACK_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    state: BundleState
    create_time: _timestamp_pb2.Timestamp
    manifest_hash: str
    signers: _containers.RepeatedScalarFieldContainer[str]
    refusal_reason: str
    refusal_message: str
    rolled_back: bool
    def __init__(self, bundle_version: _Optional[str] = ..., state: _Optional[_Union[BundleState, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., manifest_hash: _Optional[str] = ..., signers: _Optional[_Iterable[str]] = ..., refusal_reason: _Optional[str] = ..., refusal_message: _Optional[str] = ..., rolled_back: _Optional[bool] = ...) -> None: ...

class ListBundlesResponse(_message.Message):
    __slots__ = ("bundles", "serving_bundle_version", "pinned", "current_bundle_version", "current_refusal_reason", "current_refusal_message", "bundle_sequence", "kept_over_restart")
    BUNDLES_FIELD_NUMBER: _ClassVar[int]
    SERVING_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    CURRENT_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CURRENT_REFUSAL_REASON_FIELD_NUMBER: _ClassVar[int]
    CURRENT_REFUSAL_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    KEPT_OVER_RESTART_FIELD_NUMBER: _ClassVar[int]
    bundles: _containers.RepeatedCompositeFieldContainer[BundleEntry]
    serving_bundle_version: str
    pinned: bool
    current_bundle_version: str
    current_refusal_reason: str
    current_refusal_message: str
    bundle_sequence: int
    kept_over_restart: bool
    def __init__(self, bundles: _Optional[_Iterable[_Union[BundleEntry, _Mapping]]] = ..., serving_bundle_version: _Optional[str] = ..., pinned: _Optional[bool] = ..., current_bundle_version: _Optional[str] = ..., current_refusal_reason: _Optional[str] = ..., current_refusal_message: _Optional[str] = ..., bundle_sequence: _Optional[int] = ..., kept_over_restart: _Optional[bool] = ...) -> None: ...

class LoadBundleRequest(_message.Message):
    __slots__ = ("bundle_version", "context")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, bundle_version: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class LoadBundleResponse(_message.Message):
    __slots__ = ("findings", "request_id")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[BundleFinding]
    request_id: str
    def __init__(self, findings: _Optional[_Iterable[_Union[BundleFinding, _Mapping]]] = ..., request_id: _Optional[str] = ...) -> None: ...

class ActivateBundleRequest(_message.Message):
    __slots__ = ("bundle_version", "expected_bundle_version", "allow_worse", "explanation", "idempotency_key", "context")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    ALLOW_WORSE_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    expected_bundle_version: str
    allow_worse: bool
    explanation: str
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, bundle_version: _Optional[str] = ..., expected_bundle_version: _Optional[str] = ..., allow_worse: _Optional[bool] = ..., explanation: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class ActivateBundleResponse(_message.Message):
    __slots__ = ("bundle_version", "previous_bundle_version", "findings", "bundle_sequence", "repeated_answer", "kept_over_restart", "request_id")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPEATED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    KEPT_OVER_RESTART_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    previous_bundle_version: str
    findings: _containers.RepeatedCompositeFieldContainer[BundleFinding]
    bundle_sequence: int
    repeated_answer: bool
    kept_over_restart: bool
    request_id: str
    def __init__(self, bundle_version: _Optional[str] = ..., previous_bundle_version: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[BundleFinding, _Mapping]]] = ..., bundle_sequence: _Optional[int] = ..., repeated_answer: _Optional[bool] = ..., kept_over_restart: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class RollbackBundleRequest(_message.Message):
    __slots__ = ("bundle_version", "expected_bundle_version", "explanation", "idempotency_key", "context")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    expected_bundle_version: str
    explanation: str
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, bundle_version: _Optional[str] = ..., expected_bundle_version: _Optional[str] = ..., explanation: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class RollbackBundleResponse(_message.Message):
    __slots__ = ("bundle_version", "previous_bundle_version", "findings", "bundle_sequence", "repeated_answer", "kept_over_restart", "request_id")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPEATED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    KEPT_OVER_RESTART_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    previous_bundle_version: str
    findings: _containers.RepeatedCompositeFieldContainer[BundleFinding]
    bundle_sequence: int
    repeated_answer: bool
    kept_over_restart: bool
    request_id: str
    def __init__(self, bundle_version: _Optional[str] = ..., previous_bundle_version: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[BundleFinding, _Mapping]]] = ..., bundle_sequence: _Optional[int] = ..., repeated_answer: _Optional[bool] = ..., kept_over_restart: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...

class PinBundleRequest(_message.Message):
    __slots__ = ("pinned", "expected_bundle_version", "explanation", "idempotency_key", "context")
    PINNED_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    pinned: bool
    expected_bundle_version: str
    explanation: str
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, pinned: _Optional[bool] = ..., expected_bundle_version: _Optional[str] = ..., explanation: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class PinBundleResponse(_message.Message):
    __slots__ = ("bundle_version", "pinned", "bundle_sequence", "repeated_answer", "kept_over_restart", "request_id")
    BUNDLE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REPEATED_ANSWER_FIELD_NUMBER: _ClassVar[int]
    KEPT_OVER_RESTART_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    bundle_version: str
    pinned: bool
    bundle_sequence: int
    repeated_answer: bool
    kept_over_restart: bool
    request_id: str
    def __init__(self, bundle_version: _Optional[str] = ..., pinned: _Optional[bool] = ..., bundle_sequence: _Optional[int] = ..., repeated_answer: _Optional[bool] = ..., kept_over_restart: _Optional[bool] = ..., request_id: _Optional[str] = ...) -> None: ...
