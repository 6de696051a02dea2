// Python bindings of the scan: check the arrays, release the GIL, call.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "scan.hpp"

namespace prudence {

using Int64Matrix = nanobind::ndarray<nanobind::numpy, std::int64_t, nanobind::ndim<2>>;
using Bitmaps = std::vector<std::optional<AnyArray>>;

// An uninitialised matrix that Python will own.
struct OwnedMatrix {
    OwnedMatrix(const std::size_t row_count_, const std::size_t column_count_)
        : values(new std::int64_t[row_count_ * column_count_]),
          row_count(row_count_),
          column_count(column_count_) {}

    Int64Matrix to_numpy() {
        std::int64_t* const data = values.get();
        const nanobind::capsule owner(values.release(), [](void* const pointer) noexcept {
            delete[] static_cast<std::int64_t*>(pointer);
        });
        return Int64Matrix(data, {row_count, column_count}, owner);
    }

    std::unique_ptr<std::int64_t[]> values;
    std::size_t row_count;
    std::size_t column_count;
};

inline std::vector<const std::uint8_t*> require_bitmaps(const Bitmaps& bitmaps, const std::size_t user_count,
                                                        const std::size_t row_count) {
    if (bitmaps.size() != user_count) {
        throw InputError("bitmaps: " + std::to_string(bitmaps.size()) + "; expected one per user, " +
                         std::to_string(user_count));
    }
    std::vector<const std::uint8_t*> checked(user_count, nullptr);
    for (std::size_t user = 0; user < user_count; ++user) {
        if (bitmaps[user].has_value()) {
            checked[user] = require_array<std::uint8_t>(*bitmaps[user], "bitmaps", 1);
            require_shape(*bitmaps[user], "bitmaps", 0, row_count / 8 + (row_count % 8 != 0));
        }
    }
    return checked;
}

inline nanobind::tuple scan_best(const AnyArray& users, const AnyArray& items, const AnyArray& row_starts,
                                 const AnyArray& row_stops, const Bitmaps& bitmaps, const std::int64_t count,
                                 const std::string& path) {
    const ByteMatrix matrix{require_array<std::int8_t>(items, "items", 2), items.shape(0), items.shape(1)};
    const std::int8_t* const vectors = require_array<std::int8_t>(users, "users", 2);
    require_shape(users, "users", 1, matrix.dim);
    const std::size_t user_count = users.shape(0);
    const std::int64_t* const starts = require_array<std::int64_t>(row_starts, "row_starts", 1);
    const std::int64_t* const stops = require_array<std::int64_t>(row_stops, "row_stops", 1);
    require_shape(row_starts, "row_starts", 0, user_count);
    require_shape(row_stops, "row_stops", 0, user_count);
    const std::vector<const std::uint8_t*> checked = require_bitmaps(bitmaps, user_count, matrix.row_count);
    const ScanBatch batch{vectors, starts, stops, checked.data(), user_count};
    require_scan(batch, matrix, count);
    const ScanPath chosen = find_scan_path(path);
    OwnedMatrix rows(user_count, static_cast<std::size_t>(count));
    OwnedMatrix scores(user_count, static_cast<std::size_t>(count));
    {
        const nanobind::gil_scoped_release released;
        scan(chosen, matrix, batch, count, rows.values.get(), scores.values.get());
    }
    return nanobind::make_tuple(rows.to_numpy(), scores.to_numpy());
}

inline void bind_scan(nanobind::module_& module) {
    namespace nb = nanobind;
    nb::list paths;
    nb::list available;
    for (const ScanPath& path : list_scan_paths()) {
        paths.append(path.name);
        if (path.available) {
            available.append(path.name);
        }
    }
    module.attr("SCAN_PATHS") = nb::tuple(paths);
    module.attr("AVAILABLE_SCAN_PATHS") = nb::tuple(available);
    module.attr("SCAN_COUNT_MAX") = scan_count_max;
    module.attr("SCAN_DIM_MAX") = scan_dim_max;
    module.def("scan", &scan_best, nb::arg("users"), nb::arg("items"), nb::arg("row_starts"),
               nb::arg("row_stops"), nb::arg("bitmaps"), nb::arg("count"), nb::arg("path"));
    module.def("scan_path", [](const std::string& name) { return find_scan_path(name).name; }, nb::arg("name"));
}

}  // namespace prudence
