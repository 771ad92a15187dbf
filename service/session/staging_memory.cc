#include "service/session/staging_memory.h"

#include <algorithm>
#include <utility>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"

namespace chunkkv {

absl::StatusOr<BufferPtr> StagingMemory::Acquire(int64_t size_bytes, Buffer::Kind kind) {
  BudgetShare share;
  {
    MutexLock lock(mutex_);
    if (closed_) return absl::CancelledError("the session has ended");
    for (BufferPtr& buffer : free_) {
      if (kind == Buffer::Kind::kShareable || buffer->size_bytes() != size_bytes) continue;
      std::swap(buffer, free_.back());
      BufferPtr recycled = std::move(free_.back());
      free_.pop_back();
      return recycled;
    }
    const int64_t charged_bytes = Buffer::ChargedBytes(size_bytes);
    if (charged_bytes > share_.bytes()) {
      return ErrorStatus(absl::StatusCode::kInternal, "STAGING", "the put needs more memory than it reserved");
    }
    share = share_.Split(charged_bytes);
  }
  CHUNKKV_ASSIGN_OR_RETURN(Buffer buffer, Buffer::Allocate(size_bytes, std::move(share), kind));
  return std::make_shared<Buffer>(std::move(buffer));
}

void StagingMemory::Recycle(BufferPtr buffer) {
  MutexLock lock(mutex_);
  if (recycles_ && !closed_) free_.push_back(std::move(buffer));
}

BudgetShare StagingMemory::TakeShare(int64_t bytes) {
  MutexLock lock(mutex_);
  return share_.Split(std::min(bytes, share_.bytes()));
}

std::vector<BufferPtr> StagingMemory::Close() {
  BudgetShare share;
  MutexLock lock(mutex_);
  closed_ = true;
  std::swap(share, share_);
  in_flight_.reset();
  return std::exchange(free_, {});
}

}  // namespace chunkkv
