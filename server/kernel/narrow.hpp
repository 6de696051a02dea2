// Users of int32 become users of int8. The definition is `narrow` of index/reference.py.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace prudence {

inline constexpr std::int64_t narrow_limit = 127;

// Writes a user vector [dim] as int8 [dim]: the largest component becomes 127, halves are rounded to even.
inline void narrow(const std::int32_t* const wide, const std::size_t dim, std::int8_t* const narrowed) {
    std::int64_t largest = 1;  // Zeros stay zeros.
    for (std::size_t position = 0; position < dim; ++position) {
        largest = std::max(largest, std::abs(std::int64_t{wide[position]}));
    }
    for (std::size_t position = 0; position < dim; ++position) {
        const std::int64_t scaled = std::abs(std::int64_t{wide[position]}) * narrow_limit;
        const std::int64_t quotient = scaled / largest;
        const std::int64_t twice_left = 2 * (scaled - quotient * largest);
        const bool rounds_up = twice_left > largest || (twice_left == largest && quotient % 2 == 1);
        const std::int64_t rounded = quotient + (rounds_up ? 1 : 0);
        narrowed[position] = static_cast<std::int8_t>(wide[position] < 0 ? -rounded : rounded);
    }
}

}  // namespace prudence
