// Rows that a user wants one by one, because a bitmap leaves few of their tiles.
//
// Such rows come from all over the memory, so each is asked for when it is found, and read after as many others
// as a tile has.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scan_items.hpp"
#include "scan_tile.hpp"

namespace prudence {

// The rows of one user that wait: up to two tiles, of which the older one is scored when both are full.
class FewRows {
  public:
    explicit FewRows(const bool needed) : rows_(needed ? 2 * tile_rows : 0) {}

    // Adds a row; returns whether a tile is full.
    bool add(const ScanItems& items, const std::int64_t row) {
        rows_[added_++ % rows_.size()] = row;
#if defined(__GNUC__)
        __builtin_prefetch(items.find(static_cast<std::size_t>(row)));
#else
        static_cast<void>(items);
#endif
        return added_ - taken_ == rows_.size();
    }

    // Forgets all rows. A part of a tile may be taken only before this, and as the last.
    void restart() { added_ = taken_ = 0; }

    std::size_t waiting() const { return added_ - taken_; }

    // Puts the oldest rows together in gathered [tile_rows * padded_dim]; returns their numbers.
    const std::int64_t* take(const ScanItems& items, const std::size_t count, std::int8_t* const gathered) {
        const std::int64_t* const rows = rows_.data() + taken_ % rows_.size();
        for (std::size_t place = 0; place < count; ++place) {
            items.copy(static_cast<std::size_t>(rows[place]), place, gathered);
        }
        taken_ += count;
        return rows;
    }

  private:
    std::vector<std::int64_t> rows_;
    std::size_t added_ = 0;
    std::size_t taken_ = 0;
};

}  // namespace prudence
