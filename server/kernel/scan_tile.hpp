// What every path of the scan shares: a tile of rows, the users that look at it, and the portable versions.
//
// A tile is 64 rows, so that one word holds a yes or no for each. A path first packs the tile's rows into its
// own layout, once for all users, then scores it for them. Vectors are read up to a multiple of 16 dims; users
// are padded with zeros, so what a row is followed by does not matter.

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
    const std::int16_t* pairs;  // [padded_dim]: of each four dims, the first and third, then the other two.
    std::int32_t sum;           // Of all bytes.
    std::int32_t threshold;     // Only rows with a higher score are wanted.
};

// What a path writes for one user: scores of the tile's rows, and a bit for each that exceeds the threshold.
struct TileScores {
    std::uint64_t above;
    std::int32_t values[tile_rows];
};

// Packs the rows [tile_rows], each readable up to padded_dim, to packed [tile_rows * padded_dim values].
using PackTile = void (*)(const std::int8_t* const* rows, std::size_t padded_dim, std::int8_t* packed);

// Scores the packed tile for users [user_count] to scores [user_count].
using ScoreTile = void (*)(const std::int8_t* packed, std::size_t padded_dim, const ScanUser* const* users,
                           std::size_t user_count, TileScores* scores);

// Reads four bytes of the user as the number that a vector register repeats.
template <typename T>
std::int32_t load_word(const T* const values) {
    std::int32_t word;
    std::memcpy(&word, values, sizeof(word));
    return word;
}

inline void pack_portable(const std::int8_t* const* const rows, const std::size_t padded_dim,
                          std::int8_t* const packed) {
    for (std::size_t row = 0; row < tile_rows && padded_dim > 0; ++row) {
        std::memcpy(packed + row * padded_dim, rows[row], padded_dim);
    }
}

inline void score_portable(const std::int8_t* const packed, const std::size_t padded_dim,
                           const ScanUser* const* const users, const std::size_t user_count,
                           TileScores* const scores) {
    for (std::size_t place = 0; place < user_count; ++place) {
        const ScanUser& user = *users[place];
        std::uint64_t above = 0;
        for (std::size_t row = 0; row < tile_rows; ++row) {
            const std::int8_t* const item = packed + row * padded_dim;
            std::int32_t sum = 0;
            for (std::size_t position = 0; position < padded_dim; ++position) {
                sum += static_cast<std::int32_t>(user.bytes[position]) * static_cast<std::int32_t>(item[position]);
            }
            scores[place].values[row] = sum;
            above |= static_cast<std::uint64_t>(sum > user.threshold) << row;
        }
        scores[place].above = above;
    }
}

}  // namespace prudence
