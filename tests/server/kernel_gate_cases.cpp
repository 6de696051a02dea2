// Random cases of the gate, to be run under sanitizers by test_kernel_sanitizers.py.
//
// What the gate decides is compared with the rules elsewhere. Here records hold any numbers that are let in, the
// extremes above all, and arrays have exactly the bytes they are said to have: whatever gets past the checks must
// be judged without reading anything else and without undefined arithmetic.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gate_batch.hpp"

namespace {

using Random = std::mt19937_64;
using prudence::Code;
using prudence::Product;
using prudence::User;

template <typename T>
T draw(Random& random) {
    using Limits = std::numeric_limits<T>;
    const T values[] = {Limits::min(), Limits::max(), T(-2), T(-1), T(0), T(1), T(random() % 7), T(random())};
    return values[random() % std::size(values)];
}

Code draw_code(Random& random) {
    return random() % 3 == 0 ? static_cast<Code>(random() % (prudence::code_max + 1)) : Code::NONE;
}

void draw_codes(Random& random, Code& first, Code& last) {
    std::generate(&first, &last + 1, [&random] { return draw_code(random); });
}

Product draw_product(Random& random) {
    Product product{};
    for (std::int64_t* const number : {&product.sale_start_us, &product.sale_end_us, &product.licence_until_us,
                                       &product.min_amount, &product.premium}) {
        *number = draw<std::int64_t>(random);
    }
    for (std::int16_t* const number : {&product.risk_score, &product.max_loss_bps, &product.horizon_months,
                                       &product.min_age, &product.max_age, &product.pay_years}) {
        *number = draw<std::int16_t>(random);
    }
    product.issuer = std::max(draw<std::int32_t>(random), -1);
    product.dup_group = std::max(draw<std::int32_t>(random), -2);
    draw_codes(random, product.status_code, product.needs_code);
    product.level = draw<std::int8_t>(random);
    product.min_knowledge = draw<std::int8_t>(random);
    product.loss_class = draw<std::int8_t>(random);
    product.knowledge_slot = static_cast<std::uint8_t>(random() % prudence::knowledge_slots);
    product.over_tolerance = draw<std::uint8_t>(random);
    for (std::uint8_t* flag = &product.financial; flag <= &product.credit_like; ++flag) {
        *flag = static_cast<std::uint8_t>(random() % 2);
    }
    return product;
}

// A user without holdings: these are given afterwards.
User draw_user(Random& random) {
    User user{};
    for (std::int64_t* number = &user.now_us; number <= &user.budget_max; ++number) {
        *number = draw<std::int64_t>(random);
    }
    for (std::int16_t* number = &user.risk_score_limit; number <= &user.pay_years_stop; ++number) {
        *number = draw<std::int16_t>(random);
    }
    draw_codes(random, user.system_code, user.credit_code);
    user.risk_level = static_cast<std::int8_t>(random() % prudence::risk_level_count);
    user.loss_capacity = draw<std::int8_t>(random);
    for (std::uint8_t* flag = &user.limited; flag <= &user.us_person; ++flag) {
        *flag = static_cast<std::uint8_t>(random() % 2);
    }
    std::generate(user.knowledge.begin(), user.knowledge.end(), [&] { return draw<std::int8_t>(random); });
    return user;
}

// Copies values into memory with nothing behind them.
template <typename T>
std::unique_ptr<T[]> pack(const std::vector<T>& values) {
    std::unique_ptr<T[]> packed(new T[values.size()]);
    std::copy(values.begin(), values.end(), packed.get());
    return packed;
}

// Everything one call of the gate is given.
struct Case {
    prudence::Catalogue catalogue;
    std::unique_ptr<User[]> records;
    std::unique_ptr<std::uint64_t[]> sets;
    std::unique_ptr<prudence::HeldIssuer[]> issuers;
    std::unique_ptr<std::int64_t[]> groups;
    std::unique_ptr<std::uint8_t[]> halted;
    prudence::Users users;
    prudence::Live live;
};

// Returns ascending numbers from 0 to 2^31 - 1, sparse enough for misses, dense enough for hits.
std::vector<std::int64_t> draw_held(Random& random) {
    std::vector<std::int64_t> held{0, 1, 2, 3, 4, 5, 6, INT32_MAX};
    held.erase(std::remove_if(held.begin(), held.end(), [&](std::int64_t) { return random() % 2 == 0; }), held.end());
    return held;
}

prudence::Catalogue draw_catalogue(Random& random, const std::size_t row_count) {
    std::array<std::int64_t, prudence::set_kind_count + 1> starts{};
    for (std::size_t kind = 1; kind < starts.size(); ++kind) {
        starts[kind] = starts[kind - 1] + static_cast<std::int64_t>(random() % 3);
    }
    std::vector<Product> products(row_count);
    std::generate(products.begin(), products.end(), [&random] { return draw_product(random); });
    std::vector<std::uint64_t> sets(row_count * static_cast<std::size_t>(starts.back()));
    std::generate(sets.begin(), sets.end(), [&random] { return random() & random() & random(); });
    return prudence::make_catalogue(std::move(products), std::move(sets), starts);
}

Case draw_case(Random& random, const std::size_t user_count, const std::size_t row_count) {
    Case made{draw_catalogue(random, row_count), nullptr, nullptr, nullptr, nullptr, nullptr, {}, {}};
    std::vector<User> users;
    std::vector<prudence::HeldIssuer> issuers;
    std::vector<std::int64_t> groups;
    for (std::size_t position = 0; position < user_count; ++position) {
        User user = draw_user(random);
        user.held_issuer_start = static_cast<std::int32_t>(issuers.size());
        user.held_group_start = static_cast<std::int32_t>(groups.size());
        for (const std::int64_t issuer : draw_held(random)) {
            issuers.push_back({issuer, draw<std::int64_t>(random)});
        }
        for (const std::int64_t group : draw_held(random)) {
            groups.push_back(group);
        }
        user.held_issuer_stop = static_cast<std::int32_t>(issuers.size());
        user.held_group_stop = static_cast<std::int32_t>(groups.size());
        users.push_back(user);
    }
    std::vector<std::uint64_t> sets(user_count * made.catalogue.word_count());
    std::generate(sets.begin(), sets.end(), [&random] { return random() & random(); });
    std::vector<std::uint8_t> halted(row_count);
    std::generate(halted.begin(), halted.end(), [&random] { return std::uint8_t(random() % 2 * (random() % 256)); });
    made.records = pack(users);
    made.sets = pack(sets);
    made.issuers = pack(issuers);
    made.groups = pack(groups);
    made.halted = pack(halted);
    made.users = {made.records.get(), user_count, made.sets.get(),
                  {made.issuers.get(), issuers.size(), made.groups.get(), groups.size()}};
    made.live = {made.halted.get(), draw<std::int64_t>(random)};
    prudence::require_users(made.users);
    return made;
}

// Returns whether a pair's mask is the same in any batch, holds only codes, and is counted.
bool check_masks(Random& random) {
    const std::size_t user_count = random() % 5;
    const std::size_t row_count = random() % 20;
    const Case made = draw_case(random, user_count, row_count);
    std::vector<std::int64_t> users;
    std::vector<std::int64_t> rows;
    for (std::size_t pair = random() % 50; pair > 0 && user_count > 0 && row_count > 0; --pair) {
        users.push_back(static_cast<std::int64_t>(random() % user_count));
        rows.push_back(static_cast<std::int64_t>(random() % row_count));
    }
    const auto packed_users = pack(users);
    const auto packed_rows = pack(rows);
    const prudence::PairList pairs{packed_users.get(), packed_rows.get(), rows.size()};
    prudence::require_pairs(pairs, user_count, row_count);
    const std::unique_ptr<prudence::Mask[]> masks(new prudence::Mask[rows.size()]);
    prudence::judge_pairs(made.catalogue, made.users, made.live, pairs, masks.get());
    for (std::size_t pair = 0; pair < rows.size(); ++pair) {
        const prudence::Mask alone =
            prudence::judge_row(made.catalogue, made.users, made.live, static_cast<std::size_t>(users[pair]),
                                static_cast<std::size_t>(rows[pair]));
        const bool no_code = (alone.low & 1) != 0 || alone.high >> (prudence::code_max - 63) != 0;
        if (no_code || alone.low != masks[pair].low || alone.high != masks[pair].high) {
            return false;
        }
    }
    return true;
}

// Returns whether the counts over a catalogue are those of its masks.
bool check_counts(Random& random) {
    const std::size_t row_count = random() % 20;
    const Case made = draw_case(random, 1, row_count);
    std::array<std::int64_t, prudence::code_max + 1> counts{};
    prudence::count_codes(made.catalogue, made.users, made.live, counts);
    for (std::size_t row = 0; row < row_count; ++row) {
        const prudence::Mask mask = prudence::judge_row(made.catalogue, made.users, made.live, 0, row);
        counts[0] -= (mask.low | mask.high) == 0;
        for (std::size_t code = 1; code < counts.size(); ++code) {
            counts[code] -= static_cast<std::int64_t>((code < 64 ? mask.low >> code : mask.high >> (code - 64)) & 1);
        }
    }
    return std::all_of(counts.begin(), counts.end(), [](const std::int64_t count) { return count == 0; });
}

template <typename Call>
bool refuses(const Call& call) {
    try {
        call();
    } catch (const prudence::InputError&) {
        return true;
    }
    return false;
}

// Returns whether one value that would lead out of an array, or is no code or flag, is refused.
bool check_refusals(Random& random) {
    const Case made = draw_case(random, 3, 7);
    std::vector<Product> products = made.catalogue.products;
    std::array<std::int64_t, prudence::set_kind_count + 1> starts{};
    std::copy(made.catalogue.set_starts.begin(), made.catalogue.set_starts.end(), starts.begin());
    Product& product = products[random() % products.size()];
    switch (random() % 6) {
        case 0: product.knowledge_slot = prudence::knowledge_slots; break;
        case 1: product.issuer = -2; break;
        case 2: product.dup_group = INT32_MIN; break;
        case 3: product.rated = 2; break;
        case 4: product.quota_code = static_cast<Code>(prudence::code_max + 1); break;
        default: starts[1 + random() % (starts.size() - 1)] = random() % 2 == 0 ? -1 : INT64_MAX;
    }
    User& user = made.records[random() % made.users.count];
    const User sound = user;
    switch (random() % 7) {
        case 0: user.risk_level = prudence::risk_level_count; break;
        case 1: user.risk_level = -1; break;
        case 2: user.held_issuer_stop = static_cast<std::int32_t>(made.users.held.issuer_count) + 1; break;
        case 3: user.held_group_start = -1; break;
        case 4: user.held_group_start = user.held_group_stop + 1; break;
        case 5: user.income_code = static_cast<Code>(255); break;
        default: user.us_person = 255;
    }
    const bool users_refused = refuses([&] { prudence::require_users(made.users); });
    user = sound;
    static constexpr std::int64_t outside[] = {-1, 7, INT64_MIN, INT64_MAX};
    std::array<std::int64_t, 2> pair{0, 0};
    pair[random() % 2] = outside[random() % std::size(outside)];
    return users_refused &&
           refuses([&] { prudence::make_catalogue(products, made.catalogue.sets, starts); }) &&
           refuses([&] { prudence::require_pairs({pair.data(), pair.data() + 1, 1}, 3, 7); });
}

// Judges a row whose halt is not there: what a sanitizer must find.
void judge_too_far() {
    Random random(1);
    Case made = draw_case(random, 1, 9);
    made.halted = pack(std::vector<std::uint8_t>(8));
    made.live.halted = made.halted.get();
    std::array<std::int64_t, prudence::code_max + 1> counts{};
    prudence::count_codes(made.catalogue, made.users, made.live, counts);
}

}  // namespace

int main(const int argument_count, const char* const* const arguments) {
    if (argument_count > 1 && std::string(arguments[1]) == "too-far") {
        judge_too_far();
        return 0;
    }
    Random random(20261122);
    for (int round = 0; round < 3000; ++round) {
        if (!check_masks(random) || !check_counts(random) || !check_refusals(random)) {
            std::printf("round %d differs\n", round);
            return 1;
        }
    }
    std::printf("equal\n");
    return 0;
}
