"""Requests off the wire, field by field."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from prudence.v1 import profile_pb2

from index.features import EVENT_TYPES, Event
from server.convert import RequestLimits, read_profile, read_recommend
from server.diversity import DIVERSE_K_MAX, WHOLE
from server.errors import InvalidArgumentError, ProfileRefusedError
from server.messages import Domain
from suitability.records import USER_FIELDS
from tests.server.cases import NOW, eligible_user
from tests.server.wire import recommend, to_profile, to_user

LIMITS = RequestLimits(k_max=50, allow_inline_profile=True)


def full_profile() -> dict[str, Any]:
    return eligible_user() | {
        "knowledge": {"FUND": 2},
        "held_issuer": {"issuer 1": 5},
        "loss_capacity": 1,
        "max_loss_bps": 300,
        "horizon_months": 12,
        "income": 1,
        "premium_budget": 2,
        "currencies": frozenset({"CNY"}),
        "held_high_risk": 0,
        "held_dup_groups": frozenset(),
    }


def test_every_field_of_a_profile_arrives_under_suitabilitys_name() -> None:
    profile = full_profile()
    assert set(profile) == set(USER_FIELDS)
    del profile["pseudonym"]
    assert read_profile(to_profile(profile)) == profile


def test_an_empty_profile_has_no_fields() -> None:
    assert read_profile(profile_pb2.UserProfile()) == {}


def test_zero_and_false_are_values_and_absence_is_none() -> None:
    message = profile_pb2.UserProfile(risk_level=0, blocked=False, assessments_today_count=0)
    assert read_profile(message) == {"risk_level": 0, "blocked": False, "assessments_today": 0}


@pytest.mark.parametrize(
    "message",
    [
        profile_pb2.UserProfile(birth_date=profile_pb2.Date(year=2026, month=13, day=1)),
        profile_pb2.UserProfile(birth_date=profile_pb2.Date()),
        profile_pb2.UserProfile(capacity=17),  # type: ignore[arg-type]
        profile_pb2.UserProfile(client_type=-2),  # type: ignore[arg-type]
        profile_pb2.UserProfile(objectives=profile_pb2.StringSet(values=["x"] * 1001)),
        profile_pb2.UserProfile(knowledge=profile_pb2.IntegerMap(values={str(n): 1 for n in range(1001)})),
    ],
    ids=["month 13", "no date", "unknown capacity", "unknown client type", "large set", "large map"],
)
def test_a_value_that_cannot_be_is_missing(message: profile_pb2.UserProfile) -> None:
    assert read_profile(message) == {}


def test_events_keep_their_kind_and_time_and_the_future_is_now() -> None:
    past = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    events = [(f"p{number}", number, past) for number in range(1, len(EVENT_TYPES) + 1)]
    events += [("late", 1, NOW + timedelta(days=1)), ("untimed", 1, None)]
    query = read_recommend(recommend(to_user("a", {}, events), 5), LIMITS, NOW)
    expected = [
        Event(f"p{number}", kind, past.timestamp()) for number, kind in enumerate(EVENT_TYPES, start=1)
    ]
    expected += [Event("late", "view", NOW.timestamp()), Event("untimed", "view", NOW.timestamp())]
    assert list(query.user.history) == expected


def test_the_epoch_itself_is_a_time() -> None:
    query = read_recommend(
        recommend(to_user("a", {}, [("p", 1, datetime(1970, 1, 1, tzinfo=UTC))])), LIMITS, NOW
    )
    assert query.user.history[0].event_time == 0.0


def test_defaults_are_those_of_the_contract() -> None:
    request = recommend(to_user("a"), 7)
    request.ClearField("context")
    query = read_recommend(request, LIMITS, NOW)
    assert (query.domain, query.k, query.risk_score_limit, query.allow_seen) == (Domain.BOTH, 7, None, False)
    assert query.user.profile is None
    assert len(query.request_id) == 32


def test_the_trade_off_of_the_request_comes_before_that_of_the_settings() -> None:
    limits = replace(LIMITS, diversity_trade_off=0.8)
    stated = (None, 0.0, 0.33333, 1.0)
    requests = [recommend(to_user("a"), diversity_trade_off=value) for value in stated]
    assert [read_recommend(request, limits, NOW).trade_off for request in requests] == [8000, 0, 3333, WHOLE]
    assert read_recommend(requests[0], LIMITS, NOW).trade_off == WHOLE


def test_a_long_list_is_refused_variety_and_nothing_else() -> None:
    limits = replace(LIMITS, k_max=10_000, diversity_trade_off=0.8)
    for stated in (None, 0.0, 0.9999):
        longest = recommend(to_user("a"), DIVERSE_K_MAX, diversity_trade_off=stated)
        assert read_recommend(longest, limits, NOW).trade_off != WHOLE
        with pytest.raises(InvalidArgumentError, match="k: expected at most 1000 with a diversity_trade_off"):
            read_recommend(
                recommend(to_user("a"), DIVERSE_K_MAX + 1, diversity_trade_off=stated), limits, NOW
            )
    assert read_recommend(recommend(to_user("a"), 10_000, diversity_trade_off=1.0), limits, NOW).k == 10_000


def test_a_profile_is_refused_where_the_settings_say_so() -> None:
    limits = RequestLimits(k_max=50, allow_inline_profile=False)
    with pytest.raises(ProfileRefusedError):
        read_recommend(recommend(to_user("a", {"birth_date": date(1990, 1, 1)})), limits, NOW)
    assert read_recommend(recommend(to_user("a")), limits, NOW).user.profile is None
