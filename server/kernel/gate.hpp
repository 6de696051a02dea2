// The suitability gate: one function per predicate of the rules, in their order, over records. Pure C++17.
//
// The definition is suitability/predicates; tests compare the two code by code. Every predicate is evaluated,
// and inside one the first failing test wins, which is what a chain of conditions says. Numbers are only
// compared, so nothing can overflow.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "codes.hpp"
#include "records.hpp"

namespace prudence {

inline constexpr std::size_t predicate_count = 27;

// Code number n is bit n % 64 of word n / 64. All zero: eligible.
struct Mask {
    std::uint64_t low;
    std::uint64_t high;
};

// One user against one product.
struct Pair {
    const User& user;
    const Product& product;
    const std::uint64_t* user_sets;
    const std::uint64_t* product_sets;
    const std::array<std::size_t, set_kind_count + 1>& set_starts;
    const Holdings& held;
    bool halted;
    std::int64_t level_cap;
};

inline bool share_member(const Pair& pair, const SetKind kind) {
    const auto position = static_cast<std::size_t>(kind);
    std::uint64_t common = 0;
    for (std::size_t word = pair.set_starts[position]; word < pair.set_starts[position + 1]; ++word) {
        common |= pair.user_sets[word] & pair.product_sets[word];
    }
    return common != 0;
}

// Returns how much more may go to the product's issuer.
inline std::int64_t find_issuer_room(const Pair& pair) {
    const auto stands_before = [](const HeldIssuer& held, const std::int64_t issuer) {
        return held.issuer < issuer;
    };
    const HeldIssuer* const start = pair.held.issuers + pair.user.held_issuer_start;
    const HeldIssuer* const stop = pair.held.issuers + pair.user.held_issuer_stop;
    const HeldIssuer* const found = std::lower_bound(start, stop, pair.product.issuer, stands_before);
    return found != stop && found->issuer == pair.product.issuer ? found->room : pair.user.issuer_room;
}

// Tells whether the user holds cover of the product's group already. Of a malformed group, everybody does.
inline bool holds_group(const Pair& pair) {
    const std::int64_t group = pair.product.dup_group;
    return group == malformed || std::binary_search(pair.held.groups + pair.user.held_group_start,
                                                    pair.held.groups + pair.user.held_group_stop, group);
}

// Predicate 0.
inline Code check_system(const Pair& pair) { return pair.user.system_code; }

// Predicate 1: a halt comes after data that are invalid and before everything else.
inline Code check_status(const Pair& pair) {
    const Code known = pair.product.status_code;
    return pair.halted && known != Code::PRD_DATA_INVALID ? Code::PRD_HALTED : known;
}

// Predicate 2.
inline Code check_window(const Pair& pair) {
    const std::int64_t now_us = pair.user.now_us;
    const bool open = pair.product.sale_start_us <= now_us && now_us < pair.product.sale_end_us;
    return pair.product.window_code != Code::NONE ? pair.product.window_code
         : pair.user.clock_code != Code::NONE     ? pair.user.clock_code
         : open                                   ? Code::NONE
         : Code::PRD_OUTSIDE_WINDOW;
}

// Predicate 3: learning content has no licence.
inline Code check_channel(const Pair& pair) {
    return pair.product.channel_code != Code::NONE               ? pair.product.channel_code
         : !share_member(pair, SetKind::CHANNELS)                ? Code::PRD_CHANNEL_NOT_PERMITTED
         : pair.product.financial == 0                           ? Code::NONE
         : pair.user.clock_code != Code::NONE                    ? pair.user.clock_code
         : pair.user.now_us >= pair.product.licence_until_us     ? Code::PRD_CHANNEL_LICENCE_EXPIRED
         : Code::NONE;
}

// Predicate 4.
inline Code check_offering(const Pair& pair) { return pair.product.offering_code; }

// Predicate 5.
inline Code check_quota(const Pair& pair) { return pair.product.quota_code; }

// Predicate 6.
inline Code check_user(const Pair& pair) { return pair.user.user_code; }

// Predicate 7.
inline Code check_staleness(const Pair& pair) { return pair.user.staleness_code; }

// Predicate 8.
inline Code check_capacity(const Pair& pair) {
    const bool over = (pair.user.limited & pair.product.over_limited_cap) != 0;
    return pair.user.capacity_code != Code::NONE ? pair.user.capacity_code
         : over                                  ? Code::MAT_LIMITED_CAPACITY_LEVEL
         : Code::NONE;
}

// Predicate 9.
inline Code check_assessment(const Pair& pair) {
    return pair.product.rated != 0 ? pair.user.assessment_code : Code::NONE;
}

// Predicate 10.
inline Code check_risk_match(const Pair& pair) {
    const bool over = (pair.product.over_tolerance >> pair.user.risk_level & 1) != 0;
    return pair.product.level < 0                 ? Code::PRD_LEVEL_UNKNOWN
         : pair.product.level > pair.level_cap    ? Code::MAT_LEVEL_OVER_CAP
         : pair.product.rated == 0                ? Code::NONE
         : pair.user.tolerance_code != Code::NONE ? pair.user.tolerance_code
         : over                                   ? Code::MAT_LEVEL_OVER_TOLERANCE
         : Code::NONE;
}

// Predicate 11.
inline Code check_client_type(const Pair& pair) {
    return pair.user.professional != 0 ? Code::NONE : pair.product.client_type_code;
}

// Predicate 12.
inline Code check_knowledge(const Pair& pair) {
    const std::int8_t needed = pair.product.min_knowledge;
    const std::int8_t known = pair.user.knowledge[pair.product.knowledge_slot];
    return needed < 0     ? Code::PRD_KNOWLEDGE_UNKNOWN
         : needed == 0    ? Code::NONE
         : known < 0      ? Code::USR_KNOWLEDGE_UNKNOWN
         : known < needed ? Code::MAT_KNOWLEDGE
         : Code::NONE;
}

// Predicate 13.
inline Code check_losses(const Pair& pair) {
    const std::int8_t loss = pair.product.loss_class;
    const std::int8_t capacity = pair.user.loss_capacity;
    const bool unlimited = loss != 1 || capacity != 1;
    return loss < 0                                                 ? Code::PRD_LOSS_CLASS_UNKNOWN
         : loss == 0                                                ? Code::NONE
         : capacity < 0                                             ? Code::USR_LOSS_CAPACITY_UNKNOWN
         : loss > capacity                                          ? Code::MAT_LOSS_CAPACITY
         : unlimited                                                ? Code::NONE
         : (pair.product.max_loss_bps | pair.user.max_loss_bps) < 0 ? Code::MAT_LOSS_LIMIT_UNKNOWN
         : pair.product.max_loss_bps > pair.user.max_loss_bps       ? Code::MAT_LOSS_CAPACITY
         : Code::NONE;
}

// Predicate 14.
inline Code check_horizon(const Pair& pair) {
    const std::int16_t needed = pair.product.horizon_months;
    return needed < 0                        ? Code::PRD_HORIZON_UNKNOWN
         : needed == 0                       ? Code::NONE
         : pair.user.horizon_months < 0      ? Code::USR_HORIZON_UNKNOWN
         : needed > pair.user.horizon_months ? Code::MAT_HORIZON
         : Code::NONE;
}

// Predicate 15.
inline Code check_age(const Pair& pair) {
    return pair.user.age_code != Code::NONE                  ? pair.user.age_code
         : (pair.product.min_age | pair.product.max_age) < 0 ? Code::PRD_AGE_UNKNOWN
         : pair.user.age_rounded_down < pair.product.min_age ? Code::MAT_AGE_BELOW_MIN
         : pair.user.age_rounded_up > pair.product.max_age   ? Code::MAT_AGE_ABOVE_MAX
         : Code::NONE;
}

// Predicate 16.
inline Code check_elder(const Pair& pair) {
    const bool over = (pair.user.elder & pair.product.over_elder_cap) != 0;
    return pair.user.age_code != Code::NONE ? pair.user.age_code
         : over                             ? Code::MAT_ELDER_PROTECTION
         : Code::NONE;
}

// Predicate 17.
inline Code check_vulnerable(const Pair& pair) {
    const bool over = (pair.user.vulnerable & pair.product.over_vulnerable_cap) != 0;
    return over ? Code::MAT_VULNERABLE_PROTECTION : Code::NONE;
}

// Predicate 18.
inline Code check_place(const Pair& pair) {
    return pair.user.jurisdiction_code != Code::NONE        ? pair.user.jurisdiction_code
         : pair.product.jurisdiction_code != Code::NONE     ? pair.product.jurisdiction_code
         : !share_member(pair, SetKind::JURISDICTIONS)      ? Code::MAT_JURISDICTION
         : pair.user.us_person > pair.product.us_persons_ok ? Code::MAT_US_PERSON
         : Code::NONE;
}

// Predicate 19.
inline Code check_currency(const Pair& pair) {
    return pair.product.currency_code != Code::NONE ? pair.product.currency_code
         : pair.user.currency_code != Code::NONE    ? pair.user.currency_code
         : !share_member(pair, SetKind::CURRENCY)   ? Code::MAT_CURRENCY
         : Code::NONE;
}

// Predicate 20, investments.
inline Code check_affordability(const Pair& pair) {
    return pair.product.investment == 0                          ? Code::NONE
         : pair.product.min_amount < 0                           ? Code::PRD_MIN_AMOUNT_UNKNOWN
         : pair.user.liquid_code != Code::NONE                   ? pair.user.liquid_code
         : pair.product.min_amount > pair.user.affordable_amount ? Code::MAT_AFFORDABILITY
         : Code::NONE;
}

// Predicate 21, investments.
inline Code check_concentration(const Pair& pair) {
    const std::int64_t amount = pair.product.min_amount;
    const bool over_high_risk = pair.product.high_risk != 0 && amount > pair.user.high_risk_room;
    return pair.product.investment == 0          ? Code::NONE
         : amount < 0                            ? Code::USR_FINANCES_UNKNOWN
         : pair.user.liquid_code != Code::NONE   ? pair.user.liquid_code
         : pair.user.holdings_code != Code::NONE ? pair.user.holdings_code
         : amount > find_issuer_room(pair)       ? Code::MAT_ISSUER_CONCENTRATION
         : over_high_risk                        ? Code::MAT_HIGH_RISK_CONCENTRATION
         : Code::NONE;
}

// Predicate 22, investments.
inline Code check_objectives(const Pair& pair) {
    return pair.product.investment == 0               ? Code::NONE
         : pair.product.objectives_code != Code::NONE ? pair.product.objectives_code
         : pair.user.objectives_code != Code::NONE    ? pair.user.objectives_code
         : share_member(pair, SetKind::OBJECTIVES_N)  ? Code::MAT_NEGATIVE_TARGET_MARKET
         : !share_member(pair, SetKind::OBJECTIVES_Y) ? Code::MAT_OBJECTIVES
         : Code::NONE;
}

// Predicate 23, insurance.
inline Code check_needs(const Pair& pair) {
    return pair.product.insurance == 0                ? Code::NONE
         : pair.product.needs_code != Code::NONE      ? pair.product.needs_code
         : pair.user.needs_code != Code::NONE         ? pair.user.needs_code
         : !share_member(pair, SetKind::NEEDS_SERVED) ? Code::MAT_NEEDS
         : pair.user.groups_code != Code::NONE        ? pair.user.groups_code
         : holds_group(pair)                          ? Code::MAT_DUPLICATE_COVER
         : Code::NONE;
}

// Predicate 24, insurance.
inline Code check_premium(const Pair& pair) {
    const std::int64_t premium = pair.product.premium;
    const std::int16_t years = pair.product.pay_years;
    const std::int64_t income_max = years == 0 ? pair.user.single_premium_max : pair.user.annual_premium_max;
    return pair.product.insurance == 0         ? Code::NONE
         : years < 0                           ? Code::PRD_PREMIUM_UNKNOWN
         : pair.user.income_code != Code::NONE ? pair.user.income_code
         : premium < 0                         ? Code::PRD_PREMIUM_UNKNOWN
         : premium > income_max                ? Code::MAT_PREMIUM_TO_INCOME
         : premium > pair.user.budget_max      ? Code::MAT_PREMIUM_BUDGET
         : years <= 1                          ? Code::NONE
         : pair.user.age_code != Code::NONE    ? pair.user.age_code
         : years >= pair.user.pay_years_stop   ? Code::MAT_AGE_PLUS_PAY_TERM
         : Code::NONE;
}

// Predicate 25.
inline Code check_risk_score(const Pair& pair) {
    return pair.product.rated == 0                              ? Code::NONE
         : pair.product.risk_score < 0                          ? Code::PRD_RISK_SCORE_UNKNOWN
         : pair.user.tolerance_code != Code::NONE               ? pair.user.tolerance_code
         : pair.product.risk_score > pair.user.risk_score_limit ? Code::MAT_RISK_SCORE_OVER_LIMIT
         : Code::NONE;
}

// Predicate 26, credit-like products.
inline Code check_credit(const Pair& pair) {
    return pair.product.credit_like != 0 ? pair.user.credit_code : Code::NONE;
}

inline void add_code(Mask& mask, const Code code) {
    const auto number = static_cast<std::uint64_t>(code);
    const std::uint64_t bit = std::uint64_t{1} << (number & 63);
    const std::uint64_t in_high = std::uint64_t{0} - (number >> 6);
    mask.low |= bit & ~in_high;
    mask.high |= bit & in_high;
}

// Evaluates every predicate; no verdict depends on another, so nothing here branches on one. To learning content
// only predicates 0 to 3 apply.
inline Mask judge(const Pair& pair) {
    Mask every{0, 0};
    add_code(every, check_system(pair));
    add_code(every, check_status(pair));
    add_code(every, check_window(pair));
    add_code(every, check_channel(pair));
    Mask financial{0, 0};
    add_code(financial, check_offering(pair));
    add_code(financial, check_quota(pair));
    add_code(financial, check_user(pair));
    add_code(financial, check_staleness(pair));
    add_code(financial, check_capacity(pair));
    add_code(financial, check_assessment(pair));
    add_code(financial, check_risk_match(pair));
    add_code(financial, check_client_type(pair));
    add_code(financial, check_knowledge(pair));
    add_code(financial, check_losses(pair));
    add_code(financial, check_horizon(pair));
    add_code(financial, check_age(pair));
    add_code(financial, check_elder(pair));
    add_code(financial, check_vulnerable(pair));
    add_code(financial, check_place(pair));
    add_code(financial, check_currency(pair));
    add_code(financial, check_affordability(pair));
    add_code(financial, check_concentration(pair));
    add_code(financial, check_objectives(pair));
    add_code(financial, check_needs(pair));
    add_code(financial, check_premium(pair));
    add_code(financial, check_risk_score(pair));
    add_code(financial, check_credit(pair));
    const std::uint64_t applies = std::uint64_t{0} - static_cast<std::uint64_t>(pair.product.financial != 0);
    Mask mask{every.low | (financial.low & applies), every.high | (financial.high & applies)};
    // A predicate that raised counts under predicate 0, whose own codes come first.
    const auto bit = [](const Code code) { return std::uint64_t{1} << static_cast<std::uint64_t>(code); };
    const std::uint64_t own = bit(Code::SYS_CLOCK_INVALID) | bit(Code::SYS_POLICY_NOT_EFFECTIVE);
    const std::uint64_t repeated = (mask.low & own) != 0 ? bit(Code::SYS_PREDICATE_ERROR) : 0;
    mask.low &= ~(repeated | bit(Code::NONE));
    return mask;
}

}  // namespace prudence
