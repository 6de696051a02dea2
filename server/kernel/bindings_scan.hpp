// Python bindings of the scan: check the arrays, release the GIL, call.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "dispatch.hpp"
#include "narrow.hpp"
#include "scan.hpp"

namespace prudence {

using Int64Matrix = nanobind::ndarray<nanobind::numpy, std::int64_t, nanobind::ndim<2>>;
using WritableBytes = nanobind::ndarray<std::uint8_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using Bitmaps = std::vector<std::optional<AnyArray>>;
using PackedBitmaps = std::vector<std::optional<nanobind::bytes>>;
using Numbers = std::vector<std::int64_t>;

// An uninitialised matrix that Python will own.
struct OwnedMatrix {
    OwnedMatrix(const std::size_t row_count_, const std::size_t column_count_)
        : values(new std::int64_t[row_count_ * column_count_]),
          row_count(row_count_),
          column_count(column_count_) {}

    Int64Matrix to_numpy() {
        std::int64_t* const data = values.get();
        return Int64Matrix(data, {row_count, column_count}, give_away());
    }

    // Returns the first values of each row, as many as are counted.
    nanobind::list to_rows(const std::vector<std::int64_t>& counts) {
        std::int64_t* const data = values.get();
        const nanobind::capsule owner = give_away();
        nanobind::list rows;
        for (std::size_t row = 0; row < row_count; ++row) {
            rows.append(Int64Result(data + row * column_count, {static_cast<std::size_t>(counts[row])}, owner));
        }
        return rows;
    }

    nanobind::capsule give_away() {
        return nanobind::capsule(values.release(), [](void* const pointer) noexcept {
            delete[] static_cast<std::int64_t*>(pointer);
        });
    }

    std::unique_ptr<std::int64_t[]> values;
    std::size_t row_count;
    std::size_t column_count;
};

inline void require_one_per_user(const std::size_t count, const char* const name, const std::size_t user_count) {
    if (count != user_count) {
        throw InputError(std::string(name) + ": " + std::to_string(count) + "; expected one per user, " +
                         std::to_string(user_count));
    }
}

inline std::size_t count_bitmap_bytes(const std::size_t row_count) { return row_count / 8 + (row_count % 8 != 0); }

inline std::vector<const std::uint8_t*> require_bitmaps(const Bitmaps& bitmaps, const std::size_t user_count,
                                                        const std::size_t row_count) {
    require_one_per_user(bitmaps.size(), "bitmaps", user_count);
    std::vector<const std::uint8_t*> checked(user_count, nullptr);
    for (std::size_t user = 0; user < user_count; ++user) {
        if (bitmaps[user].has_value()) {
            checked[user] = require_array<std::uint8_t>(*bitmaps[user], "bitmaps", 1);
            require_shape(*bitmaps[user], "bitmaps", 0, count_bitmap_bytes(row_count));
        }
    }
    return checked;
}

inline std::vector<const std::uint8_t*> require_bitmaps(const PackedBitmaps& bitmaps, const std::size_t user_count,
                                                        const std::size_t row_count) {
    require_one_per_user(bitmaps.size(), "bitmaps", user_count);
    std::vector<const std::uint8_t*> checked(user_count, nullptr);
    for (std::size_t user = 0; user < user_count; ++user) {
        if (bitmaps[user].has_value()) {
            if (bitmaps[user]->size() != count_bitmap_bytes(row_count)) {
                throw InputError("bitmaps: " + std::to_string(bitmaps[user]->size()) + " bytes; expected " +
                                 std::to_string(count_bitmap_bytes(row_count)));
            }
            checked[user] = static_cast<const std::uint8_t*>(bitmaps[user]->data());
        }
    }
    return checked;
}

inline ByteMatrix require_items(const AnyArray& items) {
    return {require_array<std::int8_t>(items, "items", 2), items.shape(0), items.shape(1)};
}

// Scans items that are used once.
inline nanobind::tuple scan_best(const AnyArray& users, const AnyArray& items, const AnyArray& row_starts,
                                 const AnyArray& row_stops, const Bitmaps& bitmaps, const std::int64_t count,
                                 const std::string& path) {
    const ByteMatrix matrix = require_items(items);
    const std::int8_t* const vectors = require_array<std::int8_t>(users, "users", 2);
    require_shape(users, "users", 1, matrix.dim);
    const std::size_t user_count = users.shape(0);
    const std::int64_t* const starts = require_array<std::int64_t>(row_starts, "row_starts", 1);
    const std::int64_t* const stops = require_array<std::int64_t>(row_stops, "row_stops", 1);
    require_shape(row_starts, "row_starts", 0, user_count);
    require_shape(row_stops, "row_stops", 0, user_count);
    const std::vector<const std::uint8_t*> checked = require_bitmaps(bitmaps, user_count, matrix.row_count);
    const ScanItems scanned(find_scan_path(path), matrix);
    require_in(count, scan_count_max, "count");
    const Numbers counts(user_count, count);
    const ScanBatch batch{vectors, starts, stops, checked.data(), counts.data(), user_count};
    require_scan(batch, matrix.row_count, count);
    OwnedMatrix rows(user_count, static_cast<std::size_t>(count));
    OwnedMatrix scores(user_count, static_cast<std::size_t>(count));
    {
        const nanobind::gil_scoped_release released;
        scan(scanned, batch, count, rows.values.get(), scores.values.get());
    }
    return nanobind::make_tuple(rows.to_numpy(), scores.to_numpy());
}

// Items that are scanned again and again: arrays of Python, which live as long as this.
class KeptItems {
  public:
    KeptItems(AnyArray items, const std::string& path)
        : items_(std::move(items)), scanned_(find_scan_path(path), require_items(items_)) {}

