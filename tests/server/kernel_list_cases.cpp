// Random cases of rescore and select against plain loops, to be run under sanitizers by test_kernel_sanitizers.py.
//
// Every array has exactly the bytes it is said to have, so that a read past its end is found.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernel.hpp"

namespace {

using Random = std::mt19937_64;

// Values anywhere in their type, or only its least and largest.
template <typename T>
std::unique_ptr<T[]> draw(Random& random, const std::size_t size, const bool extreme) {
    using Limits = std::numeric_limits<T>;
    std::unique_ptr<T[]> values(new T[size]);
    std::generate_n(values.get(), size, [&random, extreme] {
        return extreme ? (random() % 4 == 0 ? Limits::max() : Limits::min()) : static_cast<T>(random());
    });
    return values;
}

// Sums wrap beyond 64 bits.
std::int64_t multiply(const std::int32_t* const left, const std::int32_t* const right, const std::size_t dim) {
    std::uint64_t sum = 0;
    for (std::size_t position = 0; position < dim; ++position) {
        sum += static_cast<std::uint64_t>(std::int64_t{left[position]} * right[position]);
    }
    return static_cast<std::int64_t>(sum);
}

// Returns whether every version of the inner product gives the same.
bool check_dot(Random& random) {
    const std::size_t dim = random() % 130;
    const bool extreme = random() % 2 == 0;
    const auto left = draw<std::int32_t>(random, dim, extreme);
    const auto right = draw<std::int32_t>(random, dim, extreme);
    const std::int64_t expected = multiply(left.get(), right.get(), dim);
    for (const prudence::DotVersion& version : prudence::list_dots()) {
        if (version.available && version.dot(left.get(), right.get(), dim) != expected) {
            std::printf("%s differs: dim %zu\n", version.name, dim);
            return false;
        }
    }
    return true;
}

// Returns whether rescore and select give what plain loops give.
bool check_list(Random& random) {
    const std::size_t dim = random() % 130;
    const std::size_t row_count = 1 + random() % 50;
    const bool extreme = random() % 2 == 0;
    const auto items = draw<std::int32_t>(random, row_count * dim, extreme);
    const auto user = draw<std::int32_t>(random, dim, extreme);
    std::vector<std::int64_t> rows(random() % 40);
    std::generate(rows.begin(), rows.end(), [&] { return static_cast<std::int64_t>(random() % row_count); });
    std::vector<std::int64_t> ranks(rows.size());
    std::iota(ranks.begin(), ranks.end(), std::int64_t{0});
    std::shuffle(ranks.begin(), ranks.end(), random);
    std::vector<std::int64_t> scores(rows.size());
    prudence::rescore(user.get(), {items.get(), row_count, dim}, {rows.data(), rows.size()}, scores.data());
    std::vector<std::pair<std::int64_t, std::int64_t>> order;
    for (std::size_t place = 0; place < rows.size(); ++place) {
        const auto row = static_cast<std::size_t>(rows[place]);
        if (multiply(user.get(), items.get() + row * dim, dim) != scores[place]) {
            return false;
        }
        // Negated without overflow, in the same order.
        order.emplace_back(-1 - scores[place], ranks[place]);
    }
    std::sort(order.begin(), order.end());
    const auto k = static_cast<std::int64_t>(random() % 50);
    const std::vector<std::int64_t> best = prudence::select({scores.data(), ranks.data(), scores.size()}, k);
    for (std::size_t place = 0; place < best.size(); ++place) {
        if (ranks[static_cast<std::size_t>(best[place])] != order[place].second) {
            return false;
        }
    }
    return best.size() == std::min(rows.size(), static_cast<std::size_t>(k));
}

// Returns whether a row outside of the matrix is refused, wherever it stands.
bool check_refusal(Random& random) {
    const std::vector<std::int32_t> items(7 * 4, 1);
    std::vector<std::int64_t> rows(1 + random() % 20, 6);
    static constexpr std::int64_t outside[] = {-1, 7, INT64_MIN, INT64_MAX, std::int64_t{1} << 31};
    rows[random() % rows.size()] = outside[random() % std::size(outside)];
    std::vector<std::int64_t> scores(rows.size());
    try {
        prudence::rescore(items.data(), {items.data(), 7, 4}, {rows.data(), rows.size()}, scores.data());
    } catch (const prudence::InputError&) {
        return true;
    }
    return false;
}

// Scores a row of which the last component is not there: what a sanitizer must find.
void rescore_too_far() {
    const auto items = std::make_unique<std::int32_t[]>(3 * 16 - 1);
    const std::vector<std::int32_t> user(16, 1);
    const std::int64_t row = 2;
    std::int64_t score = 0;
    prudence::rescore(user.data(), {items.get(), 3, 16}, {&row, 1}, &score);
}

}  // namespace

int main(const int argument_count, const char* const* const arguments) {
    if (argument_count > 1 && std::string(arguments[1]) == "too-far") {
        rescore_too_far();
        return 0;
    }
    Random random(20261122);
    for (int round = 0; round < 8000; ++round) {
        if (!check_dot(random) || !check_list(random) || !check_refusal(random)) {
            std::printf("round %d differs\n", round);
            return 1;
        }
    }
    for (const prudence::DotVersion& version : prudence::list_dots()) {
        std::printf("%s: %s\n", version.name, version.available ? "equal" : "not on this machine");
    }
    return 0;
}
