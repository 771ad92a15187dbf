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

// body(piece, lane) for each piece in [0, piece_count), lane in [0, LaneCount(piece_count)); a lane runs one piece at a
// time, in ascending order. body returns whether to go on. Looks at cancellation before each piece. Returns false where
// a body did, or the batch is cancelled. Whatever the threads do, all pieces before one that failed have run, unless
// the batch is cancelled; pieces after it may have.
template <typename Body>
bool RunInLanes(const ExecutionContext& context, size_t piece_count, Body&& body) {
  std::atomic<size_t> next{0};
  std::atomic<size_t> end{piece_count};  // no piece from here on is begun any more
  RunParallel(context, LaneCount(piece_count), [&](size_t lane) {
    for (size_t piece = next.fetch_add(1, std::memory_order_relaxed); piece < end.load(std::memory_order_relaxed);
         piece = next.fetch_add(1, std::memory_order_relaxed)) {
      const bool cancelled = IsCancelled(context);
      if (!cancelled && body(piece, lane)) continue;
      const size_t stop = cancelled ? 0 : piece;
      size_t known = end.load(std::memory_order_relaxed);
      while (stop < known && !end.compare_exchange_weak(known, stop, std::memory_order_relaxed)) {
      }
      return;
    }
  });
  return end.load(std::memory_order_relaxed) == piece_count;
}

}  // namespace chunkkv

#endif  // CHUNKKV_KERNELS_COMMON_LANES_H_
