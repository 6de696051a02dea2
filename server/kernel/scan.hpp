// The int8 scan: for each user of a batch, the best rows of a range, less those that a bitmap rules out.
//
// The definition is index/reference.py. Scores are exact and the order is total (score descending, row
// ascending), so a user's result depends neither on the path nor on the rest of the batch. A tile of rows is
// packed once and scored for every user who wants some of it, so memory is read once for a batch. For a user
// who wants few rows of a range, only these are packed and scored.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "best_rows.hpp"
#include "dispatch.hpp"
#include "scan_batch.hpp"
#include "scan_tile.hpp"

namespace prudence {

// A user who wants fewer than one row in so many has them collected one by one.
inline constexpr std::int64_t sparse_ratio = 6;

// For so many users at most, packing a tile costs more than it saves.
inline constexpr std::size_t unpacked_user_count = 2;

// What one scan works with. Nothing is allocated after this is made.
struct ScanState {
    ScanState(const ScanPath& path_, const ByteMatrix& items_, const ScanBatch& batch_, const std::int64_t count)
        : path(path_),
          items(items_),
          batch(batch_),
          padded_dim(pad_dim(items_.dim)),
          rows(items_),
          users(batch_, items_.dim),
          gathered(tile_rows * padded_dim),
          packed(tile_rows * padded_dim * packed_value_size),
          scores(batch_.count),
          wanted(batch_.count),
          looking(batch_.count),
          looking_users(batch_.count) {
        best.reserve(batch.count);
        for (std::size_t user = 0; user < batch.count; ++user) {
            best.emplace_back(std::min(count, batch.row_stops[user] - batch.row_starts[user]));
        }
    }

