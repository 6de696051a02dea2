// Python bindings of the gate: the layouts of its records, the catalogue, and judging pairs.

#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "gate_batch.hpp"

namespace prudence {

using MaskResult = nanobind::ndarray<nanobind::numpy, std::uint64_t, nanobind::ndim<2>>;

struct FieldLayout {
    const char* name;
    std::size_t offset;
    std::size_t size;
};

#define PRUDENCE_FIELD(field) FieldLayout{#field, offsetof(Record, field), sizeof(Record::field)}

inline std::vector<FieldLayout> product_layout() {
    using Record = Product;
    return {
        PRUDENCE_FIELD(sale_start_us),    PRUDENCE_FIELD(sale_end_us),       PRUDENCE_FIELD(licence_until_us),
        PRUDENCE_FIELD(min_amount),       PRUDENCE_FIELD(premium),           PRUDENCE_FIELD(issuer),
        PRUDENCE_FIELD(dup_group),        PRUDENCE_FIELD(risk_score),        PRUDENCE_FIELD(max_loss_bps),
        PRUDENCE_FIELD(horizon_months),   PRUDENCE_FIELD(min_age),           PRUDENCE_FIELD(max_age),
        PRUDENCE_FIELD(pay_years),        PRUDENCE_FIELD(status_code),       PRUDENCE_FIELD(window_code),
        PRUDENCE_FIELD(channel_code),     PRUDENCE_FIELD(offering_code),     PRUDENCE_FIELD(quota_code),
        PRUDENCE_FIELD(client_type_code), PRUDENCE_FIELD(jurisdiction_code), PRUDENCE_FIELD(currency_code),
        PRUDENCE_FIELD(objectives_code),  PRUDENCE_FIELD(needs_code),        PRUDENCE_FIELD(level),
        PRUDENCE_FIELD(min_knowledge),    PRUDENCE_FIELD(loss_class),        PRUDENCE_FIELD(knowledge_slot),
        PRUDENCE_FIELD(over_tolerance),   PRUDENCE_FIELD(financial),         PRUDENCE_FIELD(rated),
        PRUDENCE_FIELD(investment),       PRUDENCE_FIELD(insurance),         PRUDENCE_FIELD(high_risk),
        PRUDENCE_FIELD(over_limited_cap), PRUDENCE_FIELD(over_elder_cap),    PRUDENCE_FIELD(over_vulnerable_cap),
        PRUDENCE_FIELD(us_persons_ok),    PRUDENCE_FIELD(credit_like),       PRUDENCE_FIELD(padding),
    };
}

inline std::vector<FieldLayout> user_layout() {
    using Record = User;
    return {
        PRUDENCE_FIELD(now_us),           PRUDENCE_FIELD(affordable_amount),  PRUDENCE_FIELD(issuer_room),
        PRUDENCE_FIELD(high_risk_room),   PRUDENCE_FIELD(annual_premium_max), PRUDENCE_FIELD(single_premium_max),
        PRUDENCE_FIELD(budget_max),       PRUDENCE_FIELD(held_issuer_start),  PRUDENCE_FIELD(held_issuer_stop),
        PRUDENCE_FIELD(held_group_start), PRUDENCE_FIELD(held_group_stop),    PRUDENCE_FIELD(risk_score_limit),
        PRUDENCE_FIELD(horizon_months),   PRUDENCE_FIELD(max_loss_bps),       PRUDENCE_FIELD(age_rounded_down),
        PRUDENCE_FIELD(age_rounded_up),   PRUDENCE_FIELD(pay_years_stop),     PRUDENCE_FIELD(system_code),
        PRUDENCE_FIELD(clock_code),       PRUDENCE_FIELD(user_code),          PRUDENCE_FIELD(staleness_code),
        PRUDENCE_FIELD(capacity_code),    PRUDENCE_FIELD(assessment_code),    PRUDENCE_FIELD(tolerance_code),
        PRUDENCE_FIELD(age_code),         PRUDENCE_FIELD(jurisdiction_code),  PRUDENCE_FIELD(currency_code),
        PRUDENCE_FIELD(liquid_code),      PRUDENCE_FIELD(holdings_code),      PRUDENCE_FIELD(objectives_code),
        PRUDENCE_FIELD(needs_code),       PRUDENCE_FIELD(groups_code),        PRUDENCE_FIELD(income_code),
        PRUDENCE_FIELD(credit_code),      PRUDENCE_FIELD(risk_level),         PRUDENCE_FIELD(loss_capacity),
        PRUDENCE_FIELD(limited),          PRUDENCE_FIELD(professional),       PRUDENCE_FIELD(elder),
        PRUDENCE_FIELD(vulnerable),       PRUDENCE_FIELD(us_person),          PRUDENCE_FIELD(knowledge),
        PRUDENCE_FIELD(padding),
    };
}

#undef PRUDENCE_FIELD

// Returns the layout as Python has it: (name, offset, size) of each field.
inline nanobind::tuple to_python(const std::vector<FieldLayout>& layout) {
    nanobind::list fields;
    for (const FieldLayout& field : layout) {
        fields.append(nanobind::make_tuple(field.name, field.offset, field.size));
    }
    return nanobind::tuple(fields);
}

inline void construct_catalogue(Catalogue* const place, const AnyArray& products, const AnyArray& sets,
                                const AnyArray& set_starts) {
    const Product* const first = require_records<Product>(products, "products");
    const std::uint64_t* const words = require_array<std::uint64_t>(sets, "sets", 2);
    require_shape(sets, "sets", 0, products.shape(0));
    const std::int64_t* const starts = require_array<std::int64_t>(set_starts, "set_starts", 1);
    std::array<std::int64_t, set_kind_count + 1> checked_starts{};
    require_shape(set_starts, "set_starts", 0, checked_starts.size());
    std::copy_n(starts, checked_starts.size(), checked_starts.begin());
    std::vector<Product> own_products(first, first + products.shape(0));
    std::vector<std::uint64_t> own_sets(words, words + sets.size());
    new (place) Catalogue(make_catalogue(std::move(own_products), std::move(own_sets), checked_starts));
}

// The users of a call as Python gives them.
struct UserArrays {
    AnyArray records;
    AnyArray sets;
    AnyArray held_issuers;
    AnyArray held_groups;
};

inline Users require_users(const Catalogue& catalogue, const UserArrays& arrays) {
    const Users users{require_records<User>(arrays.records, "users"), arrays.records.shape(0),
                      require_array<std::uint64_t>(arrays.sets, "user_sets", 2),
                      Holdings{require_array<std::int64_t, HeldIssuer>(arrays.held_issuers, "held_issuers", 2),
                               arrays.held_issuers.shape(0),
                               require_array<std::int64_t>(arrays.held_groups, "held_groups", 1),
                               arrays.held_groups.shape(0)}};
    require_shape(arrays.sets, "user_sets", 0, users.count);
    require_shape(arrays.sets, "user_sets", 1, catalogue.word_count());
    require_shape(arrays.held_issuers, "held_issuers", 1, 2);
    require_users(users);
    return users;
}

inline Live require_live(const Catalogue& catalogue, const AnyArray& halted, const std::int64_t level_cap) {
    const Live live{require_array<std::uint8_t>(halted, "halted", 1), level_cap};
    require_shape(halted, "halted", 0, catalogue.products.size());
    require_between(level_cap, 0, level_cap_none, "level_cap", 0);
    return live;
}

inline MaskResult gate(const Catalogue& catalogue, const AnyArray& users, const AnyArray& user_sets,
                       const AnyArray& held_issuers, const AnyArray& held_groups, const AnyArray& halted,
                       const std::int64_t level_cap, const AnyArray& user_of_pair, const AnyArray& rows) {
    const Users checked_users = require_users(catalogue, UserArrays{users, user_sets, held_issuers, held_groups});
    const Live live = require_live(catalogue, halted, level_cap);
    const PairList pairs{require_array<std::int64_t>(user_of_pair, "user_of_pair", 1),
                         require_array<std::int64_t>(rows, "rows", 1), rows.shape(0)};
    require_shape(user_of_pair, "user_of_pair", 0, pairs.count);
    require_pairs(pairs, checked_users.count, catalogue.products.size());
    // Every mask is written, so the memory need not be cleared.
    std::unique_ptr<Mask[]> masks(new Mask[pairs.count]);
    {
        const nanobind::gil_scoped_release released;
        judge_pairs(catalogue, checked_users, live, pairs, masks.get());
    }
    static_assert(sizeof(Mask) == 2 * sizeof(std::uint64_t));
    Mask* const data = masks.get();
    const nanobind::capsule owner(masks.release(),
                                  [](void* const pointer) noexcept { delete[] static_cast<Mask*>(pointer); });
    return MaskResult(data, {pairs.count, 2}, owner);
}

inline Int64Result count_catalogue(const Catalogue& catalogue, const AnyArray& users, const AnyArray& user_sets,
                                   const AnyArray& held_issuers, const AnyArray& held_groups,
                                   const AnyArray& halted, const std::int64_t level_cap) {
    const Users checked_users = require_users(catalogue, UserArrays{users, user_sets, held_issuers, held_groups});
    require_shape(users, "users", 0, 1);
    const Live live = require_live(catalogue, halted, level_cap);
    std::array<std::int64_t, code_max + 1> counts{};
    {
        const nanobind::gil_scoped_release released;
        count_codes(catalogue, checked_users, live, counts);
    }
    return to_numpy(std::vector<std::int64_t>(counts.begin(), counts.end()));
}

inline void bind_gate(nanobind::module_& module) {
    namespace nb = nanobind;
    nb::list codes;
    for (const NamedCode& named : named_codes) {
        codes.append(nb::make_tuple(static_cast<int>(named.code), named.name));
    }
    module.attr("CODES") = nb::tuple(codes);
    nb::list predicates;
    for (std::size_t number = 0; number < predicate_count; ++number) {
        predicates.append(number);
    }
    module.attr("PREDICATES") = nb::tuple(predicates);
    module.attr("LEVEL_CAP_NONE") = level_cap_none;
    module.attr("PRODUCT_LAYOUT") = to_python(product_layout());
    module.attr("USER_LAYOUT") = to_python(user_layout());
    nb::class_<Catalogue>(module, "Catalogue")
        .def("__init__", &construct_catalogue, nb::arg("products"), nb::arg("sets"), nb::arg("set_starts"));
    module.def("gate", &gate, nb::arg("catalogue"), nb::arg("users"), nb::arg("user_sets"), nb::arg("held_issuers"),
               nb::arg("held_groups"), nb::arg("halted"), nb::arg("level_cap"), nb::arg("user_of_pair"),
               nb::arg("rows"));
    module.def("count_codes", &count_catalogue, nb::arg("catalogue"), nb::arg("users"), nb::arg("user_sets"),
               nb::arg("held_issuers"), nb::arg("held_groups"), nb::arg("halted"), nb::arg("level_cap"));
}

}  // namespace prudence
