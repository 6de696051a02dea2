// What every binding does with arrays: check what comes in, give away what goes out.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "errors.hpp"

namespace prudence {

using AnyArray = nanobind::ndarray<nanobind::ro, nanobind::device::cpu>;
using Int64Result = nanobind::ndarray<nanobind::numpy, std::int64_t, nanobind::ndim<1>>;

// Refuses an array unless it is C-contiguous with this dtype and as many dimensions, aligned for U.
template <typename T, typename U = T>
const U* require_array(const AnyArray& array, const char* const name, const std::size_t ndim) {
    const std::string label(name);
    if (array.dtype() != nanobind::dtype<T>()) {
        throw InputError(label + ": wrong dtype; expected " + (T(-1) < T(0) ? "int" : "uint") +
                         std::to_string(8 * sizeof(T)));
    }
    if (array.ndim() != ndim) {
        throw InputError(label + ": " + std::to_string(array.ndim()) + " dimensions; expected " +
                         std::to_string(ndim));
    }
    std::int64_t stride = 1;
    for (std::size_t axis = ndim; axis-- > 0;) {
        // An empty array, or an axis of one, has no meaningful stride.
        if (array.size() > 0 && array.shape(axis) > 1 && array.stride(axis) != stride) {
            throw InputError(label + ": not C-contiguous");
        }
        stride *= static_cast<std::int64_t>(array.shape(axis));
    }
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(U) != 0) {
        throw InputError(label + ": not aligned to its dtype");
    }
    return reinterpret_cast<const U*>(array.data());
}

inline void require_shape(const AnyArray& array, const char* const name, const std::size_t axis,
                          const std::size_t length) {
    if (array.shape(axis) != length) {
        throw InputError(std::string(name) + ": length " + std::to_string(array.shape(axis)) + " on axis " +
                         std::to_string(axis) + "; expected " + std::to_string(length));
    }
}

// Refuses bytes uint8 [n, sizeof(Record)] unless they hold whole records.
template <typename Record>
const Record* require_records(const AnyArray& array, const char* const name) {
    const Record* const records = require_array<std::uint8_t, Record>(array, name, 2);
    require_shape(array, name, 1, sizeof(Record));
    return records;
}

inline Int64Result to_numpy(std::vector<std::int64_t> values) {
    auto owned = std::make_unique<std::vector<std::int64_t>>(std::move(values));
    std::vector<std::int64_t>* const data = owned.get();
    const nanobind::capsule owner(owned.release(), [](void* const pointer) noexcept {
        delete static_cast<std::vector<std::int64_t>*>(pointer);
    });
    return Int64Result(data->data(), {data->size()}, owner);
}

}  // namespace prudence
