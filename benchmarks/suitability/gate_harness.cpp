// Judges the pairs of a dump with the gate as it is compiled here: exit code 0 where every mask is as expected,
// 1 where one differs. benchmarks/suitability/gate_mutation.py writes the dump.

#include <array>
#include <cstdint>
#include <cstdio>
#include <utility>
#include <vector>

#include "gate_batch.hpp"

namespace {

// Reads a block: its number of items, then the items.
template <typename T>
std::vector<T> read_block(std::FILE* const file) {
    std::uint64_t count = 0;
    if (std::fread(&count, sizeof(count), 1, file) != 1) {
        return {};
    }
    std::vector<T> items(count);
    if (std::fread(items.data(), sizeof(T), count, file) != count) {
        return {};
    }
    return items;
}

}  // namespace

int main(const int argument_count, const char* const* const arguments) {
    std::FILE* const file = argument_count == 2 ? std::fopen(arguments[1], "rb") : nullptr;
    if (file == nullptr) {
        return 2;
    }
    std::size_t judged = 0;
    for (;;) {
        auto products = read_block<prudence::Product>(file);
        if (products.empty()) {
            break;
        }
        auto sets = read_block<std::uint64_t>(file);
        const auto starts = read_block<std::int64_t>(file);
        const auto users = read_block<prudence::User>(file);
        const auto user_sets = read_block<std::uint64_t>(file);
        const auto issuers = read_block<prudence::HeldIssuer>(file);
        const auto groups = read_block<std::int64_t>(file);
        const auto halted = read_block<std::uint8_t>(file);
        const auto level_cap = read_block<std::int64_t>(file);
        const auto user_of_pair = read_block<std::int64_t>(file);
        const auto rows = read_block<std::int64_t>(file);
        const auto expected = read_block<prudence::Mask>(file);

        std::array<std::int64_t, prudence::set_kind_count + 1> set_starts{};
        for (std::size_t kind = 0; kind < starts.size(); ++kind) {
            set_starts.at(kind) = starts[kind];
        }
        const prudence::Holdings held{issuers.data(), issuers.size(), groups.data(), groups.size()};
        const auto catalogue = prudence::make_catalogue(std::move(products), std::move(sets), set_starts);
        std::vector<prudence::Mask> masks(rows.size());
        prudence::judge_pairs(catalogue, {users.data(), users.size(), user_sets.data(), held},
                              {halted.data(), level_cap.at(0)}, {user_of_pair.data(), rows.data(), rows.size()},
                              masks.data());
        for (std::size_t pair = 0; pair < masks.size(); ++pair) {
            if (masks[pair].low != expected.at(pair).low || masks[pair].high != expected.at(pair).high) {
                return 1;
            }
        }
        judged += masks.size();
    }
    std::fclose(file);
    return judged == 0 ? 2 : 0;
}
