import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ClientType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLIENT_TYPE_UNSPECIFIED: _ClassVar[ClientType]
    CLIENT_TYPE_RETAIL: _ClassVar[ClientType]
    CLIENT_TYPE_PROFESSIONAL: _ClassVar[ClientType]

class CivilCapacity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CIVIL_CAPACITY_UNSPECIFIED: _ClassVar[CivilCapacity]
    CIVIL_CAPACITY_FULL: _ClassVar[CivilCapacity]
    CIVIL_CAPACITY_LIMITED: _ClassVar[CivilCapacity]
    CIVIL_CAPACITY_NONE: _ClassVar[CivilCapacity]

class EventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_TYPE_UNSPECIFIED: _ClassVar[EventType]
    EVENT_TYPE_VIEW: _ClassVar[EventType]
    EVENT_TYPE_SEARCH: _ClassVar[EventType]
    EVENT_TYPE_CLICK: _ClassVar[EventType]
    EVENT_TYPE_ENROL: _ClassVar[EventType]
    EVENT_TYPE_PURCHASE: _ClassVar[EventType]
    EVENT_TYPE_RATING: _ClassVar[EventType]
    EVENT_TYPE_FAVOURITE: _ClassVar[EventType]
    EVENT_TYPE_DWELL: _ClassVar[EventType]
    EVENT_TYPE_COMMENT: _ClassVar[EventType]
    EVENT_TYPE_NOT_INTERESTED: _ClassVar[EventType]
    EVENT_TYPE_COMPLAINT: _ClassVar[EventType]
    EVENT_TYPE_IMPRESSION: _ClassVar[EventType]
CLIENT_TYPE_UNSPECIFIED: ClientType
CLIENT_TYPE_RETAIL: ClientType
CLIENT_TYPE_PROFESSIONAL: ClientType
CIVIL_CAPACITY_UNSPECIFIED: CivilCapacity
CIVIL_CAPACITY_FULL: CivilCapacity
CIVIL_CAPACITY_LIMITED: CivilCapacity
CIVIL_CAPACITY_NONE: CivilCapacity
EVENT_TYPE_UNSPECIFIED: EventType
EVENT_TYPE_VIEW: EventType
EVENT_TYPE_SEARCH: EventType
EVENT_TYPE_CLICK: EventType
EVENT_TYPE_ENROL: EventType
EVENT_TYPE_PURCHASE: EventType
EVENT_TYPE_RATING: EventType
EVENT_TYPE_FAVOURITE: EventType
EVENT_TYPE_DWELL: EventType
EVENT_TYPE_COMMENT: EventType
EVENT_TYPE_NOT_INTERESTED: EventType
EVENT_TYPE_COMPLAINT: EventType
EVENT_TYPE_IMPRESSION: EventType

class Date(_message.Message):
    __slots__ = ("year", "month", "day")
    YEAR_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    year: int
    month: int
    day: int
    def __init__(self, year: _Optional[int] = ..., month: _Optional[int] = ..., day: _Optional[int] = ...) -> None: ...

