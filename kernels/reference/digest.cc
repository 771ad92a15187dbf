#include "kernels/reference/digest.h"

#include <xxhash.h>

#include <algorithm>

#include "kernels/common/run.h"

namespace chunkkv::reference {

absl::Status DigestBlocks(const DigestTask& task, const ExecutionContext& context) {
  constexpr auto kBlockBytes = static_cast<int64_t>(kDigestBlockBytes);
  for (int64_t begin = 0; begin < task.size_bytes; begin += kBlockBytes) {
    if (IsCancelled(context)) return CancelledStatus();
    const int64_t bytes = std::min(kBlockBytes, task.size_bytes - begin);
    task.block_digests[begin / kBlockBytes] = XXH3_64bits(task.data + begin, static_cast<size_t>(bytes));
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::reference
