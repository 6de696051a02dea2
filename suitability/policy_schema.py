"""Describes the shape of a policy: every key, its type and its range, as one table.

The overlay, signatures and keys describe theirs with the same parts and `check_shape`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from suitability.errors import PolicyKeyError, PolicyValueError
from suitability.records import RISK_BAND_MAX, RISK_SCORE_MAX, SCALE_LEVEL_MAX, true_integer

SCHEMA_NAME = "suitability-policy/1"
RISK_LEVELS = ("0", "1", "2", "3", "4", "5")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True)
class Whole:
    """Wants an integer with low <= value <= high, or null where that is allowed."""

    low: int
    high: int
    nullable: bool = False

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        if value is None and self.nullable:
            return
        if true_integer(value, self.low, self.high) is None:
            raise PolicyValueError(
                f"expected an integer from {self.low} to {self.high}, got {value!r:.80}", path
            )


@dataclass(frozen=True)
class Text:
    """Wants a text that is not blank, or one of the choices where there are any."""

    choices: tuple[str, ...] = ()

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        if not isinstance(value, str) or not value.strip():
            raise PolicyValueError(f"expected a text, got {value!r:.80}", path)
        if self.choices and value not in self.choices:
            raise PolicyValueError(f"expected one of {', '.join(self.choices)}, got {value!r:.80}", path)


@dataclass(frozen=True)
class Flag:
    """Wants true or false."""

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        if not isinstance(value, bool):
            raise PolicyValueError(f"expected true or false, got {value!r:.80}", path)


@dataclass(frozen=True)
class Instant:
    """Wants an RFC 3339 instant with zone, or null where that is allowed."""

    nullable: bool = False

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        if value is None and self.nullable:
            return
        try:
            parse_instant(value)
        except (ValueError, OverflowError) as error:
            raise PolicyValueError(
                f"expected an RFC 3339 instant with zone, got {value!r:.80}", path
            ) from error


@dataclass(frozen=True)
class Zone:
    """Wants the name of a known time zone."""

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        try:
            ZoneInfo(value if isinstance(value, str) else "")
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise PolicyValueError(f"expected a time zone known here, got {value!r:.80}", path) from error


@dataclass(frozen=True)
class Texts:
    """Wants a list of texts."""

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        if not isinstance(value, (list, tuple)) or not all(isinstance(m, str) and m.strip() for m in value):
            raise PolicyValueError(f"expected a list of texts, got {value!r:.80}", path)


@dataclass(frozen=True)
class Wholes:
    """Wants a list of so many integers from 0 to the largest risk score."""

    count: int

    def check(self, value: object, path: str) -> None:
        """Raises PolicyValueError where the value is anything else."""
        if not isinstance(value, (list, tuple)) or len(value) != self.count:
            raise PolicyValueError(f"expected a list of {self.count} integers, got {value!r:.80}", path)
        for position, member in enumerate(value):
            Whole(0, RISK_SCORE_MAX).check(member, f"{path}[{position}]")


@dataclass(frozen=True)
class ListOf:
    """Wants a list of at most so many members, each of one shape."""

    shape: Mapping[str, Any]
    count_max: int

    def check(self, value: object, path: str) -> None:
        """Raises PolicyKeyError or PolicyValueError where the value is anything else."""
        if not isinstance(value, (list, tuple)) or len(value) > self.count_max:
            raise PolicyValueError(f"expected a list of at most {self.count_max}, got {value!r:.80}", path)
        for position, member in enumerate(value):
            check_shape(member, self.shape, f"{path}[{position}]")


@dataclass(frozen=True)
class Optional:
    """Wants a shape where the key is there; the key may be absent, but not null."""

    shape: Mapping[str, Any]

    def check(self, value: object, path: str) -> None:
        """Raises PolicyKeyError or PolicyValueError where the value has another shape."""
        check_shape(value, self.shape, path)


_LEVEL = Whole(0, max(SCALE_LEVEL_MAX.values()))
_MONTHS = Whole(0, 1200)
_COUNT = Whole(0, 1000)
_AGE = Whole(0, 150)
_RATIO_BPS = Whole(0, 10_000)
_MULTIPLE_BPS = Whole(0, 1_000_000)

SCHEMA: Mapping[str, Any] = MappingProxyType(
    {
        "schema": Text((SCHEMA_NAME,)),
        "policy_id": Text(),
        "version": Text(),
        "effective_from": Instant(),
        "effective_to": Instant(nullable=True),
        "jurisdiction_tz": Zone(),
        "default_decision": Text(("DENY", "ALLOW")),
        "on_unknown": Text(("DENY", "ALLOW")),
        "legal_floor": {
            "assessment_validity_months_max": _MONTHS,
            "elder_age_max": _AGE,
            "assessments_per_day_max": _COUNT,
            "assessments_per_12m_max": _COUNT,
        },
        "risk_matrix": {
            scale: dict.fromkeys(RISK_LEVELS, Whole(0, highest)) for scale, highest in SCALE_LEVEL_MAX.items()
        },
        "risk_score": {
            "limit_by_level": dict.fromkeys(RISK_LEVELS, Whole(0, RISK_SCORE_MAX)),
            "derive_from_level": {scale: Wholes(highest) for scale, highest in SCALE_LEVEL_MAX.items()},
        },
        "assessment": {
            "validity_months": _MONTHS,
            "needs_validity_months": _MONTHS,
            "max_per_day": _COUNT,
            "max_per_12m": _COUNT,
            "require_reconfirm_on_change": Flag(),
            "profile_max_staleness_s": Whole(0, 366 * 86_400),
        },
        "elder": {"age": _AGE, "max_level": _LEVEL, "max_insurance_level": _LEVEL},
        "vulnerable": {"max_level": _LEVEL, "max_insurance_level": _LEVEL},
        "limited_capacity": {"max_level": _LEVEL},
        "insurance": {
            "annual_premium_max_bps_of_income": _MULTIPLE_BPS,
            "single_premium_max_bps_of_income": _MULTIPLE_BPS,
            "age_plus_pay_years_max_exclusive": _AGE,
            "budget_max_bps": _MULTIPLE_BPS,
            "rated_from_level": _LEVEL,
        },
        "affordability": {"min_investment_max_bps_of_liquid": _RATIO_BPS},
        "concentration": {
            "issuer_max_bps": _RATIO_BPS,
            "high_risk_level": _LEVEL,
            "high_risk_max_bps": _RATIO_BPS,
        },
        "target_market": {"client_type_neutral": Text(("DENY", "ALLOW"))},
        "horizon": {"buffer_months": _MONTHS},
        "halted_products": Texts(),
        "halted_issuers": Texts(),
        "level_cap": Whole(0, max(SCALE_LEVEL_MAX.values()), nullable=True),
        "response_max_ttl_s": Whole(1, 86_400),
        # Without it no credit-like product is shown to anybody.
        "credit": Optional({"max_band": Whole(0, RISK_BAND_MAX)}),
    }
)


def check_schema(policy: object) -> None:
    """Checks the shape of a policy. Raises: PolicyKeyError, PolicyValueError, each with the key path."""
    check_shape(policy, SCHEMA)


def check_shape(value: object, shape: Any, path: str = "") -> None:
    """Checks a value against a shape: a part such as Whole, or a mapping from every key to its shape.

    Raises: PolicyKeyError, PolicyValueError, each with the key path.
    """
    if not isinstance(shape, Mapping):
        shape.check(value, path)
        return
    if not isinstance(value, Mapping):
        raise PolicyValueError(f"expected an object, got {type(value).__name__}", path)
    for name in value:
        if name not in shape:
            raise PolicyKeyError(
                f"expected one of {', '.join(shape)}, got an unknown key", _join(path, f"{name!s:.80}")
            )
    for name, member in shape.items():
        if name not in value:
            if isinstance(member, Optional):
                continue
            raise PolicyKeyError("expected a value, got no such key", _join(path, name))
        check_shape(value[name], member, _join(path, name))


def parse_instant(value: object) -> datetime:
    """Parses an RFC 3339 instant into UTC. Raises: ValueError, OverflowError."""
    if not isinstance(value, str):
        raise ValueError(f"expected an RFC 3339 instant with zone, got {value!r:.80}")
    return _parse_text(value)


# Every verdict asks for the same two instants of its policy.
@lru_cache(maxsize=64)
def _parse_text(value: str) -> datetime:
    if not _RFC3339.fullmatch(value):
        raise ValueError(f"expected an RFC 3339 instant with zone, got {value!r:.80}")
    return datetime.fromisoformat(value).astimezone(UTC)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
