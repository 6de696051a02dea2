// Random cases of the scan against plain loops, to be run under sanitizers by test_kernel_sanitizers.py.
//
// Every array has exactly the bytes it is said to have and starts at an odd address, so that a read past its
// end, or one that takes alignment for granted, is found.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "dispatch.hpp"
#include "scan.hpp"

namespace {

using Random = std::mt19937_64;

// Bytes at an odd address, with nothing behind them.
class OddBytes {
  public:
    explicit OddBytes(const std::size_t size) : storage_(new std::uint8_t[size + 1]) {}
    std::uint8_t* data() { return storage_.get() + 1; }
    std::int8_t* values() { return reinterpret_cast<std::int8_t*>(data()); }

  private:
    std::unique_ptr<std::uint8_t[]> storage_;
};

struct Found {
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> scores;
};

void draw_values(Random& random, OddBytes& bytes, const std::size_t size) {
    const std::uint64_t kind = random() % 3;
    for (std::size_t place = 0; place < size; ++place) {
        const std::int64_t draw = static_cast<std::int64_t>(random() % 256) - 128;
        const std::int64_t extreme = draw < 0 ? -128 : 127;
        bytes.values()[place] = static_cast<std::int8_t>(kind == 0 ? draw : kind == 1 ? draw % 2 : extreme);
    }
}

Found scan_plainly(const prudence::ScanBatch& batch, const prudence::ByteMatrix& items,
                   const std::int64_t count) {
    Found found;
    for (std::size_t user = 0; user < batch.count; ++user) {
        std::vector<std::pair<std::int64_t, std::int64_t>> order;
        for (std::int64_t row = batch.row_starts[user]; row < batch.row_stops[user]; ++row) {
            const std::uint8_t* const bitmap = batch.bitmaps[user];
            if (bitmap != nullptr && (bitmap[row / 8] >> (row % 8) & 1) == 0) {
                continue;
            }
            std::int64_t score = 0;
            for (std::size_t position = 0; position < items.dim; ++position) {
                score += batch.vectors[user * items.dim + position] *
                         items.values[static_cast<std::size_t>(row) * items.dim + position];
            }
            order.emplace_back(-score, row);
        }
        std::sort(order.begin(), order.end());
        order.resize(std::min(order.size(), static_cast<std::size_t>(count)), {0, 0});
        for (std::size_t place = 0; place < static_cast<std::size_t>(count); ++place) {
            found.rows.push_back(place < order.size() ? order[place].second : -1);
            found.scores.push_back(place < order.size() ? -order[place].first : 0);
        }
    }
    return found;
}

// Returns whether every path of this machine finds what the plain loops find.
bool check_scan(Random& random) {
    static constexpr std::size_t dims[] = {0, 1, 3, 15, 16, 17, 48, 63, 64, 65, 100, 128, 200};
    const std::size_t dim = dims[random() % std::size(dims)];
    // A sample is taken of many rows only.
    const bool many = random() % 32 == 0 && dim < 48;
    const std::size_t row_count = many ? 4000 + random() % 4000 : random() % 4 == 0 ? random() % 3 : random() % 400;
    const std::size_t user_count = random() % 11;
    const std::int64_t count = static_cast<std::int64_t>(random() % 3 == 0 ? random() % 500 : random() % 20);
    OddBytes items(row_count * dim);
    OddBytes users(user_count * dim);
    draw_values(random, items, row_count * dim);
    draw_values(random, users, user_count * dim);
    std::vector<std::int64_t> starts;
    std::vector<std::int64_t> stops;
    std::vector<std::unique_ptr<OddBytes>> owned;
    std::vector<const std::uint8_t*> bitmaps;
    for (std::size_t user = 0; user < user_count; ++user) {
        const std::uint64_t one = random() % (row_count + 1);
        const std::uint64_t other = random() % (row_count + 1);
        starts.push_back(static_cast<std::int64_t>(random() % 2 == 0 ? 0 : std::min(one, other)));
        stops.push_back(static_cast<std::int64_t>(std::max(one, other)));
        owned.push_back(std::make_unique<OddBytes>((row_count + 7) / 8));
        const std::uint64_t kind = random() % 4;
        for (std::size_t byte = 0; byte < (row_count + 7) / 8; ++byte) {
            const std::uint64_t bits = kind == 2 ? random() & random() & random() & random() & random() : random();
            owned.back()->data()[byte] = static_cast<std::uint8_t>(bits);
        }
        bitmaps.push_back(kind == 0 ? nullptr : owned.back()->data());
    }
    const prudence::ByteMatrix matrix{items.values(), row_count, dim};
    const std::vector<std::int64_t> counts(user_count, count);
    const prudence::ScanBatch batch{users.values(),  starts.data(), stops.data(),
                                    bitmaps.data(), counts.data(), user_count};
    const Found expected = scan_plainly(batch, matrix, count);
    OddBytes packed(prudence::count_packed_bytes(row_count, dim));
    for (const prudence::ScanPath& path : prudence::list_scan_paths()) {
        Found found{expected.scores, expected.rows};  // Of the right size, and wrong.
        if (!path.available) {
            continue;
        }
        prudence::ScanItems scanned(path, matrix);
        if (path.packs_bytes && random() % 2 == 0) {
            scanned.pack(packed.values());
        }
        prudence::scan(scanned, batch, count, found.rows.data(), found.scores.data());
        if (found.rows != expected.rows || found.scores != expected.scores) {
            std::printf("%s differs: dim %zu, %zu rows, %zu users, count %lld\n", path.name, dim, row_count,
                        user_count, static_cast<long long>(count));
            return false;
        }
    }
    return true;
}

// Scans one row more than there is: what a sanitizer must find.
void scan_too_far() {
    OddBytes items(64 * 64 - 1);
    std::memset(items.data(), 0, 64 * 64 - 1);
    const std::vector<std::int8_t> user(64, 1);
    const std::int64_t start = 0;
    const std::int64_t stop = 64;
    const std::uint8_t* const bitmap = nullptr;
    std::int64_t row = 0;
    std::int64_t score = 0;
    const std::int64_t count = 1;
    const prudence::ScanBatch batch{user.data(), &start, &stop, &bitmap, &count, 1};
    const prudence::ScanItems scanned(prudence::find_scan_path("portable"), {items.values(), 64, 64});
    prudence::scan(scanned, batch, count, &row, &score);
}

}  // namespace

int main(const int argument_count, const char* const* const arguments) {
    if (argument_count > 1 && std::string(arguments[1]) == "too-far") {
        scan_too_far();
        return 0;
    }
    Random random(20261122);
    for (int round = 0; round < 1500; ++round) {
        if (!check_scan(random)) {
            std::printf("round %d differs\n", round);
            return 1;
        }
    }
    for (const prudence::ScanPath& path : prudence::list_scan_paths()) {
        std::printf("%s: %s\n", path.name, path.available ? "equal" : "not on this machine");
    }
    return 0;
}
