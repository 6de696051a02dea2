// Runs one part of the kernel a number of times: `driver CASE PATH REPEATS`. benchmarks/kernel/counts.py counts what
// more repeats cost, so making the data does not count. Prints how many units one repeat works on.
//
// Exit code 3: this machine, or what stands in for it, lacks the path.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "dispatch.hpp"
#include "gate_batch.hpp"
#include "kernel.hpp"
#include "scan.hpp"

namespace {

using Random = std::mt19937_64;
using prudence::Code;

constexpr std::size_t dim = 64;
constexpr std::size_t item_count = 8192;
constexpr std::size_t candidate_count = 200;
constexpr std::int64_t scan_count = 100;
constexpr std::int64_t list_k = 20;
constexpr std::size_t product_count = 2000;

template <typename T>
std::vector<T> draw(Random& random, const std::size_t size) {
    std::vector<T> values(size);
    std::generate(values.begin(), values.end(), [&random] { return static_cast<T>(random()); });
    return values;
}

std::size_t run_scan(Random& random, const prudence::ScanPath& path, const std::size_t user_count,
                     const std::size_t repeats) {
    const auto items = draw<std::int8_t>(random, item_count * dim);
    const auto users = draw<std::int8_t>(random, user_count * dim);
    const std::vector<std::int64_t> starts(user_count, 0);
    const std::vector<std::int64_t> stops(user_count, static_cast<std::int64_t>(item_count));
    const std::vector<const std::uint8_t*> bitmaps(user_count, nullptr);
    const std::vector<std::int64_t> counts(user_count, scan_count);
    std::vector<std::int64_t> rows(user_count * scan_count);
    std::vector<std::int64_t> scores(rows.size());
    prudence::ScanItems scanned(path, {items.data(), item_count, dim});
    std::vector<std::int8_t> packed(prudence::count_packed_bytes(item_count, dim));
    if (path.packs_bytes) {
        scanned.pack(packed.data());
    }
    const prudence::ScanBatch batch{users.data(),   starts.data(), stops.data(),
                                    bitmaps.data(), counts.data(), user_count};
    for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
        prudence::scan(scanned, batch, scan_count, rows.data(), scores.data());
    }
    return item_count * user_count;
}

std::size_t run_rescore(Random& random, const std::size_t repeats) {
    const auto items = draw<std::int32_t>(random, item_count * dim);
    const auto user = draw<std::int32_t>(random, dim);
    std::vector<std::int64_t> rows(candidate_count);
    std::generate(rows.begin(), rows.end(), [&] { return static_cast<std::int64_t>(random() % item_count); });
    std::vector<std::int64_t> scores(candidate_count);
    const prudence::ItemMatrix matrix{items.data(), item_count, dim};
    for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
        prudence::rescore(user.data(), matrix, {rows.data(), rows.size()}, scores.data());
    }
    return candidate_count;
}

std::size_t run_select(Random& random, const std::size_t repeats) {
    std::vector<std::int64_t> scores(candidate_count);
    std::generate(scores.begin(), scores.end(), [&random] { return static_cast<std::int64_t>(random() % 1000); });
    std::vector<std::int64_t> ranks(candidate_count);
    std::iota(ranks.begin(), ranks.end(), std::int64_t{0});
    std::shuffle(ranks.begin(), ranks.end(), random);
    for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
        prudence::select({scores.data(), ranks.data(), candidate_count}, list_k);
    }
    return candidate_count;
}

// An investment that the user below may be shown, and everything about it that may pass.
prudence::Product make_product(const std::size_t row) {
    prudence::Product product{};
    product.sale_end_us = product.licence_until_us = INT64_MAX;
    product.issuer = static_cast<std::int32_t>(row % 50);
    product.dup_group = static_cast<std::int32_t>(prudence::missing);
    product.max_age = 120;
    product.min_knowledge = product.loss_class = 1;
    product.financial = product.rated = product.investment = product.high_risk = product.us_persons_ok = 1;
    return product;
}

