// Rows of a put that lie in a region until it is known which of them stay.
#ifndef CHUNKKV_SERVICE_SESSION_REGION_ROWS_H_
#define CHUNKKV_SERVICE_SESSION_REGION_ROWS_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "service/memory/budget.h"
#include "service/session/part_arrivals.h"
#include "service/transfer/region/region_part.h"

namespace chunkkv {

// A part of a put and the region it lies in, with what its block ids take of the budget.
struct RegionSource {
  RegionPart part;
  BudgetShare share;
};

struct RegionRows {
  PlacedPart part;
  std::shared_ptr<RegionSource> source;
};

// The positions (ascending) that lie in none of those of `rows` that are of `tensor`, as stretches of `positions`.
std::vector<absl::Span<const int32_t>> KeptOutside(absl::Span<const int32_t> positions, size_t tensor,
                                                   const std::vector<RegionRows>& rows);

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_REGION_ROWS_H_
