// What the gate reads of a product, of a user and of the moment, decided as far as it can be beforehand.
//
// server/columns.py and server/user_record.py fill these records; the bindings export the layouts and Python
// compares them with its own. Whatever is missing is either a code or -1, never a value that could pass.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes.hpp"

namespace prudence {

inline constexpr std::int64_t missing = -1;
inline constexpr std::int64_t malformed = -2;

// One family the user may know, and one for products of an unknown family, which nobody knows.
inline constexpr std::size_t knowledge_slots = 9;
inline constexpr std::size_t risk_level_count = 6;

// Sets whose members a product and a user may share. Each has its own words in a row of bits.
enum class SetKind : std::size_t { CHANNELS, JURISDICTIONS, CURRENCY, OBJECTIVES_Y, OBJECTIVES_N, NEEDS_SERVED };
inline constexpr std::size_t set_kind_count = 6;

// A product under one policy. A flag is 0 or 1; a number that is missing is -1.
struct Product {
    std::int64_t sale_start_us;
    std::int64_t sale_end_us;
    std::int64_t licence_until_us;
    std::int64_t min_amount;
    std::int64_t premium;           // The one that applies: single where pay_years is 0, else annual.
    std::int32_t issuer;            // A number for each distinct issuer.
    std::int32_t dup_group;         // A number for each distinct group; missing: none; malformed: -2.
    std::int16_t risk_score;        // Effective.
    std::int16_t max_loss_bps;
    std::int16_t horizon_months;    // With the policy's buffer; 0 where every horizon passes.
    std::int16_t min_age;
    std::int16_t max_age;
    std::int16_t pay_years;
    Code status_code;               // Predicate 1 under the policy, without the overlay.
    Code window_code;               // PRD_WINDOW_UNKNOWN or none; so are the others below.
    Code channel_code;
    Code offering_code;
    Code quota_code;
    Code client_type_code;          // Against a retail client.
    Code jurisdiction_code;
    Code currency_code;
    Code objectives_code;
    Code needs_code;
    std::int8_t level;              // Effective.
    std::int8_t min_knowledge;
    std::int8_t loss_class;
    std::uint8_t knowledge_slot;    // Which of the user's knowledge applies.
    std::uint8_t over_tolerance;    // Bit r: the level exceeds the risk matrix at risk level r.
    std::uint8_t financial;
    std::uint8_t rated;
    std::uint8_t investment;
    std::uint8_t insurance;
    std::uint8_t high_risk;
    std::uint8_t over_limited_cap;  // For users of limited capacity; an unknown level is over every cap.
    std::uint8_t over_elder_cap;
    std::uint8_t over_vulnerable_cap;
    std::uint8_t us_persons_ok;
    std::uint8_t credit_like;
    std::array<std::uint8_t, 3> padding;
};
static_assert(sizeof(Product) == 88 && alignof(Product) == 8);

// A user at one instant. Divisions are done where the record is made, so a test here is one comparison.
struct User {
    std::int64_t now_us;
    std::int64_t affordable_amount;
    std::int64_t issuer_room;       // What may still go to an issuer of whom nothing is held.
    std::int64_t high_risk_room;
    std::int64_t annual_premium_max;
    std::int64_t single_premium_max;
    std::int64_t budget_max;
    std::int32_t held_issuer_start;  // Part of Holdings.issuers, sorted by issuer.
    std::int32_t held_issuer_stop;
    std::int32_t held_group_start;   // Part of Holdings.groups, sorted.
    std::int32_t held_group_stop;
    std::int16_t risk_score_limit;   // -1 admits nothing.
    std::int16_t horizon_months;
    std::int16_t max_loss_bps;
    std::int16_t age_rounded_down;
    std::int16_t age_rounded_up;
    std::int16_t pay_years_stop;     // The first number of years that is too long at this age.
    Code system_code;                // Predicate 0.
    Code clock_code;                 // Where the clock tells no instant: whatever compares with it.
    Code user_code;                  // Predicate 6.
    Code staleness_code;             // Predicate 7.
    Code capacity_code;              // Predicate 8 against every product.
    Code assessment_code;            // Predicate 9 against rated products.
    Code tolerance_code;             // Where risk_level is missing.
    Code age_code;                   // Where no age is known.
    Code jurisdiction_code;
    Code currency_code;
    Code liquid_code;
    Code holdings_code;
    Code objectives_code;
    Code needs_code;
    Code groups_code;
    Code income_code;                // Where income or budget is missing.
    Code credit_code;                // Predicate 26 against credit-like products.
    std::int8_t risk_level;          // 0 where it is missing.
    std::int8_t loss_capacity;
    std::uint8_t limited;
    std::uint8_t professional;
    std::uint8_t elder;
    std::uint8_t vulnerable;
    std::uint8_t us_person;
    std::array<std::int8_t, knowledge_slots> knowledge;
    std::array<std::uint8_t, 3> padding;
};
static_assert(sizeof(User) == 120 && alignof(User) == 8);

// What may still go to an issuer of whom the user holds something.
struct HeldIssuer {
    std::int64_t issuer;
    std::int64_t room;
};
static_assert(sizeof(HeldIssuer) == 16);

// Products in row order, with the bits of their sets: word w of row r is sets[r * word_count + w].
struct Catalogue {
    std::vector<Product> products;
    std::vector<std::uint64_t> sets;
    std::array<std::size_t, set_kind_count + 1> set_starts;  // Words of a kind, the next kind's start is its end.

    std::size_t word_count() const { return set_starts[set_kind_count]; }
};

// Everything all users of a call hold.
struct Holdings {
    const HeldIssuer* issuers;
    std::size_t issuer_count;
    const std::int64_t* groups;
    std::size_t group_count;
};

// The users of a call, with the bits of their sets in the catalogue's layout.
struct Users {
    const User* records;
    std::size_t count;
    const std::uint64_t* sets;
    Holdings held;
};

// What may change while a catalogue is served: both only ever tighten the policy.
struct Live {
    const std::uint8_t* halted;  // [product_count]; not 0: halted.
    std::int64_t level_cap;      // The lower of the policy's and the overlay's; level_cap_none: no cap.
};
inline constexpr std::int64_t level_cap_none = 127;

}  // namespace prudence
