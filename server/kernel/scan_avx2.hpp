// The scan with AVX2: bytes are widened to int16 and multiplied in pairs.
//
// vpmaddubsw would multiply bytes, but saturates at -128 * -128 twice; a sum of two int16 products of bytes
// always fits its 32-bit lane. Rows are packed with 128 added (the top bit flipped), so that one instruction widens
// half of their bytes, and each sum starts at -128 times the user's sum.

#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "scan_tile.hpp"

#define PRUDENCE_AVX2 __attribute__((target("avx2")))

namespace prudence {

// Returns 16 bytes of two rows, one row per 128-bit lane.
PRUDENCE_AVX2 inline __m256i gather_avx2(const TileRows rows, const std::size_t first,
                                         const std::size_t position) {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[first] + position));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[first + 4] + position));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// Layout: [padded_dim / 4][tile_rows][4 dims].
PRUDENCE_AVX2 inline void pack_avx2(const TileRows rows, const std::size_t padded_dim, std::int8_t* const packed) {
    constexpr std::size_t stride = 4 * tile_rows;
    const auto store = [](std::int8_t* const to, const __m256i bytes) PRUDENCE_AVX2 {
        const __m256i flipped = _mm256_xor_si256(bytes, _mm256_set1_epi8(static_cast<char>(0x80)));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), flipped);
    };
    for (std::size_t first = 0; first < tile_rows; first += 8) {
        for (std::size_t position = 0; position < padded_dim; position += dim_step) {
            const __m256i row0 = gather_avx2(rows, first, position);
            const __m256i row1 = gather_avx2(rows, first + 1, position);
            const __m256i row2 = gather_avx2(rows, first + 2, position);
            const __m256i row3 = gather_avx2(rows, first + 3, position);
            const __m256i low01 = _mm256_unpacklo_epi32(row0, row1);
            const __m256i low23 = _mm256_unpacklo_epi32(row2, row3);
            const __m256i high01 = _mm256_unpackhi_epi32(row0, row1);
            const __m256i high23 = _mm256_unpackhi_epi32(row2, row3);
            std::int8_t* const to = packed + position * tile_rows + 4 * first;
            store(to, _mm256_unpacklo_epi64(low01, low23));
            store(to + stride, _mm256_unpackhi_epi64(low01, low23));
            store(to + 2 * stride, _mm256_unpacklo_epi64(high01, high23));
            store(to + 3 * stride, _mm256_unpackhi_epi64(high01, high23));
        }
    }
}

PRUDENCE_AVX2 inline void store_avx2(const __m256i sum, const std::size_t first, TileScores& scores) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(scores.values + first), sum);
}

// Marks the rows whose scores, written before, exceed the threshold.
PRUDENCE_AVX2 inline void mark_avx2(const std::int32_t limit, TileScores& scores) {
    const __m256i threshold = _mm256_set1_epi32(limit);
    std::uint64_t above = 0;
    for (std::size_t first = 0; first < tile_rows; first += 8) {
        const __m256i sum = _mm256_load_si256(reinterpret_cast<const __m256i*>(scores.values + first));
        const __m256i exceeds = _mm256_cmpgt_epi32(sum, threshold);
        const auto marks = static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(exceeds)));
        above |= static_cast<std::uint64_t>(marks) << first;
    }
    scores.above = above;
}

// Returns sums of pairs of lanes: in each 128 bits one of the left, one of the right, and once more.
PRUDENCE_AVX2 inline __m256i merge_avx2(const __m256i left, const __m256i right) {
    return _mm256_add_epi32(_mm256_unpacklo_epi32(left, right), _mm256_unpackhi_epi32(left, right));
}

// Returns the sums of the lanes of each of four registers, in each 128 bits of its own.
PRUDENCE_AVX2 inline __m256i merge_four_avx2(const __m256i* const sums) {
    const __m256i left = merge_avx2(sums[0], sums[1]);
    const __m256i right = merge_avx2(sums[2], sums[3]);
    return _mm256_add_epi32(_mm256_unpacklo_epi64(left, right), _mm256_unpackhi_epi64(left, right));
}