    std::size_t packed_size() const {
        return scanned_.path().packs_bytes ? count_packed_bytes(scanned_.row_count(), scanned_.dim()) : 0;
    }

    void pack(WritableBytes packed) {
        if (packed.shape(0) != packed_size() || packed.shape(0) == 0) {
            throw InputError("packed: " + std::to_string(packed.shape(0)) + " bytes; expected " +
                             std::to_string(packed_size()) + ", and nothing is packed where that is 0");
        }
        {
            // Requests are answered from another bundle meanwhile. Nobody scans these items before it returns.
            const nanobind::gil_scoped_release released;
            scanned_.pack(reinterpret_cast<std::int8_t*>(packed.data()));
        }
        packed_ = std::move(packed);
    }

    nanobind::list scan_queries(const AnyArray& queries, const Numbers& row_starts, const Numbers& row_stops,
                             const PackedBitmaps& bitmaps, const Numbers& counts) const {
        const std::int32_t* const wide = require_array<std::int32_t>(queries, "queries", 2);
        require_shape(queries, "queries", 1, scanned_.dim());
        const std::size_t user_count = queries.shape(0);
        require_one_per_user(row_starts.size(), "row_starts", user_count);
        require_one_per_user(row_stops.size(), "row_stops", user_count);
        require_one_per_user(counts.size(), "counts", user_count);
        const std::vector<const std::uint8_t*> checked =
            require_bitmaps(bitmaps, user_count, scanned_.row_count());
        std::vector<std::int8_t> users(queries.size());
        for (std::size_t user = 0; user < user_count; ++user) {
            narrow(wide + user * scanned_.dim(), scanned_.dim(), users.data() + user * scanned_.dim());
        }
        std::int64_t width = 0;
        for (const std::int64_t count : counts) {
            require_in(count, scan_count_max, "counts");
            width = std::max(width, count);
        }
        const ScanBatch batch{users.data(),   row_starts.data(), row_stops.data(),
                              checked.data(), counts.data(),     user_count};
        require_scan(batch, scanned_.row_count(), width);
        OwnedMatrix rows(user_count, static_cast<std::size_t>(width));
        std::vector<std::int64_t> found;
        {
            const nanobind::gil_scoped_release released;
            found = scan(scanned_, batch, width, rows.values.get(), nullptr);
        }
        return rows.to_rows(found);
    }

  private:
    AnyArray items_;
    ScanItems scanned_;
    WritableBytes packed_;
};

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
    nb::class_<KeptItems>(module, "ScanItems")
        .def(nb::init<AnyArray, const std::string&>(), nb::arg("items"), nb::arg("path"))
        .def_prop_ro("packed_size", &KeptItems::packed_size)
        .def("pack", &KeptItems::pack, nb::arg("packed"))
        .def("scan", &KeptItems::scan_queries, nb::arg("queries"), nb::arg("row_starts"), nb::arg("row_stops"),
             nb::arg("bitmaps"), nb::arg("counts"));
}

}  // namespace prudence
