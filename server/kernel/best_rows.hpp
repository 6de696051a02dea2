// The best rows seen so far: score descending, row ascending.
//
// Rows are appended as they come. When the buffer is full, about the wanted number of the best are kept, and only
// what scores higher than the least of them is worth adding from then on.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "scan_tile.hpp"

namespace prudence {

// A row takes 32 bits of its number.
inline constexpr std::size_t scan_row_count_max = std::size_t{1} << 32;

// How many times the wanted rows the buffer takes: less costs more rounds, more a threshold that lags.
inline constexpr std::size_t buffer_factor = 2;
inline constexpr std::size_t buffer_count_min = 64;

// For so many wanted rows one more may be kept.
inline constexpr std::size_t spare_part = 8;

class BestRows {
  public:
    explicit BestRows(const std::int64_t wanted)
        : wanted_(static_cast<std::size_t>(wanted)),
          scores_(wanted_ == 0 ? 0 : count_full() + tile_rows),
          rows_(scores_.size()),
          numbers_(scores_.size()) {}

    std::size_t wanted() const { return wanted_; }

    bool has_wanted() const { return size_ >= wanted_; }

    // Forgets all rows, to look for as many as were wanted at first or fewer.
    void restart(const std::size_t wanted, const std::int32_t floor) {
        wanted_ = wanted;
        size_ = 0;
        floor_ = threshold_ = floor;
    }

    // The score that a row has to exceed, and that one after all rows added has to.
    std::int32_t floor() const { return floor_; }
    std::int32_t threshold() const { return threshold_; }

    // Adds a row; after as many as a tile has, there must be a trim.
    void add(const std::int64_t row, const std::int32_t score) {
        scores_[size_] = score;
        rows_[size_] = static_cast<std::uint32_t>(row);
        ++size_;
    }

    void trim() {
        if (size_ >= count_full()) {
            keep_best();
        }
    }

    // Returns a score that the wanted rows exceed, and few others of those added.
    std::int32_t find_floor() {
        if (!has_wanted()) {
            return INT32_MIN;
        }
        keep_best();
        return floor_;
    }

    // Writes rows and, unless nullptr, scores [count], best first; a place without a row gets row -1 and score 0.
    // Returns how many rows there are.
    std::int64_t write(const std::int64_t count, std::int64_t* const rows, std::int64_t* const scores) {
        if (size_ > count_kept()) {
            keep_best();
        }
        sort_numbers();
        const auto found = static_cast<std::int64_t>(std::min(size_, wanted_));
        for (std::int64_t place = 0; place < found; ++place) {
            rows[place] = static_cast<std::int64_t>(row_of(numbers_[static_cast<std::size_t>(place)]));
        }
        std::fill(rows + found, rows + count, std::int64_t{-1});
        for (std::int64_t place = 0; place < count && scores != nullptr; ++place) {
            scores[place] = place < found ? score_of(numbers_[static_cast<std::size_t>(place)]) : 0;
        }
        return found;
    }

  private:
    static constexpr std::uint32_t sign_bit = 0x80000000U;
    static constexpr std::uint32_t row_mask = 0xFFFFFFFFU;

    static std::int32_t score_of(const std::uint64_t number) {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(number >> 32) ^ sign_bit);
    }

    static std::uint32_t row_of(const std::uint64_t number) {
        return row_mask - static_cast<std::uint32_t>(number & row_mask);
    }

    std::size_t count_full() const { return std::max(buffer_factor * wanted_, buffer_count_min); }

    // Returns how many rows may be kept: finding the limit of exactly the wanted ones takes longer.
    std::size_t count_kept() const { return wanted_ + wanted_ / spare_part; }

    // Keeps the wanted rows and few more, of those with equal scores the lowest.
    void keep_best() {
        std::int32_t low = scores_[0];
        std::int32_t high = low;
        for (std::size_t place = 1; place < size_; ++place) {
            low = std::min(low, scores_[place]);
            high = std::max(high, scores_[place]);
        }
        --low;
        std::size_t above_low = size_;
        // More than low has at least the wanted rows, more than high has fewer.
        while (above_low > count_kept() && high - low > 1) {
            const std::int32_t middle = low + (high - low) / 2;
            const std::size_t above = count_above(middle);
            if (above < wanted_) {
                high = middle;
            } else {
                low = middle;
                above_low = above;
            }
        }
        keep_above(low);
        if (size_ > count_kept()) {
            sort_numbers();
            size_ = wanted_;
            for (std::size_t place = 0; place < size_; ++place) {
                scores_[place] = score_of(numbers_[place]);
                rows_[place] = row_of(numbers_[place]);
            }
        }
        floor_ = low;
        threshold_ = low + 1;
    }

    // Compilers turn this loop, which has no branch, into one over vectors.
    std::size_t count_above(const std::int32_t limit) const {
        std::uint32_t count = 0;
        for (std::size_t place = 0; place < size_; ++place) {
            count += scores_[place] > limit ? 1U : 0U;
        }
        return count;
    }

    // No branch depends on how two scores compare.
    void keep_above(const std::int32_t limit) {
        std::size_t kept = 0;
        for (std::size_t place = 0; place < size_; ++place) {
            const std::int32_t score = scores_[place];
            rows_[kept] = rows_[place];
            scores_[kept] = score;
            kept += score > limit ? 1 : 0;
        }
        size_ = kept;
    }

    // Sorts what is buffered as numbers, the largest first: a row and its score are one, the larger the better.
    void sort_numbers() {
        for (std::size_t place = 0; place < size_; ++place) {
            const std::uint32_t score = static_cast<std::uint32_t>(scores_[place]) ^ sign_bit;
            numbers_[place] = static_cast<std::uint64_t>(score) << 32 | (row_mask - rows_[place]);
        }
        std::sort(numbers_.begin(), numbers_.begin() + static_cast<std::ptrdiff_t>(size_), std::greater<std::uint64_t>());
    }

    std::size_t wanted_;
    std::size_t size_ = 0;
    std::int32_t floor_ = INT32_MIN;
    std::int32_t threshold_ = INT32_MIN;
    std::vector<std::int32_t> scores_;
    std::vector<std::uint32_t> rows_;
    std::vector<std::uint64_t> numbers_;
};

}  // namespace prudence
