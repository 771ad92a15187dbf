#include "service/session/region_rows.h"

#include <algorithm>

namespace chunkkv {

std::vector<absl::Span<const int32_t>> KeptOutside(absl::Span<const int32_t> positions, size_t tensor,
                                                   const std::vector<RegionRows>& rows) {
  std::vector<std::pair<int64_t, int64_t>> elsewhere;
  for (const RegionRows& of_part : rows) {
    if (of_part.part.tensor == tensor) elsewhere.emplace_back(of_part.part.begin, of_part.part.end);
  }
  std::sort(elsewhere.begin(), elsewhere.end());
  std::vector<absl::Span<const int32_t>> outside;
  const auto* at = positions.begin();
  const auto take_until = [&](const int32_t* end) {
    if (at != end) outside.push_back(absl::MakeConstSpan(at, end));
  };
  for (const auto& [begin, end] : elsewhere) {
    take_until(std::lower_bound(at, positions.end(), begin));
    at = std::lower_bound(at, positions.end(), end);
  }
  take_until(positions.end());
  return outside;
}

}  // namespace chunkkv