PRUDENCE_AVX2 inline void score_rows_avx2(const TileRows rows, const std::size_t padded_dim,
                                          const ScanUser& user, TileScores& scores) {
    for (std::size_t first = 0; first < tile_rows; first += 8) {
        __m256i sums[8];
        for (std::size_t row = 0; row < 8; ++row) {
            sums[row] = _mm256_setzero_si256();
        }
        for (std::size_t position = 0; position < padded_dim; position += dim_step) {
            const __m256i query = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(user.wide + position));
            for (std::size_t row = 0; row < 8; ++row) {
                const auto* const from = reinterpret_cast<const __m128i*>(rows[first + row] + position);
                const __m256i item = _mm256_cvtepi8_epi16(_mm_loadu_si128(from));
                sums[row] = _mm256_add_epi32(sums[row], _mm256_madd_epi16(item, query));
            }
        }
        const __m256i left = merge_four_avx2(sums);
        const __m256i right = merge_four_avx2(sums + 4);
        const __m256i sum = _mm256_add_epi32(_mm256_permute2x128_si256(left, right, 0x20),
                                             _mm256_permute2x128_si256(left, right, 0x31));
        store_avx2(sum, first, scores);
    }
    mark_avx2(user.threshold, scores);
}

// Scores 8 * part_count rows of the tile, from the row `first`.
template <std::size_t user_count, std::size_t part_count>
PRUDENCE_AVX2 inline void score_part_avx2(const std::int8_t* const packed, const std::size_t padded_dim,
                                          const ScanUser* const* const users, TileScores* const scores,
                                          const std::size_t first) {
    const __m256i low_bytes = _mm256_set1_epi16(0xFF);
    __m256i sums[user_count][part_count];
    for (std::size_t user = 0; user < user_count; ++user) {
        for (std::size_t part = 0; part < part_count; ++part) {
            sums[user][part] = _mm256_set1_epi32(-128 * users[user]->sum);
        }
    }
    for (std::size_t position = 0; position < padded_dim; position += 4) {
        __m256i even[part_count];
        __m256i odd[part_count];
        for (std::size_t part = 0; part < part_count; ++part) {
            const std::int8_t* const from = packed + position * tile_rows + 4 * first + 32 * part;
            const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
            even[part] = _mm256_and_si256(bytes, low_bytes);
            odd[part] = _mm256_srli_epi16(bytes, 8);
        }
        for (std::size_t user = 0; user < user_count; ++user) {
            const __m256i query_even = _mm256_set1_epi32(load_word(users[user]->pairs + position));
            const __m256i query_odd = _mm256_set1_epi32(load_word(users[user]->pairs + position + 2));
            for (std::size_t part = 0; part < part_count; ++part) {
                __m256i& sum = sums[user][part];
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(even[part], query_even));
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(odd[part], query_odd));
            }
        }
    }
    for (std::size_t user = 0; user < user_count; ++user) {
        for (std::size_t part = 0; part < part_count; ++part) {
            store_avx2(sums[user][part], first + 8 * part, scores[user]);
        }
    }
}

template <std::size_t user_count, std::size_t part_count>
PRUDENCE_AVX2 inline void score_group_avx2(const std::int8_t* const packed, const std::size_t padded_dim,
                                           const ScanUser* const* const users, TileScores* const scores) {
    for (std::size_t first = 0; first < tile_rows; first += 8 * part_count) {
        score_part_avx2<user_count, part_count>(packed, padded_dim, users, scores, first);
    }
    for (std::size_t user = 0; user < user_count; ++user) {
        mark_avx2(users[user]->threshold, scores[user]);
    }
}

PRUDENCE_AVX2 inline void score_avx2(const std::int8_t* const packed, const std::size_t padded_dim,
                                     const ScanUser* const* const users, const std::size_t user_count,
                                     TileScores* const scores) {
    std::size_t user = 0;
    for (; user + 8 <= user_count; user += 8) {
        score_group_avx2<8, 1>(packed, padded_dim, users + user, scores + user);
    }
    for (; user + 4 <= user_count; user += 4) {
        score_group_avx2<4, 1>(packed, padded_dim, users + user, scores + user);
    }
    for (; user < user_count; ++user) {
        score_group_avx2<1, 8>(packed, padded_dim, users + user, scores + user);
    }
}

}  // namespace prudence

#undef PRUDENCE_AVX2

#endif
