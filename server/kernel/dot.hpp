// Inner products of int32 vectors, accumulated in 64 bits. Numbers of up to 24 bits are exact at any length a bundle
// may have; beyond, sums wrap, on every version alike.

#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <array>
#include <cstddef>
#include <cstdint>

namespace prudence {

using Dot = std::int64_t (*)(const std::int32_t* left, const std::int32_t* right, std::size_t dim);

struct DotVersion {
    const char* name;
    bool available;
    Dot dot;
};

inline std::int64_t dot_plainly(const std::int32_t* const left, const std::int32_t* const right,
                                const std::size_t dim) {
    std::uint64_t sum = 0;  // Unsigned, since only there wrapping is defined.
    for (std::size_t position = 0; position < dim; ++position) {
        sum += static_cast<std::uint64_t>(std::int64_t{left[position]} * right[position]);
    }
    return static_cast<std::int64_t>(sum);
}

#if defined(__x86_64__)

__attribute__((target("avx2"))) inline std::int64_t dot_avx2(const std::int32_t* const left,
                                                             const std::int32_t* const right,
                                                             const std::size_t dim) {
    constexpr std::size_t width = 8;
    __m256i even = _mm256_setzero_si256();
    __m256i odd = _mm256_setzero_si256();
    std::size_t position = 0;
    for (; position + width <= dim; position += width) {
        const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(left + position));
        const __m256i other = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(right + position));
        // Multiplies the low half of each 64 bits; the high halves are brought there first.
        even = _mm256_add_epi64(even, _mm256_mul_epi32(one, other));
        odd = _mm256_add_epi64(odd, _mm256_mul_epi32(_mm256_srli_epi64(one, 32), _mm256_srli_epi64(other, 32)));
    }
    const __m256i sums = _mm256_add_epi64(even, odd);
    const __m128i halves = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    const __m128i both = _mm_add_epi64(halves, _mm_unpackhi_epi64(halves, halves));
    const auto rest = static_cast<std::uint64_t>(dot_plainly(left + position, right + position, dim - position));
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(_mm_cvtsi128_si64(both)) + rest);
}

// Returns every version that was compiled, the fastest first.
inline std::array<DotVersion, 2> list_dots() {
    return {{{"avx2", __builtin_cpu_supports("avx2") != 0, &dot_avx2}, {"portable", true, &dot_plainly}}};
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
