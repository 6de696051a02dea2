// One pass of the scan: adds to each user's best rows what exceeds their threshold.
//
// A tile of rows is scored for every user who wants much of what is around it, so memory is read once for a batch.
// A user who wants few rows there has them collected, and these are scored a tile at a time.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "best_rows.hpp"
#include "scan_batch.hpp"
#include "scan_few.hpp"
#include "scan_items.hpp"
#include "scan_tile.hpp"

namespace prudence {

// For so many users at most, packing a tile costs more than it saves.
inline constexpr std::size_t unpacked_user_count = 2;

// Users who want fewer than one row in so many have them collected: where nobody shares a tile, and in a batch.
inline constexpr std::int64_t few_ratio_alone = 8;
inline constexpr std::int64_t few_ratio_of_batch = 13;

// So many rows are scanned in one of the two ways before it is chosen again. Both in turns, from tile to tile,
// would take twice the time of the slower one: memory is fetched ahead for neither.
inline constexpr std::int64_t stretch_rows = 4096;

// One user of a scan.
struct Search {
    RowChoice choice;
    ScanUser user;
    BestRows best;
    FewRows few;
    bool wants_few;  // Of the stretch at hand.
};

// What one scan works with.
struct ScanState {
    ScanState(const ScanItems& items_, const ScanBatch& batch)
        : items(items_),
          users(batch, items.dim()),
          few_ratio(batch.count <= unpacked_user_count ? few_ratio_alone : few_ratio_of_batch),
          gathered(tile_rows * items.padded_dim()),
          packed(items.packed() ? 0 : gathered.size() * packed_value_size),
          scores(batch.count),
          looking(batch.count),
          looking_users(batch.count),
          wanted(batch.count) {
        active.reserve(batch.count);
        searches.reserve(batch.count);
        for (std::size_t user = 0; user < batch.count; ++user) {
            const RowChoice choice{batch.row_starts[user], batch.row_stops[user], batch.bitmaps[user]};
            const std::int64_t count = std::min(batch.wanted_counts[user], choice.stop - choice.start);
            searches.push_back({choice, users[user], BestRows(count), FewRows(choice.bitmap != nullptr), false});
        }
    }

