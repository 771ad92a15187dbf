// Batches on their way: chunkkv_workspace_bytes, chunkkv_enqueue, chunkkv_wait.
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/status.h"
#include "kernels/c/batch.h"
#include "kernels/c/device.h"
#include "kernels/c/last_error.h"
#include "kernels/c/plan.h"
#include "kernels/c/read_struct.h"

struct chunkkv_context {
  std::shared_ptr<const chunkkv::Compactor> compactor;
  chunkkv::ExecutionContext execution;
  std::vector<std::unique_ptr<chunkkv::c::OwnedBatch>> batches;  // the first `enqueued_count` are on their way
  size_t enqueued_count = 0;
};

namespace chunkkv::c {
namespace {

void CallBody(void* argument, uint64_t i) {
  (*static_cast<const std::function<void(size_t)>*>(argument))(static_cast<size_t>(i));
}

absl::Status SetOptions(const chunkkv_context_options& options, bool is_cuda, ExecutionContext* execution) {
  if (options.max_sm_count < 0) return BadStruct("options", "have a negative max_sm_count");
  if (is_cuda && options.failure == nullptr) {
    return InvalidArgument("NO_FAILURE_WORD", "options.failure: CUDA needs a word of pinned memory");
  }
  execution->stream = options.stream;
  execution->failure = options.failure;
  execution->max_sm_count = options.max_sm_count;
  if (options.failure != nullptr) *options.failure = kNoFailure;
  if (options.run_parallel != nullptr) {
    execution->run_parallel = [run = options.run_parallel, user = options.user](
                                  size_t count, const std::function<void(size_t)>& body) {
      run(user, count, CallBody, const_cast<std::function<void(size_t)>*>(&body));
    };
  }
  if (options.is_cancelled != nullptr) {
    execution->cancelled = [ask = options.is_cancelled, user = options.user] { return ask(user) != 0; };
  }
  return absl::OkStatus();
}

absl::Status Create(const chunkkv_device* device, const chunkkv_context_options* from, chunkkv_context** context) {
  if (context == nullptr) return BadStruct("context", "is null");
  *context = nullptr;
  if (device == nullptr) return BadStruct("device", "is null");
  chunkkv_context_options options = {};
  if (from != nullptr) {
    if (absl::Status status = ReadStruct(from, "options", &options); !status.ok()) return status;
  }
  auto made = std::make_unique<chunkkv_context>();
  made->compactor = device->compactor;
  if (absl::Status status = SetOptions(options, device->is_cuda, &made->execution); !status.ok()) return status;
  *context = made.release();
  return absl::OkStatus();
}

// `plan`'s, or one without layers, which serves a batch that only copies.
const Plan& PlanOf(const chunkkv_plan* plan) {
  static const Plan kNone;
  return plan == nullptr ? kNone : plan->plan;
}

// The batch after those on their way, read from `from`.
absl::Status ReadNext(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* from,
                      OwnedBatch** batch) {
  if (context == nullptr) return BadStruct("context", "is null");
  if (context->batches.size() <= context->enqueued_count) context->batches.push_back(std::make_unique<OwnedBatch>());
  *batch = context->batches[context->enqueued_count].get();
  return (*batch)->Read(PlanOf(plan), from);
}

absl::Status WorkspaceBytes(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* from,
                            uint64_t* bytes) {
  if (bytes == nullptr) return BadStruct("bytes", "is null");
  OwnedBatch* batch = nullptr;
  if (absl::Status status = ReadNext(context, plan, from, &batch); !status.ok()) return status;
  *bytes = context->compactor->WorkspaceBytes(PlanOf(plan), batch->View());
  return absl::OkStatus();
}

absl::Status Enqueue(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* from, void* workspace,
                     uint64_t workspace_bytes) {
  OwnedBatch* batch = nullptr;
  if (absl::Status status = ReadNext(context, plan, from, &batch); !status.ok()) return status;
  if (workspace == nullptr && workspace_bytes > 0) return BadStruct("workspace", "is null");
  ++context->enqueued_count;
  const absl::Span<std::byte> scratch(static_cast<std::byte*>(workspace), workspace_bytes);
  absl::Status status = context->compactor->Enqueue(PlanOf(plan), batch->View(), scratch, context->execution);
  if (!status.ok()) --context->enqueued_count;  // refused: nothing of it is on its way
  return status;
}

absl::Status Wait(chunkkv_context* context) {
  if (context == nullptr) return BadStruct("context", "is null");
  absl::Status status = context->compactor->Wait(context->execution);
  context->enqueued_count = 0;
  return status;
}

}  // namespace
}  // namespace chunkkv::c

namespace c = chunkkv::c;

chunkkv_code chunkkv_context_create(const chunkkv_device* device, const chunkkv_context_options* options,
                                    chunkkv_context** context) {
  return c::Guarded([&] { return c::Create(device, options, context); });
}

void chunkkv_context_destroy(chunkkv_context* context) { delete context; }

chunkkv_code chunkkv_workspace_bytes(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* batch,
                                     uint64_t* bytes) {
  return c::Guarded([&] { return c::WorkspaceBytes(context, plan, batch, bytes); });
}

chunkkv_code chunkkv_enqueue(chunkkv_context* context, const chunkkv_plan* plan, const chunkkv_batch* batch,
                             void* workspace, uint64_t workspace_bytes) {
  return c::Guarded([&] { return c::Enqueue(context, plan, batch, workspace, workspace_bytes); });
}

chunkkv_code chunkkv_wait(chunkkv_context* context) {
  return c::Guarded([&] { return c::Wait(context); });
}
