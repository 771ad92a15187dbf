#include "kernels/simt/emulation/traffic.h"

namespace chunkkv::simt::emulation {
namespace {
constexpr uintptr_t kSectorBytes = 32;
}  // namespace

void Traffic::Add(int64_t warp, Site site, int64_t nth, Access access, const void* address, size_t bytes) {
  Count& count = access == Access::kLoad ? loads_ : stores_;
  std::set<uintptr_t>& sectors = count.instructions[{warp, site.file, site.line, nth}];
  const auto first = reinterpret_cast<uintptr_t>(address);
  for (uintptr_t sector = first / kSectorBytes; sector <= (first + bytes - 1) / kSectorBytes; ++sector) {
    sectors.insert(sector);
    count.distinct.insert(sector);
  }
}

Traffic::Sectors Traffic::Count::Total() const {
  Sectors total;
  for (const auto& [instruction, sectors] : instructions) total.requested += static_cast<int64_t>(sectors.size());
  total.distinct = static_cast<int64_t>(distinct.size());
  total.requests = static_cast<int64_t>(instructions.size());
  return total;
}

}  // namespace chunkkv::simt::emulation
