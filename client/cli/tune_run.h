// One run of tuning, from the first prompt to the profile, wherever prompts come from.
#ifndef CHUNKKV_CLIENT_CLI_TUNE_RUN_H_
#define CHUNKKV_CLIENT_CLI_TUNE_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/spec.h"
#include "client/cli/tune_report.h"
#include "client/tune/agreement_meter.h"
#include "client/tune/group_options.h"
#include "client/tune/recorded_prompt_file.h"

namespace chunkkv::cli {

struct TuneRequest {
  CompactionSpec spec;  // how a layer chooses
  tune::GroupRules rules;
  int32_t max_group = 8;
  std::string profile_name;  // empty: of model, policy, budget and what was found
};

// Not thread-safe. Holds the scores of no prompt that has been added.
class TuneRun {
 public:
  // `compactor` must outlive it.
  TuneRun(TuneRequest request, const Compactor& compactor, ExecutionContext context);

  // Measures one more prompt, which `name` stands for in the report. Its model must be known. Errors: INVALID_ARGUMENT
  // (MIXED_MODELS, LAYERS_DIFFER, those of AgreementMeter::Add), naming it.
  absl::Status Add(const std::string& name, const tune::RecordedPromptFile& prompt);

  // Groups and profile from the prompts so far. Errors: INVALID_ARGUMENT (NOTHING_MEASURED, BAD_PROFILE for a
  // profile_name that is none).
  absl::StatusOr<TuneReport> Finish() const;

 private:
  absl::Status CheckSameModel(const tune::RecordedPromptFile& prompt);
  ReuseProfile Profile(const tune::LayerAgreement& agreement) const;

  const TuneRequest request_;
  tune::AgreementMeter meter_;
  std::vector<std::string> names_;
  std::vector<int32_t> layers_;  // attention layers of the first prompt
  ModelIdentity model_;          // of the first prompt
};

}  // namespace chunkkv::cli

#endif  // CHUNKKV_CLIENT_CLI_TUNE_RUN_H_
