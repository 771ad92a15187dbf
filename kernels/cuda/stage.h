// What the stages of a batch share: where and how they start kernels.
#ifndef CHUNKKV_KERNELS_CUDA_STAGE_H_
#define CHUNKKV_KERNELS_CUDA_STAGE_H_

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"
#include "kernels/common/run.h"
#include "kernels/cuda/launcher.h"

namespace chunkkv::cuda {

struct Stage {
  const Launcher& launcher;
  const ExecutionContext& context;

  // start(shape) with a grid for `items` items of work, each a block's; nothing where there are none, or the batch is
  // cancelled. Kernels go on with the next item where the grid has fewer blocks.
  template <typename Start>
  absl::Status Run(int64_t items, Start start) const {
    if (IsCancelled(context)) return CancelledStatus();
    if (items <= 0) return absl::OkStatus();
    const int64_t most = context.max_sm_count > 0 ? context.max_sm_count : INT32_MAX;
    return start(LaunchShape{std::min(items, most), context.stream});
  }
};

inline int64_t Blocks(int64_t count, int64_t per_block) { return (count + per_block - 1) / per_block; }

}  // namespace chunkkv::cuda

#endif  // CHUNKKV_KERNELS_CUDA_STAGE_H_