// With `suits` false the user is unknown: a code for nearly every predicate.
prudence::User make_user(const bool suits) {
    prudence::User user{};
    user.now_us = 1;
    user.affordable_amount = user.issuer_room = user.high_risk_room = INT64_MAX;
    user.age_rounded_down = user.age_rounded_up = 40;
    user.loss_capacity = 1;
    user.max_loss_bps = 1;
    user.risk_score_limit = 1;
    user.knowledge.fill(1);
    user.held_issuer_stop = 8;
    if (!suits) {
        std::fill(&user.user_code, &user.income_code + 1, Code::USR_NOT_FOUND);
        user.knowledge.fill(-1);
        user.loss_capacity = -1;
    }
    return user;
}

std::size_t run_gate(const bool suits, const bool counts, const std::size_t repeats) {
    std::vector<prudence::Product> products(product_count);
    for (std::size_t row = 0; row < product_count; ++row) {
        products[row] = make_product(row);
    }
    // One word for each kind of set. All bits are shared, but for the objectives that exclude.
    constexpr std::size_t word_count = prudence::set_kind_count;
    std::array<std::int64_t, word_count + 1> starts{};
    std::iota(starts.begin(), starts.end(), std::int64_t{0});
    std::vector<std::uint64_t> sets(product_count * word_count, 1);
    std::vector<std::uint64_t> user_sets(word_count, 1);
    user_sets[static_cast<std::size_t>(prudence::SetKind::OBJECTIVES_N)] = 0;
    const prudence::Catalogue catalogue = prudence::make_catalogue(std::move(products), std::move(sets), starts);
    std::vector<prudence::HeldIssuer> held;
    for (std::int64_t issuer = 0; issuer < 8; ++issuer) {
        held.push_back({issuer * 6, INT64_MAX});
    }
    const prudence::User user = make_user(suits);
    const prudence::Users users{&user, 1, user_sets.data(), {held.data(), held.size(), nullptr, 0}};
    const std::vector<std::uint8_t> halted(product_count, 0);
    const prudence::Live live{halted.data(), prudence::level_cap_none};
    std::vector<std::int64_t> rows(candidate_count);
    for (std::size_t pair = 0; pair < candidate_count; ++pair) {
        rows[pair] = static_cast<std::int64_t>(pair * 7919 % product_count);
    }
    const std::vector<std::int64_t> user_of_pair(candidate_count, 0);
    std::vector<prudence::Mask> masks(candidate_count);
    std::array<std::int64_t, prudence::code_max + 1> codes{};
    for (std::size_t repeat = 0; repeat < repeats; ++repeat) {
        if (counts) {
            prudence::count_codes(catalogue, users, live, codes);
        } else {
            prudence::judge_pairs(catalogue, users, live, {user_of_pair.data(), rows.data(), rows.size()},
                                  masks.data());
        }
    }
    if (!counts && repeats > 0 && ((masks[0].low | masks[0].high) == 0) != suits) {
        std::fprintf(stderr, "the gate does not decide as this driver expects\n");
        std::exit(1);
    }
    return counts ? product_count : candidate_count;
}

}  // namespace

int main(const int argument_count, const char* const* const arguments) {
    if (argument_count != 4) {
        return 2;
    }
    const std::string name(arguments[1]);
    const auto repeats = static_cast<std::size_t>(std::atol(arguments[3]));
    Random random(20261122);
    std::size_t units = 0;
    try {
        if (name == "scan-1" || name == "scan-32") {
            const prudence::ScanPath path = prudence::find_scan_path(arguments[2]);
            units = run_scan(random, path, name == "scan-1" ? 1 : 32, repeats);
        } else if (name == "rescore") {
            units = run_rescore(random, repeats);
        } else if (name == "select") {
            units = run_select(random, repeats);
        } else if (name == "gate-suits" || name == "gate-unsuitable") {
            units = run_gate(name == "gate-suits", false, repeats);
        } else if (name == "gate-counts") {
            units = run_gate(true, true, repeats);
        }
    } catch (const prudence::InputError& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 3;
    }
    std::printf("%zu\n", units);
    return units == 0 ? 2 : 0;
}
