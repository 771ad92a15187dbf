#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/executor_context.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/spec_options.h"
#include "client/cli/tune_input.h"
#include "client/cli/tune_report.h"
#include "client/tune/agreement_meter.h"
#include "client/tune/choose_groups.h"
#include "service/base/executor.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

struct TuneOptions {
  std::vector<std::string> in;
  std::string out;
  std::string name;
  double max_loss = 0;
  std::optional<double> max_worst_loss;
  int32_t max_group = 8;
  std::string group_score;
  IdentityOptions identity;
  SpecOptions spec;
};

absl::StatusOr<tune::GroupRules> RulesOf(const TuneOptions& options) {
  const auto is_share = [](double bound) { return bound >= 0 && bound < 1; };
  if (!is_share(options.max_loss)) return InvalidArgument("BAD_MAX_LOSS", "--max-loss must be in [0, 1)");
  if (options.max_worst_loss && !is_share(*options.max_worst_loss)) {
    return InvalidArgument("BAD_MAX_LOSS", "--max-worst-loss must be in [0, 1)");
  }
  tune::GroupRules rules{.max_loss = options.max_loss, .max_worst_loss = options.max_worst_loss, .only = {}};
  if (!options.group_score.empty()) {
    rules.only = GroupScoreFromName(options.group_score);
    if (!rules.only) return InvalidArgument("BAD_GROUP_SCORE", "--group-score must be leader or sum");
  }
  return rules;
}

absl::Status InFile(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return ErrorStatus(status.code(), StatusReason(status), absl::StrCat(path, ": ", status.message()));
}

// What all prompts of a run have in common: the first one's.
struct Common {
  ModelIdentity model;
  std::vector<int32_t> layers;
  bool has_given_chunks = false;
};

absl::Status CheckCommon(const tune::RecordedPromptFile& file, const Common& common) {
  if (*file.model != common.model) {
    return InvalidArgument("MIXED_MODELS", "the prompt is of another model than the first one");
  }
  if (file.layers != common.layers) {
    return InvalidArgument("LAYERS_DIFFER", "other layers are attention layers than in the first prompt");
  }
  return absl::OkStatus();
}

// Measures every prompt, one after the other.
absl::StatusOr<Common> Measure(const TuneOptions& options, const CompactionSpec& spec, const Compactor& compactor,
                               const ExecutionContext& context, tune::AgreementMeter& meter) {
  tune::BatchRunner runner(compactor, context);
  Progress progress("measuring", static_cast<int64_t>(options.in.size()));
  std::optional<Common> common;
  for (size_t index = 0; index < options.in.size(); ++index) {
    const std::string& path = options.in[index];
    absl::StatusOr<tune::RecordedPromptFile> file = ReadTuneInput(path, spec, options.identity, runner);
    CHUNKKV_RETURN_IF_ERROR(InFile(path, file.status()));
    if (!common) common = Common{*file->model, file->layers, !file->prompt.chunk_starts.empty()};
    CHUNKKV_RETURN_IF_ERROR(InFile(path, CheckCommon(*file, *common)));
    CHUNKKV_RETURN_IF_ERROR(InFile(path, meter.Add(file->prompt).status()));
    progress.Set(static_cast<int64_t>(index + 1));
  }
  return *common;
}

// "llama-3.1-8b, chunk_kv 20.0 %".
std::string DefaultName(const ModelIdentity& model, const CompactionSpec& spec) {
  constexpr size_t kMaxModelBytes = 80;
  const std::string budget = spec.keep_ratio ? ShareText(*spec.keep_ratio) : absl::StrCat(*spec.max_tokens, " tokens");
  const std::string model_name = model.name.size() <= kMaxModelBytes ? model.name : "model";
  return absl::StrCat(model_name, ", ", std::string(PolicyName(spec.policy)), " ", budget);
}

