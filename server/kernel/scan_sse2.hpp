// The scan with SSE2, which every x86-64 machine has: bytes are widened to int16 when a tile is packed, or where they
// are, and multiplied in pairs.

#pragma once

#if defined(__x86_64__)

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>

#include "scan_tile.hpp"

namespace prudence {

inline __m128i load_sse2(const std::int8_t* const from) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

// Writes four dims of four rows as int16: the first and third of them, then, a half further, the other two.
inline void widen_sse2(const __m128i bytes, std::int8_t* const to) {
    const __m128i even = _mm_srai_epi16(_mm_slli_epi16(bytes, 8), 8);
    const __m128i odd = _mm_srai_epi16(bytes, 8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), even);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 4 * tile_rows), odd);
}

// Layout: [padded_dim / 4][2][tile_rows][2 dims as int16].
inline void pack_sse2(const TileRows rows, const std::size_t padded_dim, std::int8_t* const packed) {
    constexpr std::size_t stride = 8 * tile_rows;
    for (std::size_t first = 0; first < tile_rows; first += 4) {
        for (std::size_t position = 0; position < padded_dim; position += dim_step) {
            const __m128i row0 = load_sse2(rows[first] + position);
            const __m128i row1 = load_sse2(rows[first + 1] + position);
            const __m128i row2 = load_sse2(rows[first + 2] + position);
            const __m128i row3 = load_sse2(rows[first + 3] + position);
            const __m128i low01 = _mm_unpacklo_epi32(row0, row1);
            const __m128i low23 = _mm_unpacklo_epi32(row2, row3);
            const __m128i high01 = _mm_unpackhi_epi32(row0, row1);
            const __m128i high23 = _mm_unpackhi_epi32(row2, row3);
            std::int8_t* const to = packed + 2 * position * tile_rows + 4 * first;
            widen_sse2(_mm_unpacklo_epi64(low01, low23), to);
            widen_sse2(_mm_unpackhi_epi64(low01, low23), to + stride);
            widen_sse2(_mm_unpacklo_epi64(high01, high23), to + 2 * stride);
            widen_sse2(_mm_unpackhi_epi64(high01, high23), to + 3 * stride);
        }
    }
}

inline __m128i exceeds_sse2(const std::int32_t* const scores, const __m128i threshold) {
    return _mm_cmpgt_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(scores)), threshold);
}

inline void store_sse2(const __m128i sum, const std::size_t first, TileScores& scores) {
    _mm_store_si128(reinterpret_cast<__m128i*>(scores.values + first), sum);
}

// Marks the rows whose scores, written before, exceed the threshold.
inline void mark_sse2(const std::int32_t limit, TileScores& scores) {
    const __m128i threshold = _mm_set1_epi32(limit);
    std::uint64_t above = 0;
    for (std::size_t first = 0; first < tile_rows; first += 16) {
        const std::int32_t* const from = scores.values + first;
        const __m128i low = _mm_packs_epi32(exceeds_sse2(from, threshold), exceeds_sse2(from + 4, threshold));
        const __m128i high = _mm_packs_epi32(exceeds_sse2(from + 8, threshold), exceeds_sse2(from + 12, threshold));
        const auto marks = static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_packs_epi16(low, high)));
        above |= static_cast<std::uint64_t>(marks) << first;
    }
    scores.above = above;
}

// Returns sums of pairs of lanes: one of the left, one of the right, and once more.
inline __m128i merge_sse2(const __m128i left, const __m128i right) {
    return _mm_add_epi32(_mm_unpacklo_epi32(left, right), _mm_unpackhi_epi32(left, right));
}

// Returns the sums of the lanes of each of four registers.
inline __m128i merge_four_sse2(const __m128i* const sums) {
    const __m128i left = merge_sse2(sums[0], sums[1]);
    const __m128i right = merge_sse2(sums[2], sums[3]);
    return _mm_add_epi32(_mm_unpacklo_epi64(left, right), _mm_unpackhi_epi64(left, right));
}

// Returns the even dims of a user's 16, or the odd ones, from where they stand in pairs.
template <int lanes>
__m128i pick_sse2(const std::int16_t* const pairs) {
    const auto* const from = reinterpret_cast<const __m128i*>(pairs);
    const __m128 low = _mm_castsi128_ps(_mm_loadu_si128(from));
    const __m128 high = _mm_castsi128_ps(_mm_loadu_si128(from + 1));
    return _mm_castps_si128(_mm_shuffle_ps(low, high, lanes));
}

inline void score_rows_sse2(const TileRows rows, const std::size_t padded_dim,
                            const ScanUser& user, TileScores& scores) {
    for (std::size_t first = 0; first < tile_rows; first += 8) {
        __m128i sums[8];
        for (std::size_t row = 0; row < 8; ++row) {
            sums[row] = _mm_setzero_si128();
        }
        for (std::size_t position = 0; position < padded_dim; position += dim_step) {
            const __m128i query_even = pick_sse2<0x88>(user.pairs + position);
            const __m128i query_odd = pick_sse2<0xDD>(user.pairs + position);
            for (std::size_t row = 0; row < 8; ++row) {
                const __m128i bytes = load_sse2(rows[first + row] + position);
                const __m128i even = _mm_srai_epi16(_mm_slli_epi16(bytes, 8), 8);
                const __m128i odd = _mm_srai_epi16(bytes, 8);
                sums[row] = _mm_add_epi32(sums[row], _mm_madd_epi16(even, query_even));
                sums[row] = _mm_add_epi32(sums[row], _mm_madd_epi16(odd, query_odd));
            }
        }
        store_sse2(merge_four_sse2(sums), first, scores);
        store_sse2(merge_four_sse2(sums + 4), first + 4, scores);
    }
    mark_sse2(user.threshold, scores);
}

// A user's numbers must be repeated over a register by hand, so many rows are scored for one user at a time.
inline void score_user_sse2(const std::int8_t* const packed, const std::size_t padded_dim, const ScanUser& user,
                            TileScores& scores) {
    constexpr std::size_t part_count = 8;
    for (std::size_t first = 0; first < tile_rows; first += 4 * part_count) {
        __m128i sums[part_count];
        for (std::size_t part = 0; part < part_count; ++part) {
            sums[part] = _mm_setzero_si128();
        }
        for (std::size_t position = 0; position < padded_dim; position += 2) {
            const std::int8_t* const from = packed + 2 * position * tile_rows + 4 * first;
            const __m128i query = _mm_set1_epi32(load_word(user.pairs + position));
            for (std::size_t part = 0; part < part_count; ++part) {
                sums[part] = _mm_add_epi32(sums[part], _mm_madd_epi16(load_sse2(from + 16 * part), query));
            }
        }
        for (std::size_t part = 0; part < part_count; ++part) {
            store_sse2(sums[part], first + 4 * part, scores);
        }
    }
    mark_sse2(user.threshold, scores);
}

inline void score_sse2(const std::int8_t* const packed, const std::size_t padded_dim,
                       const ScanUser* const* const users, const std::size_t user_count,
                       TileScores* const scores) {
    for (std::size_t user = 0; user < user_count; ++user) {
        score_user_sse2(packed, padded_dim, *users[user], scores[user]);
    }
}

}  // namespace prudence

#endif
