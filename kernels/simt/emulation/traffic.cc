#include "kernels/simt/emulation/traffic.h"

#include <unordered_set>
#include <utility>

namespace chunkkv::simt::emulation {
namespace {
constexpr uintptr_t kSectorBytes = 32;
}  // namespace

void Traffic::Add(int64_t warp, Site site, int64_t nth, Access access, const void* address, size_t bytes) {
  Instructions& instructions = access == Access::kLoad ? loads_ : stores_;
  std::set<uintptr_t>& sectors = instructions[{grid_, warp, site.file, site.line, nth}];
  const auto first = reinterpret_cast<uintptr_t>(address);
  for (uintptr_t sector = first / kSectorBytes; sector <= (first + bytes - 1) / kSectorBytes; ++sector) {
    sectors.insert(sector);
  }
}

Traffic::Sectors Traffic::Total(const Instructions& instructions, AddressRange range) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(range.begin) / kSectorBytes;
  const uintptr_t end = begin + range.bytes / kSectorBytes + (range.bytes % kSectorBytes != 0);
  Sectors total;
  std::unordered_set<uintptr_t> of_grid;
  int64_t grid = 0;
  for (const auto& [instruction, sectors] : instructions) {
    if (std::exchange(grid, std::get<0>(instruction)) != std::get<0>(instruction)) of_grid.clear();
    int64_t in_range = 0;
    for (const uintptr_t sector : sectors) {
      if (sector < begin || sector >= end) continue;
      ++in_range;
      total.distinct += of_grid.insert(sector).second;
    }
    total.requested += in_range;
    total.requests += in_range > 0;
  }
  return total;
}

}  // namespace chunkkv::simt::emulation
