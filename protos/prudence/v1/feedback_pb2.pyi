import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from prudence.v1 import profile_pb2 as _profile_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventVerdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_VERDICT_UNSPECIFIED: _ClassVar[EventVerdict]
    EVENT_VERDICT_ACCEPTED: _ClassVar[EventVerdict]
    EVENT_VERDICT_DUPLICATE: _ClassVar[EventVerdict]
    EVENT_VERDICT_PRODUCT_UNKNOWN: _ClassVar[EventVerdict]
    EVENT_VERDICT_USER_UNKNOWN: _ClassVar[EventVerdict]
    EVENT_VERDICT_USER_ERASED: _ClassVar[EventVerdict]
    EVENT_VERDICT_TIME_IN_FUTURE: _ClassVar[EventVerdict]
    EVENT_VERDICT_TIME_TOO_OLD: _ClassVar[EventVerdict]
    EVENT_VERDICT_VALUE_INVALID: _ClassVar[EventVerdict]
EVENT_VERDICT_UNSPECIFIED: EventVerdict
EVENT_VERDICT_ACCEPTED: EventVerdict
EVENT_VERDICT_DUPLICATE: EventVerdict
EVENT_VERDICT_PRODUCT_UNKNOWN: EventVerdict
EVENT_VERDICT_USER_UNKNOWN: EventVerdict
EVENT_VERDICT_USER_ERASED: EventVerdict
EVENT_VERDICT_TIME_IN_FUTURE: EventVerdict
EVENT_VERDICT_TIME_TOO_OLD: EventVerdict
EVENT_VERDICT_VALUE_INVALID: EventVerdict

class Event(_message.Message):
    __slots__ = ("event_id", "user_id", "product_id", "event_type", "event_time", "answer_id", "position", "rating", "dwell_s", "revenue_minor", "placement", "campaign")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RATING_FIELD_NUMBER: _ClassVar[int]
    DWELL_S_FIELD_NUMBER: _ClassVar[int]
    REVENUE_MINOR_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    product_id: str
    event_type: _profile_pb2.EventType
    event_time: _timestamp_pb2.Timestamp
    answer_id: str
    position: int
    rating: float
    dwell_s: float
    revenue_minor: int
    placement: str
    campaign: str
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., product_id: _Optional[str] = ..., event_type: _Optional[_Union[_profile_pb2.EventType, str]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answer_id: _Optional[str] = ..., position: _Optional[int] = ..., rating: _Optional[float] = ..., dwell_s: _Optional[float] = ..., revenue_minor: _Optional[int] = ..., placement: _Optional[str] = ..., campaign: _Optional[str] = ...) -> None: ...

class EventResult(_message.Message):
    __slots__ = ("event_id", "verdict", "field")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    verdict: EventVerdict
    field: str
    def __init__(self, event_id: _Optional[str] = ..., verdict: _Optional[_Union[EventVerdict, str]] = ..., field: _Optional[str] = ...) -> None: ...

class RecordEventsRequest(_message.Message):
    __slots__ = ("tenant_id", "events")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, tenant_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class RecordEventsResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[EventResult]
    def __init__(self, results: _Optional[_Iterable[_Union[EventResult, _Mapping]]] = ...) -> None: ...

class StreamEventsRequest(_message.Message):
    __slots__ = ("tenant_id", "events")
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    tenant_id: str
    events: _containers.RepeatedCompositeFieldContainer[Event]
    def __init__(self, tenant_id: _Optional[str] = ..., events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ...) -> None: ...

class StreamEventsResponse(_message.Message):
    __slots__ = ("accepted_count", "duplicate_count", "refused_count", "refused")
    ACCEPTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    accepted_count: int
    duplicate_count: int
    refused_count: int
    refused: _containers.RepeatedCompositeFieldContainer[EventResult]
    def __init__(self, accepted_count: _Optional[int] = ..., duplicate_count: _Optional[int] = ..., refused_count: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[EventResult, _Mapping]]] = ...) -> None: ...
