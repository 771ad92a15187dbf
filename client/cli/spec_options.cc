#include "client/cli/spec_options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>

#include "chunkkv/kernels/status.h"
#include "service/base/status_macros.h"
#include "service/format/identity.h"
#include "service/format/reuse_profile.h"

namespace chunkkv::cli {
namespace {

constexpr const char* kGroup = "Compaction";  // of --help

// Resolves a name by `from_name`; unset stays unset.
template <typename Value, typename FromName>
absl::Status Resolve(const std::optional<std::string>& text, const char* flag, const char* reason, FromName from_name,
                     std::optional<Value>* value) {
  if (!text) return absl::OkStatus();
  *value = from_name(*text);
  if (value->has_value()) return absl::OkStatus();
  return InvalidArgument(reason, std::string("--") + flag + " is unknown: " + text->substr(0, 64));
}

}  // namespace

void SpecOptions::AddChoiceTo(CLI::App& app) {
  app.add_option("--policy", policy_, "full, chunk_kv, snap_kv, h2o or streaming_llm")->group(kGroup);
  app.add_option("--keep-ratio", keep_ratio_, "share of the tokens kept, window and sinks included")->group(kGroup);
  app.add_option("--max-tokens", max_tokens_, "tokens kept, instead of --keep-ratio")->group(kGroup);
  app.add_option("--chunk-length", chunk_length_, "tokens a chunk [10]")->group(kGroup);
  app.add_option("--window-length", window_length_, "tokens of the observation window [32]")->group(kGroup);
  app.add_option("--chunk-reduce", chunk_reduce_, "score of a chunk: sum, mean or max [sum; given chunks: max]")
      ->group(kGroup);
  app.add_option("--pool", pool_, "width of average pooling, odd [1; snap_kv 5]")->group(kGroup);
  app.add_option("--sink-tokens", sink_tokens_, "first tokens that are always kept [0; streaming_llm 4]")
      ->group(kGroup);
  app.add_option("--recent-ratio", recent_ratio_, "h2o: share of the budget kept as most recent [0.5]")->group(kGroup);
  app.add_option("--budget-multiple", budget_multiple_, "the budget is made a multiple of this [1]")->group(kGroup);
}

bool SpecOptions::has_choice() const {
  return is_given() || keep_ratio_ || max_tokens_ || chunk_length_ || window_length_ || chunk_reduce_ || pool_ ||
         sink_tokens_ || recent_ratio_ || budget_multiple_;
}

void SpecOptions::AddTo(CLI::App& app) {
  AddChoiceTo(app);
  app.add_option("--reuse-group", reuse_group_, "consecutive layers that share kept positions [1]")->group(kGroup);
  app.add_option("--group-score", group_score_, "who chooses for a group: leader or sum [leader]")->group(kGroup);
  app.add_option("--leaders", leaders_, "the leader of each group, as 0,2,4 among attention layers [the first]")
      ->delimiter(',')
      ->group(kGroup);
  app.add_option("--profile", profile_, "file of `chunkkv tune` whose groups are used")->group(kGroup);
  app.add_option("--min-retained-mass", min_retained_mass_, "guardrail: least retained mass of every scored layer")
      ->group(kGroup);
  app.add_option("--on-low-mass", on_low_mass_, "below it: fail, raise_budget or keep_full [fail]")->group(kGroup);
  app.add_option("--max-raised-tokens", max_raised_tokens_, "raise_budget: most tokens kept [the prompt]")
      ->group(kGroup);
}

void SpecOptions::AddServerProfileTo(CLI::App& app) {
  app.add_option("--server-profile", server_profile_, "name of a profile that the server has loaded, instead")
      ->group(kGroup);
}

absl::StatusOr<CompactionSpec> SpecOptions::Spec(int32_t layer_count, std::vector<int32_t> chunk_starts,
                                                 const std::optional<Bytes32>& fingerprint) const {
  if (policy_.empty()) return InvalidArgument("BAD_USAGE", "--policy is required");
  CompactionSpec spec;
  std::optional<Policy> policy;
  CHUNKKV_RETURN_IF_ERROR(Resolve(std::optional(policy_), "policy", "BAD_POLICY", PolicyFromName, &policy));
  spec.policy = *policy;
  spec.keep_ratio = keep_ratio_;
  spec.max_tokens = max_tokens_;
  spec.chunk_length = chunk_length_;
  spec.window_length = window_length_;
  spec.reuse_group = reuse_group_;
  CHUNKKV_RETURN_IF_ERROR(
      Resolve(group_score_, "group-score", "BAD_GROUP_SCORE", GroupScoreFromName, &spec.group_score));
  CHUNKKV_RETURN_IF_ERROR(
      Resolve(chunk_reduce_, "chunk-reduce", "BAD_CHUNK_REDUCE", ChunkReduceFromName, &spec.chunk_reduce));
  CHUNKKV_RETURN_IF_ERROR(
      Resolve(on_low_mass_, "on-low-mass", "BAD_ON_LOW_MASS", OnLowMassFromName, &spec.on_low_mass));
  spec.sink_tokens = sink_tokens_;
  spec.pool = pool_;
  spec.recent_ratio = recent_ratio_;
  spec.budget_multiple = budget_multiple_;
  spec.min_retained_mass = min_retained_mass_;
  spec.max_raised_tokens = max_raised_tokens_;
  spec.chunk_starts = std::move(chunk_starts);
  spec.profile = server_profile_;
  if (!server_profile_.empty() && (!profile_.empty() || !leaders_.empty())) {
    return InvalidArgument("BAD_USAGE", "--server-profile and --profile, --leaders exclude each other");
  }
  if (!profile_.empty()) {
    CHUNKKV_RETURN_IF_ERROR(UseProfile(fingerprint, &spec));
  } else if (!leaders_.empty()) {
    CHUNKKV_RETURN_IF_ERROR(UseLeaders(layer_count, &spec));
  }
  return spec;
}

absl::Status SpecOptions::UseProfile(const std::optional<Bytes32>& fingerprint, CompactionSpec* spec) const {
  if (reuse_group_ || group_score_ || !leaders_.empty()) {
    return InvalidArgument("BAD_USAGE", "--profile and --reuse-group, --group-score, --leaders exclude each other");
  }
  CHUNKKV_ASSIGN_OR_RETURN(const ReuseProfile profile, ReadReuseProfile(profile_));
  const Bytes32 measured = Fingerprint(profile.model);
  if (fingerprint && *fingerprint != measured) {
    return FailedPrecondition("PROFILE_OF_ANOTHER_MODEL",
                              "--profile is of " + profile.model.name + " (fingerprint " + ToHex(measured) +
                                  "), not of the model with fingerprint " + ToHex(*fingerprint));
  }
  if (!IsMeasuredWith(profile, *spec)) {
    std::fprintf(stderr, "chunkkv: note: profile %s was measured with another choice of tokens than this one\n",
                 profile.name.c_str());
  }
  spec->groups = profile.groups;
  return absl::OkStatus();
}

absl::Status SpecOptions::UseLeaders(int32_t layer_count, CompactionSpec* spec) const {
  if (layer_count == 0) {
    return InvalidArgument("BAD_LEADERS", "--leaders need the model's layers: name them, or give --accept VARIANT");
  }
  const int32_t length = reuse_group_.value_or(1);
  if (length < 1 || (spec->group_score && *spec->group_score == GroupScore::kSum)) {
    return InvalidArgument("BAD_LEADERS", "--leaders need --reuse-group of at least 1 and --group-score leader");
  }
  for (int32_t first = 0; first < layer_count; first += std::min(length, layer_count - first)) {
    const size_t index = spec->groups.size();
    if (index >= leaders_.size()) break;
    spec->groups.push_back({first, std::min(length, layer_count - first), leaders_[index]});
  }
  const int64_t group_count = (int64_t{layer_count} + length - 1) / length;
  if (static_cast<int64_t>(leaders_.size()) != group_count) {
    return InvalidArgument("BAD_LEADERS",
                           "--leaders must name one layer for each of " + std::to_string(group_count) + " groups");
  }
  for (const ReuseGroup& reuse : spec->groups) {
    if (reuse.leader < reuse.first_layer || reuse.leader >= reuse.first_layer + reuse.layer_count) {
      return InvalidArgument("BAD_LEADERS",
                             "--leaders: layer " + std::to_string(reuse.leader) + " is outside its group of layers");
    }
  }
  return absl::OkStatus();
}

}  // namespace chunkkv::cli
