// Python bindings of the kernel: check the arrays, release the GIL, call.

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "bindings_gate.hpp"
#include "bindings_scan.hpp"
#include "kernel.hpp"

namespace nb = nanobind;

namespace {

using prudence::AnyArray;
using prudence::Int64Result;
using prudence::require_array;
using prudence::to_numpy;

Int64Result rescore(const AnyArray& user, const AnyArray& items, const AnyArray& rows) {
    const std::int32_t* const vector = require_array<std::int32_t>(user, "user", 1);
    const std::int32_t* const values = require_array<std::int32_t>(items, "items", 2);
    const prudence::ItemMatrix matrix{values, items.shape(0), items.shape(1)};
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
Int64Result select_best(const AnyArray& scores, const AnyArray& id_rank, const std::int64_t k,
                        const std::optional<AnyArray>& rows) {
    prudence::Scores checked{require_array<std::int64_t>(scores, "scores", 1),
                             require_array<std::int64_t>(id_rank, "id_rank", 1), scores.shape(0)};
    if (rows.has_value()) {
        checked.rows = require_array<std::int64_t>(*rows, "rows", 1);
        prudence::require_shape(*rows, "rows", 0, checked.count);
        prudence::require_rows({checked.rows, checked.count}, id_rank.shape(0));
    } else if (id_rank.shape(0) != checked.count) {
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
    // A thread that still judges when the process ends keeps its catalogue: no leak, and standard error is the
    // server's log, where a line that is no JSON would be lost.
    nb::set_leak_warnings(false);
    module.doc() = "The native kernel. Import it through server.native only.";
    module.attr("K_MAX") = prudence::k_max;
    nb::exception<prudence::InputError>(module, "KernelInputError", PyExc_ValueError);
    module.def("rescore", &rescore, nb::arg("user"), nb::arg("items"), nb::arg("rows"));
    module.def("select", &select_best, nb::arg("scores"), nb::arg("id_rank"), nb::arg("k"),
               nb::arg("rows") = nb::none());
    prudence::bind_gate(module);
    prudence::bind_scan(module);
}
