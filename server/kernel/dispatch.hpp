// Which path of the scan runs: the fastest that this machine has, unless the caller names one.

#pragma once

#include <array>
#include <string>
#include <vector>

#include "errors.hpp"
#include "scan_avx2.hpp"
#include "scan_avx512vnni.hpp"
#include "scan_sse2.hpp"
#include "scan_tile.hpp"

namespace prudence {

inline constexpr const char* scan_path_auto = "auto";

// Returns every path that was compiled, the fastest first. Whether the machine has it includes whether its
// operating system saves the registers.
inline std::vector<ScanPath> list_scan_paths() {
    std::vector<ScanPath> paths;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx512vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    paths.push_back({"avx512vnni", avx512vnni, true, &pack_vnni, &score_vnni, &score_rows_vnni});
    paths.push_back({"avx2", __builtin_cpu_supports("avx2") != 0, true, &pack_avx2, &score_avx2, &score_rows_avx2});
    paths.push_back({"sse2", true, false, &pack_sse2, &score_sse2, &score_rows_sse2});
#endif
    paths.push_back({"portable", true, true, &pack_portable, &score_portable, &score_rows_portable});
    return paths;
}

// Returns the path with this name, or the fastest available one for "auto".
inline ScanPath find_scan_path(const std::string& name) {
    std::string available;
    for (const ScanPath& path : list_scan_paths()) {
        if (path.available && (name == scan_path_auto || name == path.name)) {
            return path;
        }
        available += path.available ? std::string(", ") + path.name : "";
    }
    throw InputError("path: \"" + name + "\" is not available on this machine; expected one of " +
                     scan_path_auto + available);
}

}  // namespace prudence
