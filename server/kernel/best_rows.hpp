// The best rows seen so far: score descending, row ascending.
//
// A row and its score are one number, the larger the better, so that rows may be added in any order. When the
// buffer is full, the best are kept, and only what is larger than the least of them is taken from then on.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace prudence {

// A row takes 32 bits of its number.
inline constexpr std::size_t scan_row_count_max = std::size_t{1} << 32;

// How many times the wanted rows the buffer takes: less costs more rounds, more a threshold that lags.
inline constexpr std::size_t buffer_factor = 2;
inline constexpr std::size_t buffer_count_min = 64;

class BestRows {
  public:
    explicit BestRows(const std::int64_t wanted)
        : wanted_(static_cast<std::size_t>(wanted)),
          numbers_(wanted == 0 ? 0 : std::max(buffer_factor * wanted_, buffer_count_min)) {}

    std::size_t wanted() const { return wanted_; }

    // The score of the row that others have to exceed, or to equal with a lower row.
    std::int32_t threshold() const { return score_of(least_); }

    // Adds a row, unless enough better ones are known.
    void add(const std::int64_t row, const std::int32_t score) {
        const std::uint64_t number =
            (static_cast<std::uint64_t>(static_cast<std::uint32_t>(score) ^ sign_bit) << 32) |
            (row_mask - static_cast<std::uint64_t>(row));
        if (number < least_) {
            return;
        }
        numbers_[size_++] = number;
        if (size_ == numbers_.size()) {
            keep_best();
        }
    }

    // Writes rows and, unless nullptr, scores [count], best first; a place without a row gets row -1 and score 0.
    void write(const std::int64_t count, std::int64_t* const rows, std::int64_t* const scores) {
        const auto found = static_cast<std::int64_t>(std::min(size_, wanted_));
        if (size_ > wanted_) {
            keep_best();
        }
        const auto end = numbers_.begin() + found;
        std::sort(numbers_.begin(), end, std::greater<std::uint64_t>());
        for (std::int64_t place = 0; place < found; ++place) {
            rows[place] = static_cast<std::int64_t>(row_mask - (numbers_[static_cast<std::size_t>(place)] & row_mask));
        }
        std::fill(rows + found, rows + count, std::int64_t{-1});
        for (std::int64_t place = 0; place < count && scores != nullptr; ++place) {
            scores[place] = place < found ? score_of(numbers_[static_cast<std::size_t>(place)]) : 0;
        }
    }

  private:
    static constexpr std::uint32_t sign_bit = 0x80000000U;
    static constexpr std::uint64_t row_mask = 0xFFFFFFFFU;

    static std::int32_t score_of(const std::uint64_t number) {
        return static_cast<std::int32_t>(static_cast<std::uint32_t>(number >> 32) ^ sign_bit);
    }

    // Moves the wanted numbers to the front. As std::nth_element, but no branch depends on how two numbers compare,
    // and a span that halves takes 64 rounds at most.
    void keep_best() {
        std::size_t begin = 0;
        std::size_t end = size_;
        std::uint64_t low = find_least(begin, end);
        std::uint64_t high = find_largest(begin, end);
        while (end > wanted_) {
            const std::uint64_t middle = low + (high - low) / 2;
            const std::size_t split = move_larger(begin, end, middle);
            if (split < wanted_) {
                begin = split;
                high = middle;
            } else {
                end = split;
                low = middle + 1;
            }
        }
        size_ = wanted_;
        least_ = find_least(begin, end);
    }

    // Moves the numbers beyond a limit before the others, and returns where these begin.
    std::size_t move_larger(const std::size_t begin, const std::size_t end, const std::uint64_t limit) {
        std::size_t split = begin;
        for (std::size_t place = begin; place < end; ++place) {
            const std::uint64_t number = numbers_[place];
            numbers_[place] = numbers_[split];
            numbers_[split] = number;
            split += number > limit;
        }
        return split;
    }

    std::uint64_t find_least(const std::size_t begin, const std::size_t end) const {
        std::uint64_t least = UINT64_MAX;
        for (std::size_t place = begin; place < end; ++place) {
            least = std::min(least, numbers_[place]);
        }
        return least;
    }

    std::uint64_t find_largest(const std::size_t begin, const std::size_t end) const {
        std::uint64_t largest = 0;
        for (std::size_t place = begin; place < end; ++place) {
            largest = std::max(largest, numbers_[place]);
        }
        return largest;
    }

    std::size_t wanted_;
    std::size_t size_ = 0;
    std::uint64_t least_ = 0;
    std::vector<std::uint64_t> numbers_;
};

}  // namespace prudence
