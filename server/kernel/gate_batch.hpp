// The gate over many pairs: first everything is checked, then nothing in the loop can go wrong.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "errors.hpp"
#include "gate.hpp"
#include "kernel.hpp"
#include "records.hpp"

namespace prudence {

// A product's sets take at most this many words: server/set_bits.py takes 4096 distinct values of each kind.
inline constexpr std::size_t set_word_count_max = set_kind_count * 64;

// How many pairs ahead of their turn products are asked for.
inline constexpr std::size_t fetch_distance = 8;

// Pairs to judge, [count].
struct PairList {
    const std::int64_t* user_of_pair;
    const std::int64_t* rows;
    std::size_t count;
};

template <typename T>
void require_between(const T value, const std::int64_t low, const std::int64_t high, const std::string& label,
                     const std::size_t position) {
    const auto number = static_cast<std::int64_t>(value);
    if (number < low || number > high) {
        throw InputError(label + ": " + std::to_string(number) + " at position " + std::to_string(position) +
                         "; expected " + std::to_string(low) + " to " + std::to_string(high));
    }
}

// Refuses a number that is no code's. A record's codes stand together, from the first to the last.
inline void require_codes(const Code& first, const Code& last, const std::string& label,
                          const std::size_t position) {
    static_assert(sizeof(Code) == 1);
    for (const Code* code = &first; code <= &last; ++code) {
        require_between(*code, 0, code_max, label + ": code", position);
    }
}

inline void require_products(const std::vector<Product>& products) {
    for (std::size_t row = 0; row < products.size(); ++row) {
        const Product& product = products[row];
        require_codes(product.status_code, product.needs_code, "products", row);
        require_between(product.knowledge_slot, 0, knowledge_slots - 1, "products: knowledge_slot", row);
        require_between(product.issuer, missing, INT32_MAX, "products: issuer", row);
        require_between(product.dup_group, malformed, INT32_MAX, "products: dup_group", row);
        for (const std::uint8_t flag : {product.financial, product.rated, product.investment, product.insurance,
                                        product.high_risk, product.over_limited_cap, product.over_elder_cap,
                                        product.over_vulnerable_cap, product.us_persons_ok, product.credit_like}) {
            require_between(flag, 0, 1, "products: flag", row);
        }
    }
}

// Returns the catalogue, checked once for all calls.
inline Catalogue make_catalogue(std::vector<Product> products, std::vector<std::uint64_t> sets,
                                const std::array<std::int64_t, set_kind_count + 1>& set_starts) {
    Catalogue catalogue{std::move(products), std::move(sets), {}};
    std::int64_t earlier = 0;
    for (std::size_t kind = 0; kind <= set_kind_count; ++kind) {
        const std::int64_t latest = kind == 0 ? 0 : static_cast<std::int64_t>(set_word_count_max);
        require_between(set_starts[kind], earlier, latest, "set_starts", kind);
        earlier = set_starts[kind];
        catalogue.set_starts[kind] = static_cast<std::size_t>(earlier);
    }
    if (catalogue.sets.size() != catalogue.products.size() * catalogue.word_count()) {
        throw InputError("sets: " + std::to_string(catalogue.sets.size()) + " words; expected " +
                         std::to_string(catalogue.word_count()) + " for each product");
    }
    require_products(catalogue.products);
    return catalogue;
}

inline void require_held(const Holdings& held, const User& user, const std::size_t position) {
    const auto issuer_count = static_cast<std::int64_t>(held.issuer_count);
    const auto group_count = static_cast<std::int64_t>(held.group_count);
    require_between(user.held_issuer_stop, 0, issuer_count, "held_issuers: stop of a user", position);
    require_between(user.held_issuer_start, 0, user.held_issuer_stop, "held_issuers: start of a user", position);
    require_between(user.held_group_stop, 0, group_count, "held_groups: stop of a user", position);
    require_between(user.held_group_start, 0, user.held_group_stop, "held_groups: start of a user", position);
    std::int64_t earlier = missing;
    for (std::int32_t held_row = user.held_issuer_start; held_row < user.held_issuer_stop; ++held_row) {
        const std::int64_t issuer = held.issuers[held_row].issuer;
        require_between(issuer, earlier + 1, INT32_MAX, "held_issuers: not ascending",
                        static_cast<std::size_t>(held_row));
        earlier = issuer;
    }
    earlier = missing;
    for (std::int32_t held_row = user.held_group_start; held_row < user.held_group_stop; ++held_row) {
        require_between(held.groups[held_row], earlier + 1, INT32_MAX, "held_groups: not ascending",
                        static_cast<std::size_t>(held_row));
        earlier = held.groups[held_row];
    }
}

inline void require_users(const Users& users) {
    for (std::size_t position = 0; position < users.count; ++position) {
        const User& user = users.records[position];
        require_codes(user.system_code, user.credit_code, "users", position);
        require_between(user.risk_level, 0, risk_level_count - 1, "users: risk_level", position);
        for (const std::uint8_t flag :
             {user.limited, user.professional, user.elder, user.vulnerable, user.us_person}) {
            require_between(flag, 0, 1, "users: flag", position);
        }
        require_held(users.held, user, position);
    }
}

inline void require_pairs(const PairList& pairs, const std::size_t user_count, const std::size_t row_count) {
    require_rows(RowList{pairs.rows, pairs.count}, row_count);
    const auto user_max = static_cast<std::int64_t>(user_count) - 1;
    for (std::size_t position = 0; position < pairs.count; ++position) {
        require_between(pairs.user_of_pair[position], 0, user_max, "user_of_pair", position);
    }
}

inline Mask judge_row(const Catalogue& catalogue, const Users& users, const Live& live, const std::size_t user,
                      const std::size_t row) {
    const std::size_t word_count = catalogue.word_count();
    return judge(Pair{users.records[user], catalogue.products[row], users.sets + user * word_count,
                      catalogue.sets.data() + row * word_count, catalogue.set_starts, users.held,
                      live.halted[row] != 0, live.level_cap});
}

// Asks for a product's memory some pairs ahead: rows come in the order of scores, each from another place.
inline void fetch_ahead(const Catalogue& catalogue, const std::size_t row) {
#if defined(__GNUC__)
    const auto* const product = reinterpret_cast<const char*>(catalogue.products.data() + row);
    __builtin_prefetch(product);
    __builtin_prefetch(product + sizeof(Product) - 1);
    __builtin_prefetch(catalogue.sets.data() + row * catalogue.word_count());
#else
    static_cast<void>(catalogue);
    static_cast<void>(row);
#endif
}

// Writes the mask of each pair to masks [pairs.count]. Everything was checked.
inline void judge_pairs(const Catalogue& catalogue, const Users& users, const Live& live, const PairList& pairs,
                        Mask* const masks) {
    for (std::size_t position = 0; position < pairs.count; ++position) {
        const std::size_t later = std::min(position + fetch_distance, pairs.count - 1);
        fetch_ahead(catalogue, static_cast<std::size_t>(pairs.rows[later]));
        masks[position] = judge_row(catalogue, users, live, static_cast<std::size_t>(pairs.user_of_pair[position]),
                                    static_cast<std::size_t>(pairs.rows[position]));
    }
}

// Adds one to the count of each bit that is set; a pair holds few codes, so only those are visited.
inline void count_bits(std::uint64_t word, std::int64_t* const counts) {
    for (; word != 0; word &= word - 1) {
#if defined(__GNUC__)
        ++counts[__builtin_ctzll(word)];
#else
        std::size_t bit = 0;
        while ((word >> bit & 1) == 0) {
            ++bit;
        }
        ++counts[bit];
#endif
    }
}

// Counts over every row, for the only user, the pairs that hold each code: counts[number]. counts[0] counts the
// eligible ones.
inline void count_codes(const Catalogue& catalogue, const Users& users, const Live& live,
                        std::array<std::int64_t, code_max + 1>& counts) {
    std::array<std::int64_t, 128> of_bit{};
    for (std::size_t row = 0; row < catalogue.products.size(); ++row) {
        const Mask mask = judge_row(catalogue, users, live, 0, row);
        of_bit[0] += (mask.low | mask.high) == 0;
        count_bits(mask.low, of_bit.data());
        count_bits(mask.high, of_bit.data() + 64);
    }
    // Bit 0 names no code and no mask has a bit above the last code's.
    std::copy_n(of_bit.begin(), counts.size(), counts.begin());
}

}  // namespace prudence
