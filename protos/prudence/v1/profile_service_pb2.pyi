import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from prudence.v1 import profile_pb2 as _profile_pb2
from prudence.v1 import recommendation_pb2 as _recommendation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PutProfileRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "profile", "expected_version", "idempotency_key", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    profile: _profile_pb2.UserProfile
    expected_version: int
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., profile: _Optional[_Union[_profile_pb2.UserProfile, _Mapping]] = ..., expected_version: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class PutProfileResponse(_message.Message):
    __slots__ = ("version", "update_time", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    update_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class PatchProfileRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "profile", "update_mask", "expected_version", "idempotency_key", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    profile: _profile_pb2.UserProfile
    update_mask: _field_mask_pb2.FieldMask
    expected_version: int
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., profile: _Optional[_Union[_profile_pb2.UserProfile, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., expected_version: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class PatchProfileResponse(_message.Message):
    __slots__ = ("version", "update_time", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    update_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class GetProfileRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetProfileResponse(_message.Message):
    __slots__ = ("profile", "version", "update_time", "blocked", "consent_withdrawn", "personalised", "assumed_fields", "request_id")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    CONSENT_WITHDRAWN_FIELD_NUMBER: _ClassVar[int]
    PERSONALISED_FIELD_NUMBER: _ClassVar[int]
    ASSUMED_FIELDS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    profile: _profile_pb2.UserProfile
    version: int
    update_time: _timestamp_pb2.Timestamp
    blocked: bool
    consent_withdrawn: bool
    personalised: bool
    assumed_fields: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    def __init__(self, profile: _Optional[_Union[_profile_pb2.UserProfile, _Mapping]] = ..., version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., blocked: _Optional[bool] = ..., consent_withdrawn: _Optional[bool] = ..., personalised: _Optional[bool] = ..., assumed_fields: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class DeleteProfileRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "expected_version", "idempotency_key", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    expected_version: int
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., expected_version: _Optional[int] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class DeleteProfileResponse(_message.Message):
    __slots__ = ("version", "update_time", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    update_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetConsentRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "consented", "idempotency_key", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CONSENTED_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    consented: bool
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., consented: _Optional[bool] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class SetConsentResponse(_message.Message):
    __slots__ = ("version", "update_time", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    update_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetBlockRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "blocked", "idempotency_key", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    blocked: bool
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., blocked: _Optional[bool] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class SetBlockResponse(_message.Message):
    __slots__ = ("version", "update_time", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    update_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class SetPersonalisationRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "personalised", "idempotency_key", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PERSONALISED_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    personalised: bool
    idempotency_key: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., personalised: _Optional[bool] = ..., idempotency_key: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class SetPersonalisationResponse(_message.Message):
    __slots__ = ("version", "update_time", "request_id")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    version: int
    update_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, version: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class EraseUserRequest(_message.Message):
    __slots__ = ("tenant_id", "user_id", "context")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    user_id: str
    context: _recommendation_pb2.RequestContext
    def __init__(self, tenant_id: _Optional[str] = ..., user_id: _Optional[str] = ..., context: _Optional[_Union[_recommendation_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class EraseUserResponse(_message.Message):
    __slots__ = ("erase_time", "request_id")
    ERASE_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    erase_time: _timestamp_pb2.Timestamp
    request_id: str
    def __init__(self, erase_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...
