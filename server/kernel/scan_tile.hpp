// What every path of the scan shares: a tile of rows, the users that look at it, and the portable versions.
//
// A tile is 64 rows, so that one word holds a yes or no for each. For many users, a path packs the rows into its
// own layout and then scores them for all; for few, it scores the rows where they are, unless they were packed
// before. Vectors are read up to a multiple of 16 dims; users are padded with zeros, so what follows a row does
// not matter.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace prudence {

inline constexpr std::size_t tile_rows = 64;
inline constexpr std::size_t dim_step = 16;

// The largest size of a packed value: the paths that multiply int16 widen the rows when they pack them.
inline constexpr std::size_t packed_value_size = 2;

// A user as the paths read it, padded to a multiple of dim_step.
struct ScanUser {
    const std::int8_t* bytes;   // [padded_dim]
    const std::int16_t* wide;   // [padded_dim]
    const std::int16_t* pairs;  // [padded_dim]: of each four dims, the first and third, then the other two.
    std::int32_t sum;           // Of all bytes.
    std::int32_t threshold;     // Only rows with a higher score are wanted.
};

// What a path writes for one user: the scores of the tile's rows, and a bit for each that exceeds the threshold.
struct alignas(64) TileScores {
    std::int32_t values[tile_rows];
    std::uint64_t above;
};

// The rows [tile_rows] of a tile, each readable up to the padded dim.
struct TileRows {
    const std::int8_t* first;
    std::size_t stride;

    const std::int8_t* operator[](const std::size_t row) const { return first + row * stride; }
};

// Packs the tile's rows to packed [tile_rows * padded_dim values].
using PackTile = void (*)(TileRows rows, std::size_t padded_dim, std::int8_t* packed);

// Scores the packed tile for users [user_count] to scores [user_count].
using ScoreTile = void (*)(const std::int8_t* packed, std::size_t padded_dim, const ScanUser* const* users,
                           std::size_t user_count, TileScores* scores);

// Scores the tile's rows for one user.
using ScoreRows = void (*)(TileRows rows, std::size_t padded_dim, const ScanUser& user, TileScores& scores);

// One way to compute the same scores.
struct ScanPath {
    const char* name;
    bool available;
    bool packs_bytes;  // Whether a packed tile is no larger than its rows, so that all may be kept packed.
    PackTile pack;
    ScoreTile score;
    ScoreRows score_rows;
};

// Reads four bytes of the user as the number that a vector register repeats.
template <typename T>
std::int32_t load_word(const T* const values) {
    std::int32_t word;
    std::memcpy(&word, values, sizeof(word));
    return word;
}

inline void score_rows_portable(const TileRows rows, const std::size_t padded_dim, const ScanUser& user,
                                TileScores& scores) {
    scores.above = 0;
    for (std::size_t row = 0; row < tile_rows; ++row) {
        std::int32_t sum = 0;
        for (std::size_t position = 0; position < padded_dim; ++position) {
            sum += std::int32_t{user.bytes[position]} * std::int32_t{rows[row][position]};
        }
        scores.values[row] = sum;
        scores.above |= static_cast<std::uint64_t>(sum > user.threshold) << row;
    }
}

// Layout: [tile_rows][padded_dim].
inline void pack_portable(const TileRows rows, const std::size_t padded_dim, std::int8_t* const packed) {
    for (std::size_t row = 0; row < tile_rows && padded_dim > 0; ++row) {
        std::memcpy(packed + row * padded_dim, rows[row], padded_dim);
    }
}

inline void score_portable(const std::int8_t* const packed, const std::size_t padded_dim,
                           const ScanUser* const* const users, const std::size_t user_count,
                           TileScores* const scores) {
    const TileRows rows{packed, padded_dim};
    for (std::size_t user = 0; user < user_count; ++user) {
        score_rows_portable(rows, padded_dim, *users[user], scores[user]);
    }
}

}  // namespace prudence