ReuseProfile ProfileOf(const TuneOptions& options, const CompactionSpec& spec, const Common& common,
                       const tune::GroupRules& rules, const tune::LayerAgreement& agreement) {
  ReuseProfile profile;
  profile.name = options.name.empty() ? DefaultName(common.model, spec) : options.name;
  profile.model = common.model;
  profile.spec = OwnChoice(spec);
  profile.given_chunks = spec.policy == Policy::kChunkKv && common.has_given_chunks;
  profile.max_loss = rules.max_loss;
  profile.max_worst_loss = rules.max_worst_loss;
  profile.prompt_count = agreement.prompt_count;
  profile.token_count = agreement.token_count;
  profile.groups = ChooseGroups(agreement.losses, rules);
  for (const ReuseGroup& group : profile.groups) {
    for (int32_t layer = group.first_layer; layer < group.first_layer + group.layer_count; ++layer) {
      const tune::Loss& loss = agreement.losses.Of(group, layer);
      profile.layers.push_back({agreement.own_mass[layer], loss.mean, loss.worst});
    }
  }
  return profile;
}

absl::Status RunTune(const TuneOptions& options, bool json) {
  CHUNKKV_ASSIGN_OR_RETURN(const tune::GroupRules rules, RulesOf(options));
  CHUNKKV_ASSIGN_OR_RETURN(const CompactionSpec spec, options.spec.Spec(0, {}, std::nullopt));
  const std::unique_ptr<Compactor> compactor = MakeCpuCompactor();
  Executor executor(std::max(1u, std::thread::hardware_concurrency()));
  tune::AgreementMeter meter(spec, options.max_group, *compactor, ContextOn(executor));
  CHUNKKV_ASSIGN_OR_RETURN(const Common common, Measure(options, spec, *compactor, ContextOn(executor), meter));

  TuneReport report{.agreement = meter.Agreement(), .rules = rules, .profile = {}, .prompts = options.in};
  if (report.agreement.prompt_count == 0) {
    return InvalidArgument("NOTHING_MEASURED",
                           "in every prompt all layers keep the same: all tokens, or none but the "
                           "window and the sinks");
  }
  report.profile = ProfileOf(options, spec, common, rules, report.agreement);
  // What a reader would refuse is never written.
  CHUNKKV_RETURN_IF_ERROR(ParseReuseProfile(ReuseProfileText(report.profile)).status());
  CHUNKKV_RETURN_IF_ERROR(WriteReuseProfile(options.out, report.profile));
  if (json) {
    nlohmann::json object = TuneJson(report);
    object["out"] = options.out;
    PrintJson(object);
    return absl::OkStatus();
  }
  std::printf("%swritten        %s\n", TuneText(report).c_str(), options.out.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddTuneCommand(CLI::App& app, Command& command) {
  CLI::App* tune = app.add_subcommand(
      "tune", "Measure on recorded prompts which layers may share kept positions, and write a profile of it");
  auto options = std::make_shared<TuneOptions>();
  tune->add_option("--in", options->in, "prompt files: the input of compact, or recorded prompts")->required();
  tune->add_option("--out", options->out, "profile to write")->required();
  tune->add_option("--max-loss", options->max_loss,
                   "largest relative loss of retained mass of a layer that others choose for, mean over the prompts")
      ->required();
  tune->add_option("--max-worst-loss", options->max_worst_loss, "the same, of its worst prompt [unbound]");
  tune->add_option("--max-group", options->max_group, "most layers that share kept positions [8]")
      ->check(CLI::Range(1, tune::kLargestMaxGroup));
  tune->add_option("--group-score", options->group_score, "groups choose in this way only: leader or sum [either]");
  tune->add_option("--name", options->name, "of the profile [model, policy and budget]");
  options->spec.AddChoiceTo(*tune);
  options->identity.AddModelTo(*tune);
  tune->add_flag("--json", command.json, "print JSON");
  tune->footer(
      "Examples:\n"
      "  chunkkv tune --in prompts/*.safetensors --policy chunk_kv --keep-ratio 0.2 --max-loss 0.02 \\\n"
      "      --out profile.json\n"
      "  chunkkv compact --in prompt.safetensors --out entry.safetensors --policy chunk_kv --keep-ratio 0.2 \\\n"
      "      --profile profile.json\n"
      "The fewest groups of consecutive layers whose losses stay within the bounds; of those the fewest scored "
      "layers,\n"
      "then the smallest losses.");
  tune->callback(
      [options, &command] { command.run = [options, &command] { return RunTune(*options, command.json); }; });
}

}  // namespace chunkkv::cli
