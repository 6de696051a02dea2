// What a scan is asked, checked and made ready: the users, the items, which rows a user wants.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "best_rows.hpp"
#include "errors.hpp"
#include "scan_tile.hpp"

namespace prudence {

// Sums of products of int8 stay within 2^30, and below 2^31 while 128 is added to one of the two.
inline constexpr std::size_t scan_dim_max = 65536;
inline constexpr std::int64_t scan_count_max = std::int64_t{1} << 20;

// Item vectors, row-major [row_count, dim].
struct ByteMatrix {
    const std::int8_t* values;
    std::size_t row_count;
    std::size_t dim;
};

// The users of a call, each array [count]. A bitmap has row r at bit r % 8 of byte r / 8; nullptr is all rows.
struct ScanBatch {
    const std::int8_t* vectors;  // [count, dim]
    const std::int64_t* row_starts;
    const std::int64_t* row_stops;
    const std::uint8_t* const* bitmaps;
    std::size_t count;
};

inline std::size_t pad_dim(const std::size_t dim) { return (dim + dim_step - 1) / dim_step * dim_step; }

inline void require_in(const std::int64_t value, const std::int64_t high, const char* const name,
                       const std::size_t position) {
    if (value < 0 || value > high) {
        throw InputError(std::string(name) + ": " + std::to_string(value) + " at position " +
                         std::to_string(position) + "; expected 0 to " + std::to_string(high));
    }
}

inline void require_at_most(const std::size_t value, const std::size_t high, const char* const name) {
    if (value > high) {
        throw InputError(std::string(name) + " " + std::to_string(value) + "; expected at most " +
                         std::to_string(high));
    }
}

inline void require_scan(const ScanBatch& batch, const ByteMatrix& items, const std::int64_t count) {
    require_at_most(items.dim, scan_dim_max, "items: dim");
    require_at_most(items.row_count, scan_row_count_max, "items: row count");
    if (count < 0 || count > scan_count_max) {
        throw InputError("count: " + std::to_string(count) + "; expected 0 to " + std::to_string(scan_count_max));
    }
    for (std::size_t user = 0; user < batch.count; ++user) {
        require_in(batch.row_stops[user], static_cast<std::int64_t>(items.row_count), "row_stops", user);
        require_in(batch.row_starts[user], batch.row_stops[user], "row_starts", user);
    }
}

// Returns which of the tile's rows, from row `first`, the user wants; the first in the lowest bit.
inline std::uint64_t find_wanted(const ScanBatch& batch, const std::size_t row_count, const std::size_t user,
                                 const std::int64_t first) {
    constexpr auto width = static_cast<std::int64_t>(tile_rows);
    const std::int64_t start = std::max(batch.row_starts[user] - first, std::int64_t{0});
    const std::int64_t stop = std::min(batch.row_stops[user] - first, width);
    if (start >= stop) {
        return 0;
    }
    std::uint64_t word = ~std::uint64_t{0};
    const std::uint8_t* const bitmap = batch.bitmaps[user];
    if (bitmap != nullptr) {
        const std::size_t byte = static_cast<std::size_t>(first) / 8;
        const std::size_t left = (row_count + 7) / 8 - byte;
        std::uint8_t bytes[sizeof(word)] = {};
        if (left >= sizeof(word)) {
            std::memcpy(bytes, bitmap + byte, sizeof(word));
        } else {
            std::memcpy(bytes, bitmap + byte, left);
        }
        word = 0;
        for (std::size_t place = 0; place < sizeof(word); ++place) {
            word |= static_cast<std::uint64_t>(bytes[place]) << (8 * place);
        }
    }
    return word >> start << start << (width - stop) >> (width - stop);
}

// Item rows that may be read up to the padded dim: the last ones are copied to where something follows them.
class PaddedRows {
  public:
    explicit PaddedRows(const ByteMatrix& items) : items_(items), first_copied_(items.row_count) {
        const std::size_t padded_dim = pad_dim(items.dim);
        std::size_t copied = 0;
        if (items.dim > 0) {
            first_copied_ -= std::min(items.row_count, (padded_dim - 1) / items.dim);
            copied = (items.row_count - first_copied_) * items.dim;
        }
        last_rows_.assign(copied + padded_dim, 0);
        if (copied > 0) {
            std::memcpy(last_rows_.data(), items.values + first_copied_ * items.dim, copied);
        }
    }

    const std::int8_t* find(const std::size_t row) const {
        return row < first_copied_ ? items_.values + row * items_.dim
                                   : last_rows_.data() + (row - first_copied_) * items_.dim;
    }

    // Whether all rows of the tile at row `first` may be read where they are.
    bool has_tile(const std::size_t first) const { return first + tile_rows <= first_copied_; }

  private:
    ByteMatrix items_;
    std::size_t first_copied_;
    std::vector<std::int8_t> last_rows_;
};

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
