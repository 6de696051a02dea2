// Integer score and select. Pure C++17, no Python.
//
// The definition is index/reference.py; tests compare the two bit for bit.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "dot.hpp"
#include "errors.hpp"

namespace prudence {

inline constexpr std::int64_t k_max = 10000;

// How many items ahead of their turn are asked for.
inline constexpr std::size_t rescore_fetch_distance = 16;

// Item vectors, row-major [row_count, dim].
struct ItemMatrix {
    const std::int32_t* values;
    std::size_t row_count;
    std::size_t dim;
};

// Item rows chosen by a caller, [count].
struct RowList {
    const std::int64_t* rows;
    std::size_t count;
};

// Scores [count] with the rank of each product id: by position, or by row where the rows [count] are given. A rank
// is read only where two scores are equal.
struct Scores {
    const std::int64_t* values;
    const std::int64_t* id_rank;
    std::size_t count;
    const std::int64_t* rows = nullptr;

    std::int64_t rank(const std::int64_t position) const {
        return id_rank[rows == nullptr ? position : rows[position]];
    }
};

inline void require_rows(const RowList& chosen, const std::size_t row_count) {
    const auto limit = static_cast<std::int64_t>(row_count);
    for (std::size_t position = 0; position < chosen.count; ++position) {
        const std::int64_t row = chosen.rows[position];
        if (row < 0 || row >= limit) {
            throw InputError("rows: row " + std::to_string(row) + " at position " + std::to_string(position) +
                             "; expected 0 <= row < " + std::to_string(limit));
        }
    }
}

// Asks for an item's memory before its turn: rows come in the order of scores, each from another place.
inline void fetch_row(const ItemMatrix& items, const std::size_t row) {
#if defined(__GNUC__)
    const auto* const bytes = reinterpret_cast<const char*>(items.values + row * items.dim);
    for (std::size_t position = 0; position < items.dim * sizeof(std::int32_t); position += 64) {
        __builtin_prefetch(bytes + position);
    }
#else
    static_cast<void>(items);
    static_cast<void>(row);
#endif
}

// Writes the score of each chosen row to scores [chosen.count], in the order given.
inline void rescore(const std::int32_t* const user, const ItemMatrix& items, const RowList& chosen,
                    std::int64_t* const scores) {
    require_rows(chosen, items.row_count);
    const Dot dot = find_dot();
    for (std::size_t turn = 0; turn < chosen.count + rescore_fetch_distance; ++turn) {
        if (turn < chosen.count) {
            fetch_row(items, static_cast<std::size_t>(chosen.rows[turn]));
        }
        if (turn >= rescore_fetch_distance) {
            const std::size_t position = turn - rescore_fetch_distance;
            const auto row = static_cast<std::size_t>(chosen.rows[position]);
            scores[position] = dot(user, items.values + row * items.dim, items.dim);
        }
    }
}

// Returns the positions of the best k, best first: score descending, then id_rank ascending.
// Ranks are distinct, so the order is total and the same on every machine.
inline std::vector<std::int64_t> select(const Scores& scores, const std::int64_t k) {
    if (k < 0 || k > k_max) {
        throw InputError("k: " + std::to_string(k) + "; expected 0 <= k <= " + std::to_string(k_max));
    }
    const auto ranks_before = [&scores](const std::int64_t left, const std::int64_t right) {
        const std::int64_t left_score = scores.values[left];
        const std::int64_t right_score = scores.values[right];
        return left_score != right_score ? left_score > right_score : scores.rank(left) < scores.rank(right);
    };
    std::vector<std::int64_t> positions(scores.count);
    std::iota(positions.begin(), positions.end(), std::int64_t{0});
    const std::size_t wanted = std::min(static_cast<std::size_t>(k), positions.size());
    const auto end = positions.begin() + static_cast<std::ptrdiff_t>(wanted);
    if (end != positions.end()) {
        std::nth_element(positions.begin(), end, positions.end(), ranks_before);
    }
    std::sort(positions.begin(), end, ranks_before);
    positions.resize(wanted);
    return positions;
}

}  // namespace prudence
