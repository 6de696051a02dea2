// Python bindings of the kernel: check the arrays, release the GIL, call.

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel.hpp"

namespace nb = nanobind;

namespace {

using AnyArray = nb::ndarray<nb::ro, nb::device::cpu>;
using Int64Result = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;

template <typename T>
const T* require_array(const AnyArray& array, const char* const name, const std::size_t ndim) {
    const std::string label(name);
    if (array.dtype() != nb::dtype<T>()) {
        throw prudence::InputError(label + ": wrong dtype; expected int" + std::to_string(8 * sizeof(T)));
    }
    if (array.ndim() != ndim) {
        throw prudence::InputError(label + ": " + std::to_string(array.ndim()) + " dimensions; expected " +
                                   std::to_string(ndim));
    }
    std::int64_t stride = 1;
    for (std::size_t axis = ndim; axis-- > 0;) {
        // An empty array, or an axis of one, has no meaningful stride.
        if (array.size() > 0 && array.shape(axis) > 1 && array.stride(axis) != stride) {
            throw prudence::InputError(label + ": not C-contiguous");
        }
        stride *= static_cast<std::int64_t>(array.shape(axis));
    }
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) {
        throw prudence::InputError(label + ": not aligned to its dtype");
    }
    return static_cast<const T*>(array.data());
}

// The checked inputs that every kernel function shares.
struct Inputs {
    const std::int16_t* user;
    prudence::ItemMatrix items;
    prudence::RowList chosen;
};

Inputs require_inputs(const AnyArray& user, const AnyArray& items, const AnyArray& rows) {
    const Inputs inputs{require_array<std::int16_t>(user, "user", 1),
                        {require_array<std::int16_t>(items, "items", 2), items.shape(0), items.shape(1)},
                        {require_array<std::int64_t>(rows, "rows", 1), rows.shape(0)}};
    if (user.shape(0) != inputs.items.dim) {
        throw prudence::InputError("user: dim " + std::to_string(user.shape(0)) + "; expected the items' dim " +
                                   std::to_string(inputs.items.dim));
    }
    return inputs;
}

Int64Result to_numpy(std::vector<std::int64_t> values) {
    auto owned = std::make_unique<std::vector<std::int64_t>>(std::move(values));
    std::vector<std::int64_t>* const data = owned.get();
    const nb::capsule owner(owned.release(), [](void* const pointer) noexcept {
        delete static_cast<std::vector<std::int64_t>*>(pointer);
    });
    return Int64Result(data->data(), {data->size()}, owner);
}

Int64Result rescore(const AnyArray& user, const AnyArray& items, const AnyArray& rows) {
    const Inputs inputs = require_inputs(user, items, rows);
    std::vector<std::int64_t> scores(inputs.chosen.count);
    {
        const nb::gil_scoped_release released;
        prudence::rescore(inputs.user, inputs.items, inputs.chosen, scores.data());
    }
    return to_numpy(std::move(scores));
}

nb::tuple rescore_select(const AnyArray& user, const AnyArray& items, const AnyArray& rows,
                         const AnyArray& id_rank, const std::int64_t k) {
    const Inputs inputs = require_inputs(user, items, rows);
    const std::int64_t* const ranks = require_array<std::int64_t>(id_rank, "id_rank", 1);
    if (id_rank.shape(0) != inputs.items.row_count) {
        throw prudence::InputError("id_rank: length " + std::to_string(id_rank.shape(0)) +
                                   "; expected one per item row, " + std::to_string(inputs.items.row_count));
    }
    std::vector<std::int64_t> best_rows;
    std::vector<std::int64_t> best_scores;
    {
        const nb::gil_scoped_release released;
        const auto best = prudence::rescore_select(inputs.user, inputs.items, inputs.chosen, ranks, k);
        best_rows.reserve(best.size());
        best_scores.reserve(best.size());
        for (const prudence::ScoredRow& entry : best) {
            best_rows.push_back(entry.row);
            best_scores.push_back(entry.score);
        }
    }
    return nb::make_tuple(to_numpy(std::move(best_rows)), to_numpy(std::move(best_scores)));
}

}  // namespace

NB_MODULE(_kernel, module) {
    module.doc() = "The native kernel. Import it through server.native only.";
    module.attr("K_MAX") = prudence::k_max;
    nb::exception<prudence::InputError>(module, "KernelInputError", PyExc_ValueError);
    module.def("rescore", &rescore, nb::arg("user"), nb::arg("items"), nb::arg("rows"));
    module.def("rescore_select", &rescore_select, nb::arg("user"), nb::arg("items"), nb::arg("rows"),
               nb::arg("id_rank"), nb::arg("k"));
    module.def("path", [] { return "scalar"; });
}
