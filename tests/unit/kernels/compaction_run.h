// A whole compaction through the Compactor interface alone: scores, selection with its guardrail, gather.
#ifndef CHUNKKV_TESTS_UNIT_KERNELS_COMPACTION_RUN_H_
#define CHUNKKV_TESTS_UNIT_KERNELS_COMPACTION_RUN_H_

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "chunkkv/kernels/compactor.h"

namespace chunkkv::testing {

// Inputs of one layer; what the plan's score source does not name stays empty.
struct LayerInput {
  RowsView keys;
  RowsView values;  // head_size 0: none
  RowsView key_scales;
  DenseView queries;
  const float* lse = nullptr;
  DenseView attention;
  DenseView token_scores;
  bool allows_chunk_means = false;
};

struct CompactionOutcome {
  absl::Status status;
  Policy policy_applied = Policy::kFull;
  int64_t budget = 0;
  std::vector<std::vector<int32_t>> positions;         // per group
  std::map<int32_t, std::vector<float>> token_scores;  // per scored layer, [P]
  std::map<int32_t, double> retained_mass;             // per scored layer
  std::vector<double> jaccard;
  std::vector<std::vector<std::byte>> keys;    // per layer, dense
  std::vector<std::vector<std::byte>> values;  // per layer, dense
};

// Memory for one batch, of exactly the bytes that `compactor` asks for, followed by a canary.
class GuardedWorkspace {
 public:
  GuardedWorkspace(const Compactor& compactor, const Plan& plan, const Batch& batch);
  absl::Span<std::byte> Span();
  bool IsIntact() const;

 private:
  std::vector<std::byte> memory_;
  size_t offset_ = 0;
  size_t size_bytes_ = 0;
};

// Enqueue and Wait with a fresh workspace; a write past the workspace is INTERNAL.
absl::Status RunBatch(const Compactor& compactor, const Plan& plan, const Batch& batch, ExecutionContext& context);

// Applies the plan's guardrail as a session does: a mass below the least ends FAILED_PRECONDITION, LOW_RETAINED_MASS,
// with budget and masses filled in.
CompactionOutcome Compact(const Compactor& compactor, const Plan& plan, const std::vector<LayerInput>& layers,
                          ExecutionContext context = {});

// Runs bodies on `thread_count` threads, the last index first.
std::function<void(size_t, const std::function<void(size_t)>&)> OnThreads(int thread_count);

}  // namespace chunkkv::testing

#endif  // CHUNKKV_TESTS_UNIT_KERNELS_COMPACTION_RUN_H_
