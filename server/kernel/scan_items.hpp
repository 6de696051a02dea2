// The items of a scan, as its path reads them.

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

// Item vectors, row-major [row_count, dim].
struct ByteMatrix {
    const std::int8_t* values;
    std::size_t row_count;
    std::size_t dim;
};

inline std::size_t pad_dim(const std::size_t dim) { return (dim + dim_step - 1) / dim_step * dim_step; }

inline void require_at_most(const std::size_t value, const std::size_t high, const char* const name) {
    if (value > high) {
        throw InputError(std::string(name) + " " + std::to_string(value) + "; expected at most " +
                         std::to_string(high));
    }
}

// How many bytes all tiles of a matrix take, packed.
inline std::size_t count_packed_bytes(const std::size_t row_count, const std::size_t dim) {
    return (row_count + tile_rows - 1) / tile_rows * tile_rows * pad_dim(dim);
}

// Item rows that may be read up to the padded dim: the last ones are copied to where something follows them. The
// matrix must stay as it is.
//
// A path that packs bytes as bytes may have all tiles packed once, beside the matrix: rows wanted one by one are
// read from the matrix, where each lies in one place.
class ScanItems {
  public:
    ScanItems(const ScanPath& path, const ByteMatrix& matrix)
        : path_(path), matrix_(matrix), padded_dim_(pad_dim(matrix.dim)), first_copied_(matrix.row_count) {
        require_at_most(matrix.dim, scan_dim_max, "items: dim");
        require_at_most(matrix.row_count, scan_row_count_max, "items: row count");
        std::size_t copied = 0;
        if (matrix.dim > 0) {
            first_copied_ -= std::min(matrix.row_count, (padded_dim_ - 1) / matrix.dim);
            copied = (matrix.row_count - first_copied_) * matrix.dim;
        }
        last_rows_.assign(copied + padded_dim_, 0);
        if (copied > 0) {
            std::memcpy(last_rows_.data(), matrix.values + first_copied_ * matrix.dim, copied);
        }
    }

    // Packs all tiles to packed [count_packed_bytes], which must outlive this.
    void pack(std::int8_t* const packed) {
        std::vector<std::int8_t> gathered(tile_rows * padded_dim_);
        for (std::size_t first = 0; first < matrix_.row_count; first += tile_rows) {
            path_.pack(find_tile(first, gathered.data()), padded_dim_, packed + first * padded_dim_);
        }
        packed_ = packed;
    }

    const ScanPath& path() const { return path_; }
    std::size_t row_count() const { return matrix_.row_count; }
    std::size_t dim() const { return matrix_.dim; }
    std::size_t padded_dim() const { return padded_dim_; }
    bool packed() const { return packed_ != nullptr; }

    const std::int8_t* find_packed(const std::size_t first) const { return packed_ + first * padded_dim_; }

    const std::int8_t* find(const std::size_t row) const {
        return row < first_copied_ ? matrix_.values + row * matrix_.dim
                                   : last_rows_.data() + (row - first_copied_) * matrix_.dim;
    }

    // Copies a row to its place in a tile that is put together.
    void copy(const std::size_t row, const std::size_t place, std::int8_t* const gathered) const {
        const std::int8_t* const from = find(row);
        std::int8_t* const to = gathered + place * padded_dim_;
        for (std::size_t position = 0; position < padded_dim_; position += dim_step) {
            std::memcpy(to + position, from + position, dim_step);
        }
    }

    // Returns the tile at row `first`; the last ones are put together in gathered [tile_rows * padded_dim], and
    // repeat the first row past the last.
    TileRows find_tile(const std::size_t first, std::int8_t* const gathered) const {
        if (first + tile_rows <= first_copied_) {
            return {matrix_.values + first * matrix_.dim, matrix_.dim};
        }
        for (std::size_t place = 0; place < tile_rows; ++place) {
            copy(first + place < matrix_.row_count ? first + place : first, place, gathered);
        }
        return {gathered, padded_dim_};
    }

  private:
    ScanPath path_;
    ByteMatrix matrix_;
    std::size_t padded_dim_;
    std::size_t first_copied_;
    std::vector<std::int8_t> last_rows_;
    const std::int8_t* packed_ = nullptr;
};

}  // namespace prudence
