"""Registers every reason code with its stable number; a number is never reused and 0 names no code.

Numbers follow the predicates' order, so sorting by number puts the reasons of a pair in that order. A set of
codes is stored as a 16-byte mask: code number n is bit n, in gate columns bit n % 64 of word n // 64.

Source: the rules' section 4. NFRA is China's Order 2025 No. 7, SL its Securities Law, PIPL its Personal
Information Protection Law, MiFID the Delegated Regulation 2017/565, IDD the Insurance Distribution Directive.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from suitability.records import USER_FIELDS, integer
from suitability.texts import USER_TEXTS


class CodeClass(StrEnum):
    """Says whose data or state a code is about: ours, the user's, the product's, or the match of both."""

    SYS = "SYS"
    USR = "USR"
    PRD = "PRD"
    MAT = "MAT"


class Remedy(StrEnum):
    """Says what the user can do about a code."""

    REASSESS = "REASSESS"
    COMPLETE_PROFILE = "COMPLETE_PROFILE"
    NONE = "NONE"


@dataclass(frozen=True)
class ReasonCode:
    """Describes one reason code.

    Attributes:
        number: 1 to 127, stable.
        name: name on the wire and in records.
        user_text_key: key into USER_TEXTS.
        remedy: what the user can do.
        basis: law or rule behind the code.
        disclosable: False where the user must not learn of it, neither by text nor by timing.
        waivable_user_initiated: whether a written confirmation exists at all, for a purchase the user starts.
    """

    number: int
    name: str
    user_text_key: str
    remedy: Remedy
    basis: str
    disclosable: bool = True
    waivable_user_initiated: bool = False

    @property
    def code_class(self) -> CodeClass:
        """Returns the class, which is the name's prefix."""
        return CodeClass(self.name[:3])

    @property
    def text(self) -> str:
        """Returns the text for the user in English."""
        return USER_TEXTS[self.user_text_key][0]

    @property
    def text_zh(self) -> str:
        """Returns the text for the user in Chinese."""
        return USER_TEXTS[self.user_text_key][1]


_REASSESS, _COMPLETE, _NONE = Remedy.REASSESS, Remedy.COMPLETE_PROFILE, Remedy.NONE
_UNKNOWN_IS_NO = "SL 88"

