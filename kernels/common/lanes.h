#ifndef CHUNKKV_KERNELS_COMMON_LANES_H_
#define CHUNKKV_KERNELS_COMMON_LANES_H_

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "kernels/common/run.h"

namespace chunkkv {

// How many pieces of work of one batch may run at once; each lane has its own part of the workspace.
inline constexpr size_t kMaxLanes = 16;

inline size_t LaneCount(size_t piece_count) { return std::min(piece_count, kMaxLanes); }

// body(piece, lane) for each piece in [0, piece_count), lane in [0, LaneCount(piece_count)); no lane runs two pieces at
// once. body returns whether to go on. Looks at cancellation before each piece. Returns false where a body did, or the
// batch is cancelled; then some pieces have not run.
template <typename Body>
bool RunInLanes(const ExecutionContext& context, size_t piece_count, Body&& body) {
  std::atomic<size_t> next{0};
  std::atomic<bool> stopped{false};
  RunParallel(context, LaneCount(piece_count), [&](size_t lane) {
    for (size_t piece = next.fetch_add(1, std::memory_order_relaxed); piece < piece_count;
         piece = next.fetch_add(1, std::memory_order_relaxed)) {
      if (stopped.load(std::memory_order_relaxed)) return;
      if (IsCancelled(context) || !body(piece, lane)) stopped.store(true, std::memory_order_relaxed);
    }
  });
  return !stopped.load(std::memory_order_relaxed);
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_LANES_H_
