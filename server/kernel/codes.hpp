// The reason codes of the rules with their stable numbers, as suitability/codes.py registers them.
//
// One list makes both the enumeration and the table of names that a test compares with the registry.

#pragma once

#include <cstdint>

#define PRUDENCE_CODES(X) \
    X(1, SYS_CLOCK_INVALID) \
    X(2, SYS_POLICY_NOT_EFFECTIVE) \
    X(3, SYS_PREDICATE_ERROR) \
    X(4, PRD_DATA_INVALID) \
    X(5, PRD_HALTED) \
    X(6, PRD_STATUS_UNKNOWN) \
    X(7, PRD_NOT_ON_SALE) \
    X(8, PRD_REGISTRATION_MISSING) \
    X(9, PRD_WINDOW_UNKNOWN) \
    X(10, PRD_OUTSIDE_WINDOW) \
    X(11, PRD_CHANNEL_UNKNOWN) \
    X(12, PRD_CHANNEL_NOT_PERMITTED) \
    X(13, PRD_CHANNEL_LICENCE_EXPIRED) \
    X(14, PRD_NOT_PUBLIC_OFFER) \
    X(15, PRD_CAPACITY_UNKNOWN) \
    X(16, PRD_CAPACITY_EXHAUSTED) \
    X(17, USR_NOT_FOUND) \
    X(18, USR_RESTRICTED) \
    X(19, USR_CONSENT_MISSING) \
    X(20, USR_PROFILE_AGE_UNKNOWN) \
    X(21, USR_PROFILE_STALE) \
    X(22, USR_CAPACITY_UNKNOWN) \
    X(23, USR_NO_CIVIL_CAPACITY) \
    X(24, MAT_LIMITED_CAPACITY_LEVEL) \
    X(25, USR_ASSESSMENT_MISSING) \
    X(26, USR_ASSESSMENT_FUTURE) \
    X(27, USR_ASSESSMENT_EXPIRED) \
    X(28, USR_CHANGE_REPORTED) \
    X(29, USR_LEVEL_UNCONFIRMED) \
    X(30, USR_ASSESSMENT_COUNT_UNKNOWN) \
    X(31, USR_ASSESSMENT_TOO_MANY) \
    X(32, PRD_LEVEL_UNKNOWN) \
    X(33, MAT_LEVEL_OVER_CAP) \
    X(34, MAT_LEVEL_OVER_TOLERANCE) \
    X(35, MAT_CLIENT_TYPE) \
    X(36, MAT_CLIENT_TYPE_NEUTRAL) \
    X(37, PRD_CLIENT_TYPE_UNKNOWN) \
    X(38, PRD_KNOWLEDGE_UNKNOWN) \
    X(39, USR_KNOWLEDGE_UNKNOWN) \
    X(40, MAT_KNOWLEDGE) \
    X(41, PRD_LOSS_CLASS_UNKNOWN) \
    X(42, USR_LOSS_CAPACITY_UNKNOWN) \
    X(43, MAT_LOSS_CAPACITY) \
    X(44, MAT_LOSS_LIMIT_UNKNOWN) \
    X(45, PRD_HORIZON_UNKNOWN) \
    X(46, USR_HORIZON_UNKNOWN) \
    X(47, MAT_HORIZON) \
    X(48, USR_AGE_UNKNOWN) \
    X(49, PRD_AGE_UNKNOWN) \
    X(50, MAT_AGE_BELOW_MIN) \
    X(51, MAT_AGE_ABOVE_MAX) \
    X(52, MAT_ELDER_PROTECTION) \
    X(53, MAT_VULNERABLE_PROTECTION) \
    X(54, USR_JURISDICTION_UNKNOWN) \
    X(55, PRD_JURISDICTION_UNKNOWN) \
    X(56, MAT_JURISDICTION) \
    X(57, MAT_US_PERSON) \
    X(58, PRD_CURRENCY_UNKNOWN) \
    X(59, USR_CURRENCY_UNKNOWN) \
    X(60, MAT_CURRENCY) \
    X(61, PRD_MIN_AMOUNT_UNKNOWN) \
    X(62, USR_FINANCES_UNKNOWN) \
    X(63, MAT_AFFORDABILITY) \
    X(64, USR_HOLDINGS_UNKNOWN) \
    X(65, MAT_ISSUER_CONCENTRATION) \
    X(66, MAT_HIGH_RISK_CONCENTRATION) \
    X(67, PRD_OBJECTIVES_UNKNOWN) \
    X(68, USR_OBJECTIVES_UNKNOWN) \
    X(69, MAT_NEGATIVE_TARGET_MARKET) \
    X(70, MAT_OBJECTIVES) \
    X(71, PRD_NEEDS_UNKNOWN) \
    X(72, USR_NEEDS_MISSING) \
    X(73, USR_NEEDS_EXPIRED) \
    X(74, MAT_NEEDS) \
    X(75, MAT_DUPLICATE_COVER) \
    X(76, PRD_PREMIUM_UNKNOWN) \
    X(77, MAT_PREMIUM_TO_INCOME) \
    X(78, MAT_PREMIUM_BUDGET) \
    X(79, MAT_AGE_PLUS_PAY_TERM) \
    X(80, PRD_RISK_SCORE_UNKNOWN) \
    X(81, MAT_RISK_SCORE_OVER_LIMIT) \
    X(82, MAT_CREDIT_NOT_OFFERED) \
    X(83, USR_RISK_BAND_UNKNOWN) \
    X(84, MAT_RISK_BAND_OVER_LIMIT)

namespace prudence {

// Number 0 names no code: the predicate passes. A code that is decided when a record is compiled and one that is
// decided here are the same type.
#define PRUDENCE_ENUMERATE(number, name) name = number,
enum class Code : std::uint8_t { NONE = 0, PRUDENCE_CODES(PRUDENCE_ENUMERATE) };
#undef PRUDENCE_ENUMERATE

struct NamedCode {
    Code code;
    const char* name;
};

#define PRUDENCE_NAME(number, name) NamedCode{Code::name, #name},
inline constexpr NamedCode named_codes[] = {PRUDENCE_CODES(PRUDENCE_NAME)};
#undef PRUDENCE_NAME

// Codes are numbered without a gap, so every number up to this one is a code.
inline constexpr std::uint8_t code_max = 84;
static_assert(sizeof(named_codes) / sizeof(named_codes[0]) == code_max);
static_assert(static_cast<std::uint8_t>(named_codes[code_max - 1].code) == code_max);

}  // namespace prudence
