// The memory of one session beside its body, all of it reserved at the beginning.
#ifndef CHUNKKV_SERVICE_SESSION_STAGING_MEMORY_H_
#define CHUNKKV_SERVICE_SESSION_STAGING_MEMORY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "service/base/mutex.h"
#include "service/memory/buffer.h"
#include "service/store/entry_store.h"

namespace chunkkv {

// Buffers are shared with the parts being written to them, so that an aborted session's memory lives until the last
// writer is done.
using BufferPtr = std::shared_ptr<Buffer>;

// Allocates against one reservation, when memory is first needed; what is recycled serves the next buffer of its size
// without new page faults. Thread-safe.
class StagingMemory {
 public:
  // `in_flight`: what the tenant's quota counts, until Close. `recycles`: whether buffers of one size are needed again
  // and again.
  StagingMemory(BudgetShare share, InFlightShare in_flight, bool recycles)
      : recycles_(recycles), share_(std::move(share)), in_flight_(std::in_place, std::move(in_flight)) {}

  // Bytes are zero or left over. The caller keeps to its staging plan: what is recycled serves its own size only, so
  // those sizes must be few. Errors: CANCELLED after Close, RESOURCE_EXHAUSTED (OUT_OF_MEMORY), INTERNAL (STAGING: more
  // than was reserved).
  absl::StatusOr<BufferPtr> Acquire(int64_t size_bytes) { return Acquire(size_bytes, Buffer::Kind::kPrivate); }
  // Likewise, never of what is recycled, where `kind` is kShareable.
  absl::StatusOr<BufferPtr> Acquire(int64_t size_bytes, Buffer::Kind kind);
  // Nobody but the caller may still use `buffer`. Freed at once where nothing is recycled.
  void Recycle(BufferPtr buffer);
  // Hands out `bytes` of what was reserved, or what is left where that is less.
  BudgetShare TakeShare(int64_t bytes);
  // Gives back what is not in use, but for the buffers returned: unmapping takes time.
  [[nodiscard]] std::vector<BufferPtr> Close();

 private:
  const bool recycles_;
  Mutex mutex_;
  BudgetShare share_ ABSL_GUARDED_BY(mutex_);
  std::optional<InFlightShare> in_flight_ ABSL_GUARDED_BY(mutex_);
  std::vector<BufferPtr> free_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace chunkkv

#endif  // CHUNKKV_SERVICE_SESSION_STAGING_MEMORY_H_
