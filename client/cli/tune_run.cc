#include "client/cli/tune_run.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/output.h"
#include "client/tune/choose_groups.h"
#include "service/base/status_macros.h"
#include "service/format/sha256.h"

namespace chunkkv::cli {
namespace {

// "llama-3.1-8b, chunk_kv 20.0 %, 5f0c2a91": the last are digits of a digest of what was measured and found, so that
// other groups have another name.
std::string DefaultName(const ReuseProfile& profile) {
  constexpr size_t kMaxModelBytes = 80;
  constexpr size_t kDigits = 8;
  const CompactionSpec& spec = profile.spec;
  const std::string budget = spec.keep_ratio ? ShareText(*spec.keep_ratio) : absl::StrCat(*spec.max_tokens, " tokens");
  const std::string model = profile.model.name.size() <= kMaxModelBytes ? profile.model.name : "model";
  CompactionSpec found = spec;
  found.groups = profile.groups;
  const std::string digest = ToHex(Sha256Of(CanonicalText(found) + (profile.given_chunks ? " given" : "")));
  return absl::StrCat(model, ", ", std::string(PolicyName(spec.policy)), " ", budget, ", ", digest.substr(0, kDigits));
}

}  // namespace

TuneRun::TuneRun(TuneRequest request, const Compactor& compactor, ExecutionContext context)
    : request_(std::move(request)), meter_(request_.spec, request_.max_group, compactor, std::move(context)) {}

absl::Status TuneRun::CheckSameModel(const tune::RecordedPromptFile& prompt) {
  if (*prompt.model != model_) {
    return InvalidArgument("MIXED_MODELS", "the prompt is of another model than the first one");
  }
  if (prompt.layers != layers_) {
    return InvalidArgument("LAYERS_DIFFER", "other layers are attention layers than in the first prompt");
  }
  return absl::OkStatus();
}

absl::Status TuneRun::Add(const std::string& name, const tune::RecordedPromptFile& prompt) {
  if (names_.empty()) {
    model_ = *prompt.model;
    layers_ = prompt.layers;
  }
  absl::Status status = CheckSameModel(prompt);
  if (status.ok()) status = meter_.Add(prompt.prompt).status();
  if (!status.ok()) return ErrorStatus(status.code(), StatusReason(status), absl::StrCat(name, ": ", status.message()));
  names_.push_back(name);
  return absl::OkStatus();
}

ReuseProfile TuneRun::Profile(const tune::LayerAgreement& agreement) const {
  const CompactionSpec& spec = request_.spec;
  ReuseProfile profile;
  profile.model = model_;
  profile.spec = OwnChoice(spec);
  profile.given_chunks = spec.policy == Policy::kChunkKv && meter_.has_given_chunks();
  profile.max_loss = request_.rules.max_loss;
  profile.max_worst_loss = request_.rules.max_worst_loss;
  profile.prompt_count = agreement.prompt_count;
  profile.token_count = agreement.token_count;
  profile.groups = ChooseGroups(agreement.losses, request_.rules);
  for (const ReuseGroup& group : profile.groups) {
    for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
      const tune::Loss& loss = agreement.losses.Of(group, layer);
      profile.layers.push_back({agreement.own_mass[layer], loss.mean, loss.worst});
    }
  }
  profile.name = request_.profile_name.empty() ? DefaultName(profile) : request_.profile_name;
  return profile;
}

absl::StatusOr<TuneReport> TuneRun::Finish() const {
  TuneReport report{.agreement = meter_.Agreement(), .rules = request_.rules, .profile = {}, .prompts = names_};
  if (report.agreement.prompt_count == 0) {
    return InvalidArgument("NOTHING_MEASURED",
                           "in every prompt all layers keep the same: all tokens, or none but the "
                           "window and the sinks");
  }
  report.profile = Profile(report.agreement);
  // What a reader would refuse is never written.
  CHUNKKV_RETURN_IF_ERROR(ParseReuseProfile(ReuseProfileText(report.profile)).status());
  return report;
}

}  // namespace chunkkv::cli
