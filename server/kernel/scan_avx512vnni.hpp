// The scan with AVX512-VNNI: four products of bytes per lane and instruction.
//
// vpdpbusd takes unsigned times signed bytes, so rows are packed with 128 added (the top bit flipped), and each
// sum starts at -128 times the user's sum. Lanes are 32 bits and nothing saturates, so the result is exact.

#pragma once

#if defined(__x86_64__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "scan_tile.hpp"

#define PRUDENCE_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

// GCC 12 takes the placeholder inside its own shuffling intrinsics for a value that was forgotten.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace prudence {

// Returns 16 bytes of each of four rows, one row per 128-bit lane.
PRUDENCE_VNNI inline __m512i gather_vnni(const TileRows rows, const std::size_t first,
                                         const std::size_t position) {
    const auto load = [rows, first, position](const std::size_t row) PRUDENCE_VNNI {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[first + row] + position));
    };
    __m512i lanes = _mm512_castsi128_si512(load(0));
    lanes = _mm512_inserti32x4(lanes, load(4), 1);
    lanes = _mm512_inserti32x4(lanes, load(8), 2);
    lanes = _mm512_inserti32x4(lanes, load(12), 3);
    return _mm512_xor_si512(lanes, _mm512_set1_epi8(static_cast<char>(0x80)));
}

// Layout: [padded_dim / 4][tile_rows][4 dims].
PRUDENCE_VNNI inline void pack_vnni(const TileRows rows, const std::size_t padded_dim, std::int8_t* const packed) {
    constexpr std::size_t stride = 4 * tile_rows;
    for (std::size_t first = 0; first < tile_rows; first += 16) {
        for (std::size_t position = 0; position < padded_dim; position += dim_step) {
            const __m512i row0 = gather_vnni(rows, first, position);
            const __m512i row1 = gather_vnni(rows, first + 1, position);
            const __m512i row2 = gather_vnni(rows, first + 2, position);
            const __m512i row3 = gather_vnni(rows, first + 3, position);
            const __m512i low01 = _mm512_unpacklo_epi32(row0, row1);
            const __m512i low23 = _mm512_unpacklo_epi32(row2, row3);
            const __m512i high01 = _mm512_unpackhi_epi32(row0, row1);
            const __m512i high23 = _mm512_unpackhi_epi32(row2, row3);
            std::int8_t* const to = packed + position * tile_rows + 4 * first;
            _mm512_storeu_si512(to, _mm512_unpacklo_epi64(low01, low23));
            _mm512_storeu_si512(to + stride, _mm512_unpackhi_epi64(low01, low23));
            _mm512_storeu_si512(to + 2 * stride, _mm512_unpacklo_epi64(high01, high23));
            _mm512_storeu_si512(to + 3 * stride, _mm512_unpackhi_epi64(high01, high23));
        }
    }
}

// Returns sums of pairs of lanes: in each 128 bits one of the left, one of the right, and once more.
PRUDENCE_VNNI inline __m512i merge_vnni(const __m512i left, const __m512i right) {
    return _mm512_add_epi32(_mm512_unpacklo_epi32(left, right), _mm512_unpackhi_epi32(left, right));
}

// Returns the sums of the lanes of each of four registers, in each 128 bits of its own.
PRUDENCE_VNNI inline __m512i merge_four_vnni(const __m512i* const sums) {
    const __m512i left = merge_vnni(sums[0], sums[1]);
    const __m512i right = merge_vnni(sums[2], sums[3]);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(left, right), _mm512_unpackhi_epi64(left, right));
}

// Returns the sums of two registers' pairs of 128-bit lanes: the left's two, then the right's.
PRUDENCE_VNNI inline __m512i merge_lanes_vnni(const __m512i left, const __m512i right) {
    return _mm512_add_epi32(_mm512_shuffle_i32x4(left, right, 0x88), _mm512_shuffle_i32x4(left, right, 0xDD));
}