_ROWS: tuple[ReasonCode, ...] = (
    ReasonCode(1, "SYS_CLOCK_INVALID", "system_unavailable", _NONE, "internal control"),
    ReasonCode(2, "SYS_POLICY_NOT_EFFECTIVE", "system_unavailable", _NONE, "internal control"),
    ReasonCode(3, "SYS_PREDICATE_ERROR", "system_unavailable", _NONE, "internal control"),
    ReasonCode(4, "PRD_DATA_INVALID", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(5, "PRD_HALTED", "product_unavailable", _NONE, "internal control"),
    ReasonCode(6, "PRD_STATUS_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(7, "PRD_NOT_ON_SALE", "product_off_sale", _NONE, "NFRA"),
    ReasonCode(8, "PRD_REGISTRATION_MISSING", "product_incomplete", _NONE, "NFRA"),
    ReasonCode(9, "PRD_WINDOW_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(10, "PRD_OUTSIDE_WINDOW", "product_off_sale", _NONE, "NFRA"),
    ReasonCode(11, "PRD_CHANNEL_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(12, "PRD_CHANNEL_NOT_PERMITTED", "product_channel", _NONE, "NFRA"),
    ReasonCode(13, "PRD_CHANNEL_LICENCE_EXPIRED", "product_channel", _NONE, "NFRA"),
    ReasonCode(14, "PRD_NOT_PUBLIC_OFFER", "product_private", _NONE, "NFRA"),
    ReasonCode(15, "PRD_CAPACITY_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(16, "PRD_CAPACITY_EXHAUSTED", "product_sold_out", _NONE, "internal control"),
    ReasonCode(17, "USR_NOT_FOUND", "user_unknown", _COMPLETE, _UNKNOWN_IS_NO),
    # A hold must not be tipped off, so it has the same words as any product that is not available.
    ReasonCode(18, "USR_RESTRICTED", "product_unavailable", _NONE, "internal control", disclosable=False),
    ReasonCode(19, "USR_CONSENT_MISSING", "user_consent", _COMPLETE, "PIPL"),
    ReasonCode(20, "USR_PROFILE_AGE_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(21, "USR_PROFILE_STALE", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(22, "USR_CAPACITY_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(23, "USR_NO_CIVIL_CAPACITY", "user_capacity", _NONE, "NFRA"),
    ReasonCode(24, "MAT_LIMITED_CAPACITY_LEVEL", "user_capacity", _NONE, "NFRA"),
    ReasonCode(25, "USR_ASSESSMENT_MISSING", "assessment_missing", _REASSESS, "NFRA"),
    ReasonCode(26, "USR_ASSESSMENT_FUTURE", "assessment_missing", _REASSESS, _UNKNOWN_IS_NO),
    ReasonCode(27, "USR_ASSESSMENT_EXPIRED", "assessment_expired", _REASSESS, "NFRA"),
    ReasonCode(28, "USR_CHANGE_REPORTED", "assessment_change", _REASSESS, "NFRA"),
    ReasonCode(29, "USR_LEVEL_UNCONFIRMED", "assessment_unconfirmed", _COMPLETE, "NFRA"),
    ReasonCode(30, "USR_ASSESSMENT_COUNT_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(31, "USR_ASSESSMENT_TOO_MANY", "assessment_too_many", _NONE, "NFRA"),
    ReasonCode(32, "PRD_LEVEL_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(33, "MAT_LEVEL_OVER_CAP", "not_offered", _NONE, "internal control"),
    ReasonCode(
        34, "MAT_LEVEL_OVER_TOLERANCE", "not_matching_risk", _NONE, "NFRA 12-13", waivable_user_initiated=True
    ),
    ReasonCode(35, "MAT_CLIENT_TYPE", "not_target_market", _NONE, "MiFID Art. 54"),
    ReasonCode(36, "MAT_CLIENT_TYPE_NEUTRAL", "not_target_market", _NONE, "MiFID Art. 54"),
    ReasonCode(37, "PRD_CLIENT_TYPE_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(38, "PRD_KNOWLEDGE_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(39, "USR_KNOWLEDGE_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(40, "MAT_KNOWLEDGE", "not_matching_knowledge", _NONE, "MiFID Art. 54"),
    ReasonCode(41, "PRD_LOSS_CLASS_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(42, "USR_LOSS_CAPACITY_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(43, "MAT_LOSS_CAPACITY", "not_matching_losses", _NONE, "MiFID Art. 54"),
    ReasonCode(44, "MAT_LOSS_LIMIT_UNKNOWN", "losses_incomplete", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(45, "PRD_HORIZON_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(46, "USR_HORIZON_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(47, "MAT_HORIZON", "not_matching_horizon", _NONE, "MiFID Art. 54"),
    ReasonCode(48, "USR_AGE_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(49, "PRD_AGE_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(50, "MAT_AGE_BELOW_MIN", "not_matching_age", _NONE, "NFRA"),
    ReasonCode(51, "MAT_AGE_ABOVE_MAX", "not_matching_age", _NONE, "NFRA"),
    ReasonCode(52, "MAT_ELDER_PROTECTION", "not_matching_protection", _NONE, "NFRA"),
    ReasonCode(53, "MAT_VULNERABLE_PROTECTION", "not_matching_protection", _NONE, "NFRA"),
    ReasonCode(54, "USR_JURISDICTION_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(55, "PRD_JURISDICTION_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(56, "MAT_JURISDICTION", "not_matching_place", _NONE, "internal control"),
    ReasonCode(57, "MAT_US_PERSON", "not_matching_place", _NONE, "internal control"),
    ReasonCode(58, "PRD_CURRENCY_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(59, "USR_CURRENCY_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(60, "MAT_CURRENCY", "not_matching_currency", _NONE, "internal control"),
    ReasonCode(61, "PRD_MIN_AMOUNT_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(62, "USR_FINANCES_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(63, "MAT_AFFORDABILITY", "not_matching_finances", _NONE, "MiFID Art. 54"),
    ReasonCode(64, "USR_HOLDINGS_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(65, "MAT_ISSUER_CONCENTRATION", "not_matching_finances", _NONE, "NFRA"),
    ReasonCode(66, "MAT_HIGH_RISK_CONCENTRATION", "not_matching_finances", _NONE, "NFRA"),
    ReasonCode(67, "PRD_OBJECTIVES_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(68, "USR_OBJECTIVES_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(69, "MAT_NEGATIVE_TARGET_MARKET", "not_matching_objectives", _NONE, "MiFID Art. 54"),
    ReasonCode(70, "MAT_OBJECTIVES", "not_matching_objectives", _NONE, "MiFID Art. 54"),
    ReasonCode(71, "PRD_NEEDS_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(72, "USR_NEEDS_MISSING", "needs_missing", _COMPLETE, "IDD"),
    ReasonCode(73, "USR_NEEDS_EXPIRED", "needs_missing", _COMPLETE, "IDD"),
    ReasonCode(74, "MAT_NEEDS", "not_matching_needs", _NONE, "IDD"),
    ReasonCode(75, "MAT_DUPLICATE_COVER", "needs_duplicate", _NONE, "IDD"),
    ReasonCode(76, "PRD_PREMIUM_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(77, "MAT_PREMIUM_TO_INCOME", "not_matching_finances", _NONE, "NFRA"),
    ReasonCode(78, "MAT_PREMIUM_BUDGET", "not_matching_finances", _NONE, "NFRA"),
    ReasonCode(79, "MAT_AGE_PLUS_PAY_TERM", "not_matching_age", _NONE, "NFRA"),
    ReasonCode(80, "PRD_RISK_SCORE_UNKNOWN", "product_incomplete", _NONE, _UNKNOWN_IS_NO),
    ReasonCode(81, "MAT_RISK_SCORE_OVER_LIMIT", "not_matching_risk", _NONE, "NFRA 12-13"),
    ReasonCode(82, "MAT_CREDIT_NOT_OFFERED", "not_offered", _NONE, "internal control"),
    ReasonCode(83, "USR_RISK_BAND_UNKNOWN", "user_profile", _COMPLETE, _UNKNOWN_IS_NO),
    ReasonCode(84, "MAT_RISK_BAND_OVER_LIMIT", "not_matching_credit", _NONE, "internal control"),
)

CODES: Mapping[str, ReasonCode] = MappingProxyType({code.name: code for code in _ROWS})
CODES_BY_NUMBER: Mapping[int, ReasonCode] = MappingProxyType({code.number: code for code in _ROWS})


def in_order(names: Iterable[str]) -> tuple[ReasonCode, ...]:
    """Returns the codes of a set, sorted by number, which is the predicates' order."""
    return tuple(sorted((CODES[name] for name in names), key=lambda code: code.number))


def code_mask(names: Iterable[str]) -> int:
    """Returns a set of codes as an integer below 2 ** 128: code number n is bit n."""
    mask = 0
    for name in names:
        mask |= 1 << CODES[name].number
    return mask


def codes_of_mask(mask: int) -> frozenset[str]:
    """Returns the names of the codes in a mask.

    Raises:
        KeyError: a bit names no code.
    """
    return frozenset(CODES_BY_NUMBER[bit].name for bit in range(mask.bit_length()) if mask >> bit & 1)


def waivable(name: str, user: Mapping[str, object] | None) -> bool:
    """Tells whether a written confirmation may exist for a code when the user starts the purchase.

    Only ever true for MAT_LEVEL_OVER_TOLERANCE, and never at risk level 0 or where the level is missing. A
    recommendation has no waiver: the caller asks this for user-initiated checks only.
    """
    level = integer(user, USER_FIELDS["risk_level"])
    return CODES[name].waivable_user_initiated and level is not None and level >= 1
