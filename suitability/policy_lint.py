"""Finds what makes a well-formed policy unfit: a policy with findings must never become active."""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from suitability.errors import PolicyError
from suitability.policy import Policy, policy_values
from suitability.policy_schema import RISK_LEVELS, check_schema, parse_instant
from suitability.records import SCALE_LEVEL_MAX

# What the law allows at most: NFRA Order 2025 No. 7. A policy may be stricter, and so may its own floor.
_LAW: Mapping[str, int] = MappingProxyType(
    {
        "assessment_validity_months_max": 12,
        "elder_age_max": 65,
        "assessments_per_day_max": 2,
        "assessments_per_12m_max": 8,
    }
)
# Versions are compared number by number; nine digits are more than a date needs.
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*")


def lint(policy: Policy | Mapping[str, Any]) -> list[str]:
    """Lists what is wrong with a policy, each with its key path; empty means fit.

    Matrices rise with the risk level; level 0 sees only level 1, by level and by score; CN5 is never above
    max(tolerance, 1); nothing is looser than legal_floor, nor that than the law; fail-closed switches are
    fixed; the policy ends after it starts; its version can be compared with another. A policy of the wrong
    shape gives that one finding.
    """
    try:
        check_schema(policy_values(policy))
    except PolicyError as error:
        return [str(error)]
    rules = policy_values(policy)
    findings = (_version, _matrices, _scores, _floors, _switches, _period)
    return [finding for find in findings for finding in find(rules)]


def _version(rules: Mapping[str, Any]) -> Iterator[str]:
    if not _VERSION.fullmatch(rules["version"]):
        yield (
            "version: expected numbers with dots between, for example 2026.11.0, "
            f"got {rules['version']!r:.80}"
        )


def _matrices(rules: Mapping[str, Any]) -> Iterator[str]:
    for scale in SCALE_LEVEL_MAX:
        row = [rules["risk_matrix"][scale][level] for level in RISK_LEVELS]
        yield from _rising(row, f"risk_matrix.{scale}")
        if row[0] > 1:
            yield f"risk_matrix.{scale}.0: level 0 may see level 1 only, got {row[0]}"
    for tolerance, level in enumerate(RISK_LEVELS):
        highest = rules["risk_matrix"]["CN5"][level]
        if highest > max(tolerance, 1):
            yield f"risk_matrix.CN5.{level}: may not be above {max(tolerance, 1)}, got {highest}"


def _scores(rules: Mapping[str, Any]) -> Iterator[str]:
    limits = rules["risk_score"]["limit_by_level"]
    yield from _rising([limits[level] for level in RISK_LEVELS], "risk_score.limit_by_level")
    for scale in SCALE_LEVEL_MAX:
        scores = rules["risk_score"]["derive_from_level"][scale]
        path = f"risk_score.derive_from_level.{scale}"
        yield from _rising(scores, path)
        if limits["0"] >= scores[1]:
            yield (
                f"risk_score.limit_by_level.0: level 0 may see level 1 only, so it must be below {path}[1] "
                f"{scores[1]}, got {limits['0']}"
            )


def _floors(rules: Mapping[str, Any]) -> Iterator[str]:
    floor = rules["legal_floor"]
    for limit, lawful in _LAW.items():
        if floor[limit] > lawful:
            yield f"legal_floor.{limit}: may not be above the law's {lawful}, got {floor[limit]}"
    pairs = (
        ("assessment", "validity_months", "assessment_validity_months_max"),
        ("assessment", "max_per_day", "assessments_per_day_max"),
        ("assessment", "max_per_12m", "assessments_per_12m_max"),
        ("elder", "age", "elder_age_max"),
    )
    for section, name, limit in pairs:
        value = rules[section][name]
        if value > floor[limit]:
            yield f"{section}.{name}: may not be above legal_floor.{limit} {floor[limit]}, got {value}"


def _switches(rules: Mapping[str, Any]) -> Iterator[str]:
    for name in ("default_decision", "on_unknown"):
        if rules[name] != "DENY":
            yield f"{name}: is fixed to DENY, got {rules[name]}"
    if not rules["assessment"]["require_reconfirm_on_change"]:
        yield "assessment.require_reconfirm_on_change: is fixed to true, got false"


def _period(rules: Mapping[str, Any]) -> Iterator[str]:
    start, end = rules["effective_from"], rules["effective_to"]
    if end is not None and parse_instant(end) <= parse_instant(start):
        yield f"effective_to: must be after effective_from {start}, got {end}"


def _rising(row: Sequence[int], path: str) -> Iterator[str]:
    for position in range(1, len(row)):
        if row[position] < row[position - 1]:
            yield f"{path}[{position}]: may not fall from {row[position - 1]} to {row[position]}"