    const ScanPath path;
    const ByteMatrix items;
    const ScanBatch batch;
    const std::size_t padded_dim;
    const PaddedRows rows;
    PaddedUsers users;
    std::vector<BestRows> best;
    // Rows from different places, [tile_rows, padded_dim], and a tile as the path packs it.
    std::vector<std::int8_t> gathered;
    std::vector<std::int8_t> packed;
    std::vector<TileScores> scores;
    // Of the users who want rows of the tile at hand: those rows, the user, and the user as paths read it.
    std::vector<std::uint64_t> wanted;
    std::vector<std::size_t> looking;
    std::vector<const ScanUser*> looking_users;
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

inline std::int64_t tile_of(const std::int64_t row) {
    constexpr auto width = static_cast<std::int64_t>(tile_rows);
    return row / width * width;
}

// Whether the user wants few rows, so that collecting them costs less than scoring all.
inline bool wants_few(const ScanState& state, const std::size_t user) {
    if (state.batch.bitmaps[user] == nullptr) {
        return false;
    }
    const std::int64_t start = state.batch.row_starts[user];
    const std::int64_t stop = state.batch.row_stops[user];
    std::int64_t wanted_count = 0;
    for (std::int64_t first = tile_of(start); first < stop; first += static_cast<std::int64_t>(tile_rows)) {
        wanted_count += count_bits(find_wanted(state.batch, state.items.row_count, user, first));
    }
    return wanted_count < (stop - start) / sparse_ratio;
}

// Copies a row to its place in the tile that is put together.
inline void copy_row(ScanState& state, const std::int8_t* const row, const std::size_t place) {
    std::int8_t* const to = state.gathered.data() + place * state.padded_dim;
    for (std::size_t position = 0; position < state.padded_dim; position += dim_step) {
        std::memcpy(to + position, row + position, dim_step);
    }
}

// Returns the tile at row `first`; the last ones are put together, and repeat the first row past the last.
inline TileRows find_tile(ScanState& state, const std::size_t first) {
    if (state.rows.has_tile(first)) {
        return {state.items.values + first * state.items.dim, state.items.dim};
    }
    for (std::size_t place = 0; place < tile_rows; ++place) {
        copy_row(state, state.rows.find(first + place < state.items.row_count ? first + place : first), place);
    }
    return {state.gathered.data(), state.padded_dim};
}

// Rows of one user that wait until a tile is full.
struct Collected {
    std::array<std::int64_t, tile_rows> row_numbers;
    std::array<const std::int8_t*, tile_rows> rows;
    std::size_t count;
};

inline void score_collected(ScanState& state, const std::size_t user, Collected& collected) {
    if (collected.count == 0) {
        return;
    }
    for (std::size_t place = 0; place < collected.count; ++place) {
        copy_row(state, collected.rows[place], place);
    }
    ScanUser& padded = state.users[user];
    TileScores& scores = state.scores[0];
    state.path.score_rows({state.gathered.data(), state.padded_dim}, state.padded_dim, padded, scores);
    for (std::size_t place = 0; place < collected.count; ++place) {
        if (scores.values[place] > padded.threshold) {
            padded.threshold =
                state.best[user].add(collected.row_numbers[place], scores.values[place], padded.threshold);
        }
    }
    collected.count = 0;
}

// Scores the rows that the user wants, and no others.
inline void scan_few(ScanState& state, const std::size_t user) {
    Collected collected{};
    const std::int64_t stop = state.batch.row_stops[user];
    std::int64_t first = tile_of(state.batch.row_starts[user]);
    for (; first < stop; first += static_cast<std::int64_t>(tile_rows)) {
        std::uint64_t wanted = find_wanted(state.batch, state.items.row_count, user, first);
        for (; wanted != 0; wanted &= wanted - 1) {
            const std::int64_t row = first + static_cast<std::int64_t>(find_lowest(wanted));
            const std::int8_t* const values = state.rows.find(static_cast<std::size_t>(row));
            collected.row_numbers[collected.count] = row;
            collected.rows[collected.count] = values;
#if defined(__GNUC__)
            __builtin_prefetch(values);
#endif
            if (++collected.count == tile_rows) {
                score_collected(state, user, collected);
            }
        }
    }
    score_collected(state, user, collected);
}

// Scores the tile from row `first` for the users [looking_count] at hand.
inline void score_tile(ScanState& state, const std::size_t looking_count, const std::int64_t first) {
    const TileRows rows = find_tile(state, static_cast<std::size_t>(first));
    if (looking_count <= unpacked_user_count) {
        for (std::size_t place = 0; place < looking_count; ++place) {
            const ScanUser& user = *state.looking_users[place];
            state.path.score_rows(rows, state.padded_dim, user, state.scores[place]);
        }
        return;
    }
    state.path.pack(rows, state.padded_dim, state.packed.data());
    state.path.score(state.packed.data(), state.padded_dim, state.looking_users.data(), looking_count,
                     state.scores.data());
}

// Scores the tile from row `first` for the users [dense_count] of `dense` who want some of it.
inline void scan_tile(ScanState& state, const std::vector<std::size_t>& dense, const std::int64_t first) {
    std::size_t looking_count = 0;
    for (const std::size_t user : dense) {
        const std::uint64_t wanted = find_wanted(state.batch, state.items.row_count, user, first);
        state.wanted[looking_count] = wanted;
        state.looking[looking_count] = user;
        state.looking_users[looking_count] = &state.users[user];
        looking_count += wanted != 0;
    }
    if (looking_count == 0) {
        return;
    }
    score_tile(state, looking_count, first);
    for (std::size_t place = 0; place < looking_count; ++place) {
        const TileScores& scores = state.scores[place];
        const std::size_t user = state.looking[place];
        std::int32_t threshold = state.users[user].threshold;
        for (std::uint64_t left = scores.above & state.wanted[place]; left != 0; left &= left - 1) {
            const std::size_t row_in_tile = find_lowest(left);
            const std::int64_t row = first + static_cast<std::int64_t>(row_in_tile);
            if (scores.values[row_in_tile] > threshold) {
                threshold = state.best[user].add(row, scores.values[row_in_tile], threshold);
            }
        }
        state.users[user].threshold = threshold;
    }
}

// Writes the best rows and their scores, both [users, count]; a place without a row gets row -1 and score 0.
inline void scan(const ScanPath& path, const ByteMatrix& items, const ScanBatch& batch, const std::int64_t count,
                 std::int64_t* const rows, std::int64_t* const scores) {
    require_scan(batch, items, count);
    ScanState state(path, items, batch, count);
    std::vector<std::size_t> dense;
    std::int64_t start = INT64_MAX;
    std::int64_t stop = 0;
    for (std::size_t user = 0; user < batch.count; ++user) {
        if (state.best[user].wanted() == 0) {
            continue;
        }
        if (wants_few(state, user)) {
            scan_few(state, user);
        } else {
            dense.push_back(user);
            start = std::min(start, batch.row_starts[user]);
            stop = std::max(stop, batch.row_stops[user]);
        }
    }
    for (std::int64_t first = tile_of(start); first < stop; first += static_cast<std::int64_t>(tile_rows)) {
        scan_tile(state, dense, first);
    }
    for (std::size_t user = 0; user < batch.count; ++user) {
        const std::int64_t place = static_cast<std::int64_t>(user) * count;
        state.best[user].write(count, rows + place, scores + place);
    }
}

}  // namespace prudence
