import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from prudence.v1 import recommendation_pb2 as _recommendation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