class StringSet(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class IntegerMap(_message.Message):
    __slots__ = ("values",)
    class ValuesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.ScalarMap[str, int]
    def __init__(self, values: _Optional[_Mapping[str, int]] = ...) -> None: ...

class UserProfile(_message.Message):
    __slots__ = ("profile_as_of_time", "client_type", "capacity", "birth_date", "jurisdiction", "us_person", "risk_level", "assessed_on", "level_changed", "level_confirmed", "assessments_today_count", "assessments_12m_count", "change_reported", "knowledge", "loss_capacity", "max_loss_bps", "horizon_months", "objectives", "needs", "needs_on", "liquid_minor", "income_minor", "premium_budget_minor", "currencies", "held_issuer", "held_high_risk_minor", "held_dup_groups", "vulnerable", "blocked", "consent_sensitive", "user_risk_band")
    PROFILE_AS_OF_TIME_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    JURISDICTION_FIELD_NUMBER: _ClassVar[int]
    US_PERSON_FIELD_NUMBER: _ClassVar[int]
    RISK_LEVEL_FIELD_NUMBER: _ClassVar[int]
    ASSESSED_ON_FIELD_NUMBER: _ClassVar[int]
    LEVEL_CHANGED_FIELD_NUMBER: _ClassVar[int]
    LEVEL_CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENTS_TODAY_COUNT_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENTS_12M_COUNT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_REPORTED_FIELD_NUMBER: _ClassVar[int]
    KNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    LOSS_CAPACITY_FIELD_NUMBER: _ClassVar[int]
    MAX_LOSS_BPS_FIELD_NUMBER: _ClassVar[int]
    HORIZON_MONTHS_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVES_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_ON_FIELD_NUMBER: _ClassVar[int]
    LIQUID_MINOR_FIELD_NUMBER: _ClassVar[int]
    INCOME_MINOR_FIELD_NUMBER: _ClassVar[int]
    PREMIUM_BUDGET_MINOR_FIELD_NUMBER: _ClassVar[int]
    CURRENCIES_FIELD_NUMBER: _ClassVar[int]
    HELD_ISSUER_FIELD_NUMBER: _ClassVar[int]
    HELD_HIGH_RISK_MINOR_FIELD_NUMBER: _ClassVar[int]
    HELD_DUP_GROUPS_FIELD_NUMBER: _ClassVar[int]
    VULNERABLE_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    CONSENT_SENSITIVE_FIELD_NUMBER: _ClassVar[int]
    USER_RISK_BAND_FIELD_NUMBER: _ClassVar[int]
    profile_as_of_time: _timestamp_pb2.Timestamp
    client_type: ClientType
    capacity: CivilCapacity
    birth_date: Date
    jurisdiction: str
    us_person: bool
    risk_level: int
    assessed_on: Date
    level_changed: bool
    level_confirmed: bool
    assessments_today_count: int
    assessments_12m_count: int
    change_reported: bool
    knowledge: IntegerMap
    loss_capacity: int
    max_loss_bps: int
    horizon_months: int
    objectives: StringSet
    needs: StringSet
    needs_on: Date
    liquid_minor: int
    income_minor: int
    premium_budget_minor: int
    currencies: StringSet
    held_issuer: IntegerMap
    held_high_risk_minor: int
    held_dup_groups: StringSet
    vulnerable: bool
    blocked: bool
    consent_sensitive: bool
    user_risk_band: int
    def __init__(self, profile_as_of_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., client_type: _Optional[_Union[ClientType, str]] = ..., capacity: _Optional[_Union[CivilCapacity, str]] = ..., birth_date: _Optional[_Union[Date, _Mapping]] = ..., jurisdiction: _Optional[str] = ..., us_person: _Optional[bool] = ..., risk_level: _Optional[int] = ..., assessed_on: _Optional[_Union[Date, _Mapping]] = ..., level_changed: _Optional[bool] = ..., level_confirmed: _Optional[bool] = ..., assessments_today_count: _Optional[int] = ..., assessments_12m_count: _Optional[int] = ..., change_reported: _Optional[bool] = ..., knowledge: _Optional[_Union[IntegerMap, _Mapping]] = ..., loss_capacity: _Optional[int] = ..., max_loss_bps: _Optional[int] = ..., horizon_months: _Optional[int] = ..., objectives: _Optional[_Union[StringSet, _Mapping]] = ..., needs: _Optional[_Union[StringSet, _Mapping]] = ..., needs_on: _Optional[_Union[Date, _Mapping]] = ..., liquid_minor: _Optional[int] = ..., income_minor: _Optional[int] = ..., premium_budget_minor: _Optional[int] = ..., currencies: _Optional[_Union[StringSet, _Mapping]] = ..., held_issuer: _Optional[_Union[IntegerMap, _Mapping]] = ..., held_high_risk_minor: _Optional[int] = ..., held_dup_groups: _Optional[_Union[StringSet, _Mapping]] = ..., vulnerable: _Optional[bool] = ..., blocked: _Optional[bool] = ..., consent_sensitive: _Optional[bool] = ..., user_risk_band: _Optional[int] = ...) -> None: ...

class Interaction(_message.Message):
    __slots__ = ("product_id", "event_type", "event_time")
    PRODUCT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    product_id: str
    event_type: EventType
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, product_id: _Optional[str] = ..., event_type: _Optional[_Union[EventType, str]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("user_id", "profile", "history", "personalisation_off")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    PERSONALISATION_OFF_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    profile: UserProfile
    history: _containers.RepeatedCompositeFieldContainer[Interaction]
    personalisation_off: bool
    def __init__(self, user_id: _Optional[str] = ..., profile: _Optional[_Union[UserProfile, _Mapping]] = ..., history: _Optional[_Iterable[_Union[Interaction, _Mapping]]] = ..., personalisation_off: _Optional[bool] = ...) -> None: ...
