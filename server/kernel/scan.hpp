// The int8 scan: for each user of a batch, the best rows of a range, less those that a bitmap rules out.
//
// The definition is index/reference.py. Scores are exact and the order is total (score descending, row
// ascending), so a user's result depends neither on the path nor on the rest of the batch.
//
// Where many rows are wanted, a sample of them is scored first. It tells what the best rows will about score, so
// that few others are ever added. Where fewer than wanted turn out to score so much, the user's rows are scanned
// once more without a limit: a sample may cost time, and never changes a result.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scan_batch.hpp"
#include "scan_items.hpp"
#include "scan_pass.hpp"

namespace prudence {

// One tile in so many is in the sample.
inline constexpr std::int64_t sample_part = 64;

// A sample is taken where it has so many times the rows that are asked of it.
inline constexpr std::int64_t sample_factor = 16;

// Returns how many of the best rows of a sample are asked for. So many may be expected to be among the best
// `wanted` of all, and three standard deviations and three more, so that the last of them nearly never is.
inline std::int64_t count_sampled_best(const std::size_t wanted) {
    const double expected = static_cast<double>(wanted) / static_cast<double>(sample_part);
    return static_cast<std::int64_t>(expected + 3.0 * std::sqrt(expected) + 3.0);
}

// Calls for the first row of each tile in the sample of a span.
template <typename Call>
void for_each_sampled(const Span& span, const Call& call) {
    constexpr auto width = static_cast<std::int64_t>(tile_rows);
    for (std::int64_t row = span.start / width * width; row < span.stop; row += sample_part * width) {
        call(row);
    }
}

// Tells whether a user wants enough of a sample's rows, and not so few of each tile that they are better collected.
inline bool wants_sample(const ScanState& state, const Search& search, const Span& span) {
    std::int64_t wanted_count = 0;
    std::int64_t row_count = 0;
    for_each_sampled(span, [&](const std::int64_t row) {
        const std::int64_t found = count_bits(find_wanted(search.choice, state.items.row_count(), row));
        wanted_count += found;
        row_count += found > 0 ? static_cast<std::int64_t>(tile_rows) : 0;
    });
    return wanted_count >= sample_factor * count_sampled_best(search.best.wanted()) &&
           wanted_count * state.few_ratio >= row_count;
}

// Gives the users whom a sample helps the score that their best rows are expected to exceed.
inline void sample_floors(ScanState& state) {
    const Span span = find_span(state);
    const std::vector<Search*> all = state.active;
    const auto sampled = std::partition(state.active.begin(), state.active.end(), [&](const Search* const search) {
        return wants_sample(state, *search, span);
    });
    state.active.erase(sampled, state.active.end());
    std::vector<std::size_t> wanted_counts;
    for (Search* const search : state.active) {
        wanted_counts.push_back(search->best.wanted());
        search->best.restart(static_cast<std::size_t>(count_sampled_best(search->best.wanted())), INT32_MIN);
    }
    for_each_sampled(span, [&](const std::int64_t row) { scan_tile(state, row); });
    for (std::size_t place = 0; place < state.active.size(); ++place) {
        Search& search = *state.active[place];
        search.best.restart(wanted_counts[place], search.best.find_floor());
        search.user.threshold = search.best.threshold();
    }
    state.active = all;
}

// Scans once more for the users of whose rows too few exceed the floor.
inline void scan_again(ScanState& state) {
    const auto missed = std::partition(state.active.begin(), state.active.end(), [](const Search* const search) {
        return search->best.floor() != INT32_MIN && !search->best.has_wanted();
    });
    state.active.erase(missed, state.active.end());
    for (Search* const search : state.active) {
        search->best.restart(search->best.wanted(), INT32_MIN);
        search->few.restart();
        search->user.threshold = search->best.threshold();
    }
    scan_rows(state);
}

// Writes the best rows and, unless nullptr, their scores, both [users, width]; a place without a row gets row -1
// and score 0. Returns how many rows each user has.
inline std::vector<std::int64_t> scan(const ScanItems& items, const ScanBatch& batch, const std::int64_t width,
                 std::int64_t* const rows, std::int64_t* const scores) {
    require_scan(batch, items.row_count(), width);
    ScanState state(items, batch);
    for (Search& search : state.searches) {
        if (search.best.wanted() > 0) {
            state.active.push_back(&search);
        }
    }
    sample_floors(state);
    scan_rows(state);
    scan_again(state);
    std::vector<std::int64_t> found;
    for (Search& search : state.searches) {
        const std::int64_t place = static_cast<std::int64_t>(found.size()) * width;
        found.push_back(search.best.write(width, rows + place, scores == nullptr ? nullptr : scores + place));
    }
    return found;
}

}  // namespace prudence
