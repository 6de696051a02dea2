// Inner products of int16 vectors, accumulated in int64: exact, so every version gives the same number.

#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <array>
#include <cstddef>
#include <cstdint>

namespace prudence {

using Dot = std::int64_t (*)(const std::int16_t* left, const std::int16_t* right, std::size_t dim);

struct DotVersion {
    const char* name;
    bool available;
    Dot dot;
};

inline std::int64_t dot_plainly(const std::int16_t* const left, const std::int16_t* const right,
                                const std::size_t dim) {
    std::int64_t sum = 0;
    for (std::size_t position = 0; position < dim; ++position) {
        sum += static_cast<std::int32_t>(left[position]) * static_cast<std::int32_t>(right[position]);
    }
    return sum;
}

#if defined(__x86_64__)

// pmaddwd adds two products in 32 bits, from -2^31 + 2^16 up to 2^31, which wraps. With this added each sum is
// right as an unsigned number, and is added up as one.
inline constexpr std::int64_t dot_offset = INT32_MAX;

inline std::int64_t dot_sse2(const std::int16_t* const left, const std::int16_t* const right,
                             const std::size_t dim) {
    constexpr std::size_t width = 8;
    const __m128i offsets = _mm_set1_epi32(INT32_MAX);
    const __m128i low_halves = _mm_set1_epi64x(UINT32_MAX);
    __m128i sums = _mm_setzero_si128();
    std::size_t position = 0;
    for (; position + width <= dim; position += width) {
        const __m128i pairs =
            _mm_madd_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(left + position)),
                           _mm_loadu_si128(reinterpret_cast<const __m128i*>(right + position)));
        const __m128i shifted = _mm_add_epi32(pairs, offsets);
        sums = _mm_add_epi64(sums, _mm_and_si128(shifted, low_halves));
        sums = _mm_add_epi64(sums, _mm_srli_epi64(shifted, 32));
    }
    const __m128i both = _mm_add_epi64(sums, _mm_unpackhi_epi64(sums, sums));
    const std::int64_t sum = _mm_cvtsi128_si64(both) - dot_offset * static_cast<std::int64_t>(position / 2);
    return sum + dot_plainly(left + position, right + position, dim - position);
}

__attribute__((target("avx2"))) inline std::int64_t dot_avx2(const std::int16_t* const left,
                                                             const std::int16_t* const right,
                                                             const std::size_t dim) {
    constexpr std::size_t width = 16;
    const __m256i offsets = _mm256_set1_epi32(INT32_MAX);
    const __m256i low_halves = _mm256_set1_epi64x(UINT32_MAX);
    __m256i sums = _mm256_setzero_si256();
    std::size_t position = 0;
    for (; position + width <= dim; position += width) {
        const __m256i pairs =
            _mm256_madd_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(left + position)),
                              _mm256_loadu_si256(reinterpret_cast<const __m256i*>(right + position)));
        const __m256i shifted = _mm256_add_epi32(pairs, offsets);
        sums = _mm256_add_epi64(sums, _mm256_and_si256(shifted, low_halves));
        sums = _mm256_add_epi64(sums, _mm256_srli_epi64(shifted, 32));
    }
    const __m128i halves = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const __m128i both = _mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves));
    const std::int64_t sum = _mm_cvtsi128_si64(both) - dot_offset * static_cast<std::int64_t>(position / 2);
    return sum + dot_plainly(left + position, right + position, dim - position);
}

// Returns every version that was compiled, the fastest first.
inline std::array<DotVersion, 3> list_dots() {
    return {{{"avx2", __builtin_cpu_supports("avx2") != 0, &dot_avx2},
             {"sse2", true, &dot_sse2},
             {"portable", true, &dot_plainly}}};
}

#else

inline std::array<DotVersion, 1> list_dots() { return {{{"portable", true, &dot_plainly}}}; }

#endif

// Returns the fastest version that this machine has.
inline Dot find_dot() {
    for (const DotVersion& version : list_dots()) {
        if (version.available) {
            return version.dot;
        }
    }
    return &dot_plainly;
}

}  // namespace prudence
