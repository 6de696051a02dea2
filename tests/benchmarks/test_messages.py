"""Requests built from records are read back by the server's own reader as the same records."""

from datetime import UTC, date, datetime

from benchmarks.messages import make_profile, make_recommend, make_user
from index.features import Event
from server.convert import RequestLimits, read_recommend

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
LIMITS = RequestLimits(k_max=100, allow_inline_profile=True)
RECORD = {
    "profile_as_of": datetime(2026, 11, 22, tzinfo=UTC),
    "client_type": "RETAIL",
    "capacity": "FULL",
    "birth_date": date(1990, 2, 28),
    "jurisdiction": "CN",
    "us_person": False,
    "risk_level": 0,
    "assessed_on": date(2026, 1, 5),
    "level_changed": False,
    "level_confirmed": True,
    "assessments_today": 0,
    "assessments_12m": 2,
    "change_reported": False,
    "knowledge": {"FUND": 2},
    "loss_capacity": 1,
    "max_loss_bps": 500,
    "horizon_months": 36,
    "objectives": frozenset({"growth", "income"}),
    "needs": frozenset(),
    "needs_on": date(2026, 1, 5),
    "liquid": 10**15,
    "income": 7,
    "premium_budget": 0,
    "currencies": frozenset({"CNY"}),
    "held_issuer": {},
    "held_high_risk": 0,
    "held_dup_groups": frozenset({"life"}),
    "vulnerable": False,
    "blocked": False,
    "consent_sensitive": True,
    "user_risk_band": 99,
}


def test_a_whole_profile_survives_the_wire() -> None:
    request = make_recommend(make_user("u", RECORD), domain="both", k=3)
    assert read_recommend(request, LIMITS, NOW).user.profile == RECORD


def test_an_absent_field_stays_absent() -> None:
    assert not make_profile({"risk_level": None}).HasField("risk_level")


def test_a_history_survives_the_wire() -> None:
    history = [Event("b", "click", 2000.5), Event("a", "purchase", 1000.0)]
    request = make_recommend(make_user("u", {}, history), domain="financial", k=3, risk_score_limit=0)
    query = read_recommend(request, LIMITS, NOW)
    assert list(query.user.history) == sorted(history, key=lambda event: event.event_time)
    assert query.risk_score_limit == 0


def test_a_stored_user_is_sent_by_id_alone() -> None:
    assert not make_user("u").HasField("profile")
