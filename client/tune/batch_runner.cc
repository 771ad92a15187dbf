#include "client/tune/batch_runner.h"

#include <cstdint>
#include <utility>

#include "service/base/status_macros.h"

namespace chunkkv::tune {
namespace {

constexpr size_t kAlignment = 64;  // what WorkspaceBytes asks for

}  // namespace

BatchRunner::BatchRunner(const Compactor& compactor, ExecutionContext context)
    : compactor_(compactor), context_(std::move(context)) {}

absl::Status BatchRunner::Run(const Plan& plan, const Batch& batch) {
  const size_t needed = compactor_.WorkspaceBytes(plan, batch);
  if (workspace_.size() < needed + kAlignment) workspace_.resize(needed + kAlignment);
  const size_t skew = reinterpret_cast<uintptr_t>(workspace_.data()) % kAlignment;
  const absl::Span<std::byte> aligned(workspace_.data() + (kAlignment - skew) % kAlignment, needed);
  CHUNKKV_RETURN_IF_ERROR(compactor_.Enqueue(plan, batch, aligned, context_));
  return compactor_.Wait(context_);
}

}  // namespace chunkkv::tune
