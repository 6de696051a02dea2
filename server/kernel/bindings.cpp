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

Int64Result to_numpy(std::vector<std::int64_t> values) {
    auto owned = std::make_unique<std::vector<std::int64_t>>(std::move(values));
    std::vector<std::int64_t>* const data = owned.get();
    const nb::capsule owner(owned.release(), [](void* const pointer) noexcept {
        delete static_cast<std::vector<std::int64_t>*>(pointer);
    });
    return Int64Result(data->data(), {data->size()}, owner);
}

Int64Result rescore(const AnyArray& user, const AnyArray& items, const AnyArray& rows) {
    const std::int16_t* const vector = require_array<std::int16_t>(user, "user", 1);
    const prudence::ItemMatrix matrix{require_array<std::int16_t>(items, "items", 2), items.shape(0), items.shape(1)};
    const prudence::RowList chosen{require_array<std::int64_t>(rows, "rows", 1), rows.shape(0)};
    if (user.shape(0) != matrix.dim) {
        throw prudence::InputError("user: dim " + std::to_string(user.shape(0)) + "; expected the items' dim " +
                                   std::to_string(matrix.dim));
    }
    std::vector<std::int64_t> scores(chosen.count);
    {
        const nb::gil_scoped_release released;
        prudence::rescore(vector, matrix, chosen, scores.data());
    }
    return to_numpy(std::move(scores));
}

// Not named select: that is a POSIX function.
Int64Result select_best(const AnyArray& scores, const AnyArray& id_rank, const std::int64_t k) {
    const prudence::Scores checked{require_array<std::int64_t>(scores, "scores", 1),
                                   require_array<std::int64_t>(id_rank, "id_rank", 1), scores.shape(0)};
    if (id_rank.shape(0) != checked.count) {
        throw prudence::InputError("id_rank: length " + std::to_string(id_rank.shape(0)) +
                                   "; expected one per score, " + std::to_string(checked.count));
    }
    std::vector<std::int64_t> positions;
    {
        const nb::gil_scoped_release released;
        positions = prudence::select(checked, k);
    }
    return to_numpy(std::move(positions));
}

}  // namespace

NB_MODULE(_kernel, module) {
    module.doc() = "The native kernel. Import it through server.native only.";
    module.attr("K_MAX") = prudence::k_max;
    nb::exception<prudence::InputError>(module, "KernelInputError", PyExc_ValueError);
    module.def("rescore", &rescore, nb::arg("user"), nb::arg("items"), nb::arg("rows"));
    module.def("select", &select_best, nb::arg("scores"), nb::arg("id_rank"), nb::arg("k"));
    module.def("path", [] { return "scalar"; });
}