    const ScanItems& items;
    PaddedUsers users;
    std::vector<Search> searches;
    const std::int64_t few_ratio;
    // Rows from different places, [tile_rows, padded_dim], and a tile as the path packs it.
    std::vector<std::int8_t> gathered;
    std::vector<std::int8_t> packed;
    std::vector<TileScores> scores;
    std::vector<Search*> active;  // Who takes part in the pass.
    // Of the users who look at the tile at hand: the search, the user as paths read it, and the rows wanted.
    std::vector<Search*> looking;
    std::vector<const ScanUser*> looking_users;
    std::vector<std::uint64_t> wanted;
};

inline std::int64_t count_bits(std::uint64_t word) {
    word -= word >> 1 & 0x5555555555555555U;
    word = (word & 0x3333333333333333U) + (word >> 2 & 0x3333333333333333U);
    word = (word + (word >> 4)) & 0x0F0F0F0F0F0F0F0FU;
    return static_cast<std::int64_t>(word * 0x0101010101010101U >> 56);
}

// Returns the lowest set bit's place in a word that is not 0.
inline std::size_t find_lowest(const std::uint64_t word) {
#if defined(__GNUC__)
    return static_cast<std::size_t>(__builtin_ctzll(word));
#else
    return static_cast<std::size_t>(count_bits((word & (~word + 1)) - 1));
#endif
}

// Scores the oldest rows that were collected. They may be lower than rows known before, so the threshold is not
// for them.
inline void score_few(ScanState& state, Search& search, const std::size_t count) {
    const std::int64_t* const rows = search.few.take(state.items, count, state.gathered.data());
    const std::size_t padded_dim = state.items.padded_dim();
    TileScores& scores = state.scores[0];
    state.items.path().score_rows({state.gathered.data(), padded_dim}, padded_dim, search.user, scores);
    for (std::size_t place = 0; place < count; ++place) {
        if (scores.values[place] > search.best.floor()) {
            search.best.add(rows[place], scores.values[place]);
        }
    }
    search.best.trim();
    search.user.threshold = search.best.threshold();
}

inline void collect_rows(ScanState& state, Search& search, std::uint64_t wanted, const std::int64_t first) {
    for (; wanted != 0; wanted &= wanted - 1) {
        if (search.few.add(state.items, first + static_cast<std::int64_t>(find_lowest(wanted)))) {
            score_few(state, search, tile_rows);
        }
    }
}

// Scores the tile from row `first` for the users [looking_count] who look at it.
inline void score_tile(ScanState& state, const std::size_t looking_count, const std::size_t first) {
    const ScanPath& path = state.items.path();
    const std::size_t padded_dim = state.items.padded_dim();
    const ScanUser* const* const users = state.looking_users.data();
    if (state.items.packed()) {
        path.score(state.items.find_packed(first), padded_dim, users, looking_count, state.scores.data());
        return;
    }
    const TileRows rows = state.items.find_tile(first, state.gathered.data());
    if (looking_count > unpacked_user_count) {
        path.pack(rows, padded_dim, state.packed.data());
        path.score(state.packed.data(), padded_dim, users, looking_count, state.scores.data());
        return;
    }
    for (std::size_t place = 0; place < looking_count; ++place) {
        path.score_rows(rows, padded_dim, *users[place], state.scores[place]);
    }
}

// Adds the rows of the tile from row `first` that exceed the threshold.
inline void add_rows(Search& search, const TileScores& scores, std::uint64_t above, const std::int64_t first) {
    for (; above != 0; above &= above - 1) {
        const std::size_t place = find_lowest(above);
        search.best.add(first + static_cast<std::int64_t>(place), scores.values[place]);
    }
    search.best.trim();
    search.user.threshold = search.best.threshold();
}

// Chooses how each active user's rows are scanned in the stretch from row `first`.
inline void choose_ways(ScanState& state, const std::int64_t first) {
    for (Search* const search : state.active) {
        const RowChoice& choice = search->choice;
        const std::int64_t start = std::max(first, choice.start);
        const std::int64_t stop = std::min(first + stretch_rows, choice.stop);
        if (choice.bitmap == nullptr || start >= stop) {
            continue;
        }
        std::int64_t wanted_count = 0;
        for (std::int64_t row = first; row < stop; row += static_cast<std::int64_t>(tile_rows)) {
            wanted_count += count_bits(find_wanted(choice, state.items.row_count(), row));
        }
        search->wants_few = wanted_count * state.few_ratio < stop - start;
    }
}

// Scans the tile from row `first` for every active user who wants some of it.
inline void scan_tile(ScanState& state, const std::int64_t first) {
    const std::size_t row_count = state.items.row_count();
    std::size_t looking_count = 0;
    for (Search* const search : state.active) {
        const std::uint64_t wanted = find_wanted(search->choice, row_count, first);
        if (wanted == 0) {
            continue;
        }
        if (search->wants_few) {
            collect_rows(state, *search, wanted, first);
            continue;
        }
        state.looking[looking_count] = search;
        state.looking_users[looking_count] = &search->user;
        state.wanted[looking_count] = wanted;
        ++looking_count;
    }
    if (looking_count == 0) {
        return;
    }
    score_tile(state, looking_count, static_cast<std::size_t>(first));
    for (std::size_t place = 0; place < looking_count; ++place) {
        const std::uint64_t above = state.scores[place].above & state.wanted[place];
        if (above != 0) {
            add_rows(*state.looking[place], state.scores[place], above, first);
        }
    }
}

// Rows [start, stop).
struct Span {
    std::int64_t start;
    std::int64_t stop;
};

// Returns the rows among which the active users choose.
inline Span find_span(const ScanState& state) {
    Span span{static_cast<std::int64_t>(state.items.row_count()), 0};
    for (const Search* const search : state.active) {
        span.start = std::min(span.start, search->choice.start);
        span.stop = std::max(span.stop, search->choice.stop);
    }
    return span;
}

// Scans all rows for the active users.
inline void scan_rows(ScanState& state) {
    const Span span = find_span(state);
    for (std::int64_t first = span.start / stretch_rows * stretch_rows; first < span.stop; first += stretch_rows) {
        choose_ways(state, first);
        const std::int64_t end = std::min(first + stretch_rows, span.stop);
        for (std::int64_t row = first; row < end; row += static_cast<std::int64_t>(tile_rows)) {
            scan_tile(state, row);
        }
    }
    for (Search* const search : state.active) {
        while (search->few.waiting() > 0) {
            score_few(state, *search, std::min(search->few.waiting(), tile_rows));
        }
    }
}

}  // namespace prudence