// Returns the sums of four rows from the row `first`, in parts: 128 bits of parts make up the four sums.
PRUDENCE_VNNI inline __m512i score_four_vnni(const TileRows rows, const std::size_t first,
                                             const std::size_t padded_dim, const ScanUser& user) {
    __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512()};
    const __m512i top_bits = _mm512_set1_epi8(static_cast<char>(0x80));
    std::size_t position = 0;
    for (; position + 64 <= padded_dim; position += 64) {
        const __m512i query = _mm512_loadu_si512(user.bytes + position);
        for (std::size_t row = 0; row < 4; ++row) {
            const __m512i item = _mm512_loadu_si512(rows[first + row] + position);
            sums[row] = _mm512_dpbusd_epi32(sums[row], _mm512_xor_si512(item, top_bits), query);
        }
    }
    if (position < padded_dim) {
        const __mmask64 within = (std::uint64_t{1} << (padded_dim - position)) - 1;
        const __m512i query = _mm512_maskz_loadu_epi8(within, user.bytes + position);
        for (std::size_t row = 0; row < 4; ++row) {
            const __m512i item = _mm512_maskz_loadu_epi8(within, rows[first + row] + position);
            sums[row] = _mm512_dpbusd_epi32(sums[row], _mm512_xor_si512(item, top_bits), query);
        }
    }
    return merge_four_vnni(sums);
}

PRUDENCE_VNNI inline void score_rows_vnni(const TileRows rows, const std::size_t padded_dim,
                                          const ScanUser& user, TileScores& scores) {
    const __m512i threshold = _mm512_set1_epi32(user.threshold);
    const __m512i offset = _mm512_set1_epi32(-128 * user.sum);
    scores.above = 0;
    for (std::size_t first = 0; first < tile_rows; first += 16) {
        const __m512i left = merge_lanes_vnni(score_four_vnni(rows, first, padded_dim, user),
                                              score_four_vnni(rows, first + 4, padded_dim, user));
        const __m512i right = merge_lanes_vnni(score_four_vnni(rows, first + 8, padded_dim, user),
                                               score_four_vnni(rows, first + 12, padded_dim, user));
        const __m512i sum = _mm512_add_epi32(merge_lanes_vnni(left, right), offset);
        const std::uint64_t above = _mm512_cmpgt_epi32_mask(sum, threshold);
        scores.above |= above << first;
        _mm512_store_si512(scores.values + first, sum);
    }
}

template <std::size_t user_count>
PRUDENCE_VNNI inline void score_group_vnni(const std::int8_t* const packed, const std::size_t padded_dim,
                                           const ScanUser* const* const users, TileScores* const scores) {
    __m512i sums[user_count][4];
    for (std::size_t user = 0; user < user_count; ++user) {
        for (std::size_t part = 0; part < 4; ++part) {
            sums[user][part] = _mm512_set1_epi32(-128 * users[user]->sum);
        }
    }
    for (std::size_t position = 0; position < padded_dim; position += 4) {
        __m512i items[4];
        for (std::size_t part = 0; part < 4; ++part) {
            items[part] = _mm512_loadu_si512(packed + position * tile_rows + 64 * part);
        }
        for (std::size_t user = 0; user < user_count; ++user) {
            const __m512i query = _mm512_set1_epi32(load_word(users[user]->bytes + position));
            for (std::size_t part = 0; part < 4; ++part) {
                sums[user][part] = _mm512_dpbusd_epi32(sums[user][part], items[part], query);
            }
        }
    }
    for (std::size_t user = 0; user < user_count; ++user) {
        const __m512i threshold = _mm512_set1_epi32(users[user]->threshold);
        std::uint64_t above = 0;
        for (std::size_t part = 0; part < 4; ++part) {
            const std::uint64_t of_part = _mm512_cmpgt_epi32_mask(sums[user][part], threshold);
            above |= of_part << (16 * part);
            // To skip this where nothing exceeds would be to guess, and a wrong guess costs more than it saves.
            _mm512_store_si512(scores[user].values + 16 * part, sums[user][part]);
        }
        scores[user].above = above;
    }
}

PRUDENCE_VNNI inline void score_vnni(const std::int8_t* const packed, const std::size_t padded_dim,
                                     const ScanUser* const* const users, const std::size_t user_count,
                                     TileScores* const scores) {
    std::size_t user = 0;
    for (; user + 4 <= user_count; user += 4) {
        score_group_vnni<4>(packed, padded_dim, users + user, scores + user);
    }
    for (; user < user_count; ++user) {
        score_group_vnni<1>(packed, padded_dim, users + user, scores + user);
    }
}

}  // namespace prudence

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#undef PRUDENCE_VNNI

#endif
