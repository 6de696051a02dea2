"""Changes to an eligible pair: for each field values just inside and outside a bound, the worst, junk."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

Changes = Mapping[str, tuple[Any, ...]]

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CHANNEL = "app"
ABSENT = object()
MOMENT = timedelta(microseconds=1)

_NO_INTEGER = (ABSENT, None, True, 3.0, float("nan"), "3", "3", -1, 10**30)
_NO_AMOUNT = (*_NO_INTEGER, 10**15 + 1)
_NO_FLAG = (ABSENT, None, 0, 1, "false")
_NO_TEXT = (ABSENT, None, " ", 7, b"Y")
_NO_SET = (ABSENT, None, "GROWTH", 5, ["GROWTH", ""], ["GROWTH", 7], {"GROWTH": 1})
_NO_MAP: tuple[Any, ...] = (ABSENT, None, [], "FUND", {"FUND": True}, {"FUND": 2.0}, {"FUND": -1}, {5: 1})
_NO_DAY = (ABSENT, None, datetime(2026, 5, 20, tzinfo=UTC), "2026-05-20", 20_260_520)
_NO_INSTANT = (ABSENT, None, datetime(2026, 5, 20), date(2026, 5, 20), "2026-05-20T00:00:00Z", 1.7e9)  # noqa: DTZ001

_EVERYWHERE = {f"issuer {number}": 10**15 for number in range(5)}
_LARGE_SUM = {f"other {number}": 10**15 for number in range(900)}

USER_CHANGES: Changes = MappingProxyType(
    {
        "pseudonym": (ABSENT, None, b"", "someone", b"other"),
        "profile_as_of": (
            *_NO_INSTANT,
            NOW,
            NOW + MOMENT,
            NOW - timedelta(days=1),
            NOW - timedelta(days=1) - MOMENT,
            NOW - timedelta(days=3),
            (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=8))),
            datetime.min.replace(tzinfo=timezone(timedelta(hours=8))),
        ),
        "client_type": (*_NO_TEXT, "RETAIL", "PROFESSIONAL", "professional"),
        "capacity": (*_NO_TEXT, "LIMITED", "NONE", "full"),
        "birth_date": (
            *_NO_DAY,
            date(1961, 11, 22),  # 65 today.
            date(1961, 11, 23),
            date(1956, 11, 22),  # 70 today.
            date(1955, 11, 23),
            date(1955, 11, 22),  # 71 today: over the products' 70.
            date(2008, 11, 22),  # 18 today.
            date(2008, 11, 23),
            date(1976, 11, 22),  # 50 today: 60 when ten years are paid.
            date(1976, 11, 23),
            date(1984, 2, 29),
            date(2026, 11, 22),
            date(2026, 11, 23),
            date.min,
        ),
        "jurisdiction": (*_NO_TEXT, "HK", "US", "cn", "CHN", "C", "CN"),
        "us_person": (*_NO_FLAG, True),
        "risk_level": (*_NO_INTEGER, 0, 1, 2, 3, 4, 6),
        "assessed_on": (
            *_NO_DAY,
            date(2025, 11, 22),
            date(2025, 11, 23),
            date(2026, 11, 22),
            date(2026, 11, 23),
            date.max,
        ),
        "level_changed": (*_NO_FLAG, True),
        "level_confirmed": (*_NO_FLAG, False),
        "change_reported": (*_NO_FLAG, True),
        "assessments_today": (*_NO_INTEGER, 2, 3),
        "assessments_12m": (*_NO_INTEGER, 8, 9),
        "knowledge": (
            *_NO_MAP,
            {},
            {"FUND": 1, "WEALTH": 0, "TRUST": 3},
            {"FUND": 4},
            {"INS_LINKED": 1},
            {"STRUCTURED": 1, "COURSE": 3},
        ),
        "loss_capacity": (*_NO_INTEGER, 0, 2, 3, 4),
        "max_loss_bps": (*_NO_INTEGER, 0, 999, 1000, 10_000, 10_001),
        "horizon_months": (*_NO_INTEGER, 0, 5, 6, 59, 1200, 1201),
        "objectives": (*_NO_SET, frozenset(), {"INCOME"}, {"GROWTH", "SPECULATION"}, ("GROWTH",)),
        "needs": (*_NO_SET, frozenset(), {"PENSION"}, ["HEALTH", "HEALTH"]),
        "needs_on": (
            *_NO_DAY,
            date(2025, 11, 22),
            date(2025, 11, 23),
            date(2025, 11, 24),
            date(2026, 11, 22),
            date(2026, 11, 23),
        ),
        "liquid": (*_NO_AMOUNT, 0, 499_999, 500_000, 10**15),
        "income": (*_NO_AMOUNT, 0, 62_499, 62_500, 999_999, 1_000_000, 10**15),
        "premium_budget": (*_NO_AMOUNT, 0, 199_999, 200_000, 249_999, 250_000, 10**15),
        "currencies": (*_NO_SET, frozenset(), {"USD"}, {"CNY", "usd"}, {"CNY"}, {"CNY", "EURO"}),
        "held_issuer": (
            *_NO_MAP,
            {},
            {"issuer 1": 4_142_857},
            {"issuer 1": 4_142_858},
            {"issuer 2": 4_142_857},
            {"issuer 2": 4_142_858},
            {"issuer 0": 10**15 + 1},
            _EVERYWHERE,
            _LARGE_SUM,
        ),
        "held_high_risk": (*_NO_AMOUNT, 0, 2_300_000, 2_300_001, 10**15),
        "held_dup_groups": (*_NO_SET, frozenset(), {"group a", "group b"}, ["group b"]),
        "vulnerable": (*_NO_FLAG, True),
        "blocked": (*_NO_FLAG, True),
        "consent_sensitive": (*_NO_FLAG, False),
        "user_risk_band": (*_NO_INTEGER, 0, 1, 2, 4, 99, 100),
    }
)
PRODUCT_CHANGES: Changes = MappingProxyType(
    {
        "id": (ABSENT, " "),
        "issuer": (*_NO_TEXT, "halted issuer", "issuer 3"),
        "family": (*_NO_TEXT, "OPTION", *("FUND", "COURSE", "TRUST", "INS_LINKED", "INS_PROTECTION")),
        "scale": (*_NO_TEXT, "SRI7", "EU3"),
        "status": (*_NO_TEXT, "WITHDRAWN", "on_sale"),
        "registration_code": _NO_TEXT,
        "sale_start": (*_NO_INSTANT, NOW, NOW + MOMENT),
        "sale_end": (
            *_NO_INSTANT,
            NOW,
            NOW + MOMENT,
            NOW + timedelta(seconds=30),
            NOW.astimezone(timezone(timedelta(hours=8))),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-8))),
        ),
        "channels": (*_NO_SET, [], ["branch"], "app", ["app", ""], frozenset({"app"})),
        "licence_until": (*_NO_INSTANT, NOW, NOW + MOMENT, NOW + timedelta(seconds=20)),
        "offering": (*_NO_TEXT, "PRIVATE", "public"),
        "level_issuer": (*_NO_INTEGER, 0, 2, 3, 4, 5, 6, 7, 8),
        "level_distributor": (*_NO_INTEGER, 0, 2, 3, 4, 5, 6, 7, 8),
        "retail": (*_NO_TEXT, "N", "NEUTRAL", "y"),
        "min_knowledge": (*_NO_INTEGER, 0, 2, 3, 4),
        "loss_class": (*_NO_INTEGER, 0, 2, 3, 4),
        "max_loss_bps": (*_NO_INTEGER, 0, 2000, 2001, 10_000, 10_001),
        "min_horizon_months": (*_NO_INTEGER, 0, 12, 60, 61, 1200, 1201),
        "min_age": (*_NO_INTEGER, 0, 46, 47, 150, 151),
        "max_age": (*_NO_INTEGER, 0, 45, 46, 150, 151),
        "jurisdictions": (*_NO_SET, [], ["HK"], ["CN"], ["CN", "hk"], ["CN", "CHN"], {"CN", "US"}),
        "us_persons_ok": (*_NO_FLAG, True),
        "currency": (*_NO_TEXT, "USD", "EUR", "cny", "CN", "CNY"),
        "min_amount": (*_NO_AMOUNT, 0, 2_000_000, 2_000_001, 10**15),
        "capacity_left": (*_NO_AMOUNT, 0, 99_999, 100_000, 3_000_000, 10**15),
        "objectives_y": (*_NO_SET, [], ["INCOME", "SPECULATION"], ["PRESERVATION"]),
        "objectives_n": (*_NO_SET, [], ["INCOME"], ["PRESERVATION"]),
        "needs_served": (*_NO_SET, [], ["PENSION", "TRAVEL"], ["TRAVEL"]),
        "dup_group": ("group a", "group b", "", " ", 7, None),
        "pay_years": (*_NO_INTEGER, 0, 1, 13, 14, 100, 101),
        "annual_premium": (*_NO_AMOUNT, 0, 3_000_000, 3_000_001, 6_000_000, 6_000_001, 10**15),
        "single_premium": (*_NO_AMOUNT, 0, 3_000_000, 3_000_001, 10**15),
        "risk_score": (
            *(None, True, 5.5, float("nan"), "9", "9", -1, 10_001, 10**30),
            *(0, 1999, 2000, 2001, 4000, 5999, 6001, 10_000),
        ),
        "computed_risk_class": (*_NO_INTEGER, 0, 1, 2, 4, 7, 8, None),
        "credit_like": (*_NO_FLAG, 1, 0.0, True),
    }
)
