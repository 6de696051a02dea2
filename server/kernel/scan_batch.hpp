// What a scan is asked, checked and made ready: the users, and which rows each chooses from.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "errors.hpp"
#include "scan_items.hpp"
#include "scan_tile.hpp"

namespace prudence {

inline constexpr std::int64_t scan_count_max = std::int64_t{1} << 20;

// The users of a call, each array [count]; see RowChoice.
struct ScanBatch {
    const std::int8_t* vectors;  // [count, dim]
    const std::int64_t* row_starts;
    const std::int64_t* row_stops;
    const std::uint8_t* const* bitmaps;
    const std::int64_t* wanted_counts;
    std::size_t count;
};

inline void require_in(const std::int64_t value, const std::int64_t high, const std::string& name) {
    if (value < 0 || value > high) {
        throw InputError(name + ": " + std::to_string(value) + "; expected 0 to " + std::to_string(high));
    }
}

inline void require_in(const std::int64_t value, const std::int64_t high, const char* const name,
                       const std::size_t position) {
    if (value < 0 || value > high) {
        throw InputError(std::string(name) + ": " + std::to_string(value) + " at position " +
                         std::to_string(position) + "; expected 0 to " + std::to_string(high));
    }
}

// The counts are those of rows wanted, and none exceeds the width of the result.
inline void require_scan(const ScanBatch& batch, const std::size_t row_count, const std::int64_t width) {
    for (std::size_t user = 0; user < batch.count; ++user) {
        require_in(batch.wanted_counts[user], std::min(width, scan_count_max), "counts", user);
        require_in(batch.row_stops[user], static_cast<std::int64_t>(row_count), "row_stops", user);
        require_in(batch.row_starts[user], batch.row_stops[user], "row_starts", user);
    }
}

// The rows that a user chooses from. A bitmap has row r at bit r % 8 of byte r / 8; nullptr is all rows.
struct RowChoice {
    std::int64_t start;
    std::int64_t stop;
    const std::uint8_t* bitmap;
};

// Returns eight bytes of a bitmap, or as many as are left, as a number: row r at bit r % 64.
inline std::uint64_t read_bits(const std::uint8_t* const bytes, const std::size_t left) {
    std::uint8_t copied[sizeof(std::uint64_t)] = {};
    if (left >= sizeof(copied)) {
        std::memcpy(copied, bytes, sizeof(copied));
    } else {
        std::memcpy(copied, bytes, left);
    }
    std::uint64_t word = 0;
    for (std::size_t place = 0; place < sizeof(copied); ++place) {
        word |= static_cast<std::uint64_t>(copied[place]) << (8 * place);
    }
    return word;
}

// Returns which of the tile's rows, from row `first`, are chosen; the first in the lowest bit.
inline std::uint64_t find_wanted(const RowChoice& choice, const std::size_t row_count, const std::int64_t first) {
    constexpr auto width = static_cast<std::int64_t>(tile_rows);
    if (first + width <= choice.start || first >= choice.stop) {
        return 0;
    }
    std::uint64_t word = ~std::uint64_t{0};
    if (choice.bitmap != nullptr) {
        const std::size_t byte = static_cast<std::size_t>(first) / 8;
        word = read_bits(choice.bitmap + byte, (row_count + 7) / 8 - byte);
    }
    if (first < choice.start) {
        word &= ~std::uint64_t{0} << (choice.start - first);
    }
    if (first + width > choice.stop) {
        word &= ~std::uint64_t{0} >> (first + width - choice.stop);
    }
    return word;
}

// The users as the paths read them.
class PaddedUsers {
  public:
    PaddedUsers(const ScanBatch& batch, const std::size_t dim)
        : bytes_(batch.count * pad_dim(dim), 0),
          wide_(bytes_.size(), 0),
          pairs_(bytes_.size(), 0),
          users_(batch.count) {
        for (std::size_t user = 0; user < batch.count; ++user) {
            std::int8_t* const bytes = bytes_.data() + user * pad_dim(dim);
            std::int16_t* const wide = wide_.data() + user * pad_dim(dim);
            std::int16_t* const pairs = pairs_.data() + user * pad_dim(dim);
            std::int32_t sum = 0;
            for (std::size_t position = 0; position < dim; ++position) {
                const std::int8_t value = batch.vectors[user * dim + position];
                const std::size_t of_four = position % 4;
                bytes[position] = value;
                wide[position] = value;
                pairs[position - of_four + of_four % 2 * 2 + of_four / 2] = value;
                sum += value;
            }
            users_[user] = ScanUser{bytes, wide, pairs, sum, INT32_MIN};
        }
    }

    ScanUser& operator[](const std::size_t user) { return users_[user]; }

  private:
    std::vector<std::int8_t> bytes_;
    std::vector<std::int16_t> wide_;
    std::vector<std::int16_t> pairs_;
    std::vector<ScanUser> users_;
};

}  // namespace prudence
