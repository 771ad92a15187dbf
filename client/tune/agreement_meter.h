// Measures the agreement of layers, one prompt at a time; memory is that of one prompt and the table.
//
// Each layer's own choice and each choice of several layers together (SUM) is made by the Compactor, as for a put.
// Source: layer-wise index reuse, ChunkKV, arXiv 2502.00299 section 3; leaders that are not the first, SUM and the loss
// of retained mass are this project's.
#ifndef CHUNKKV_CLIENT_TUNE_AGREEMENT_METER_H_
#define CHUNKKV_CLIENT_TUNE_AGREEMENT_METER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/plan.h"
#include "chunkkv/kernels/spec.h"
#include "client/tune/batch_runner.h"
#include "client/tune/layer_agreement.h"
#include "client/tune/recorded_prompt.h"

namespace chunkkv::tune {

// Not thread-safe.
class AgreementMeter {
 public:
  // `spec`: how a layer chooses. Its groups, reuse_group, guardrail and chunk_starts play no part. `max_group` in
  // [1, kLargestMaxGroup]. `compactor` must outlive the meter.
  AgreementMeter(const CompactionSpec& spec, int32_t max_group, const Compactor& compactor, ExecutionContext context);

  // Measures one more prompt. False for a prompt that says nothing, which is only counted: all its tokens are kept, or
  // none besides window and sinks, so that every layer chooses the same.
  // Errors: INVALID_ARGUMENT: NO_AGREEMENT_TO_MEASURE (a policy without scores), LAYERS_DIFFER (none, or another
  // number than the prompts before), MIXED_CHUNKS (chunk_kv: given chunks in some prompts only), BAD_SCORES (not [P]),
  // NON_FINITE_INPUT, NEGATIVE_SCORES, those of MakePlan. A prompt that is refused, or not chosen from, leaves the
  // meter as it was.
  absl::StatusOr<bool> Add(const RecordedPrompt& prompt);

  // Whether the prompts that were measured have given chunks.
  bool has_given_chunks() const { return has_given_chunks_; }
  // Over the prompts so far.
  LayerAgreement Agreement() const;

 private:
  // Kept positions of every run of as many layers that choose together: [run][B].
  using Choices = std::vector<std::vector<int32_t>>;

  absl::StatusOr<Plan> PlanRun(const RecordedPrompt& prompt, int32_t run_length) const;
  absl::Status CheckPrompt(const RecordedPrompt& prompt, int64_t past_length) const;
  void Begin(const RecordedPrompt& prompt);
  absl::StatusOr<Choices> Choose(const RecordedPrompt& prompt, int32_t run_length);
  void CountOwn(const RecordedPrompt& prompt, const Plan& plan, const Choices& own);
  void CountLed(const RecordedPrompt& prompt, const Choices& own);
  void CountSummed(const RecordedPrompt& prompt, const Choices& together, int32_t run_length, const Choices& own);

  CompactionSpec spec_;
  const int32_t max_group_;
  BatchRunner runner_;
  bool has_given_chunks_ = false;
  int32_t layer_count_ = 0;  // 0: no prompt yet
  LayerAgreement sums_;      // sums where the result has means
};

}  // namespace chunkkv::tune

#endif  // CHUNKKV_CLIENT_TUNE_AGREEMENT_METER_H_
