#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <thread>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/executor_context.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/record_prompts.h"
#include "client/cli/spec_options.h"
#include "client/cli/tune_input.h"
#include "client/cli/tune_report.h"
#include "client/cli/tune_run.h"
#include "client/tune/batch_runner.h"
#include "service/base/executor.h"
#include "service/base/status_macros.h"
#include "service/format/file_status.h"

namespace chunkkv::cli {
namespace {

struct TuneOptions {
  std::vector<std::string> in;
  int32_t next_puts = 0;
  std::string save;
  std::string out;
  std::string name;
  double max_loss = 0;
  std::optional<double> max_worst_loss;
  int32_t max_group = 8;
  std::string group_score;
  ConnectionOptions connection;
  IdentityOptions identity;
  SpecOptions spec;
};

absl::Status MakeEmptyFolder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_empty(path, error) && !error) {
    return FailedPrecondition("FOLDER_NOT_EMPTY", absl::StrCat("--save ", path, " has files already"));
  }
  return error ? FileStatus(error.value(), "creating", path) : absl::OkStatus();
}

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

// Files, each scored here.
absl::StatusOr<TuneReport> TuneFiles(const TuneOptions& options, TuneRequest request, const Compactor& compactor,
                                     const ExecutionContext& context) {
  CHUNKKV_ASSIGN_OR_RETURN(request.spec, options.spec.Spec(0, {}, std::nullopt));
  tune::BatchRunner scorer(compactor, context);
  TuneRun run(request, compactor, context);
  Progress progress("measuring", static_cast<int64_t>(options.in.size()));
  for (size_t index = 0; index < options.in.size(); ++index) {
    CHUNKKV_ASSIGN_OR_RETURN(const tune::RecordedPromptFile prompt,
                             ReadTuneInput(options.in[index], request.spec, options.identity, scorer));
    CHUNKKV_RETURN_IF_ERROR(run.Add(options.in[index], prompt));
    progress.Set(static_cast<int64_t>(index + 1));
  }
  return run.Finish();
}

// How a layer chooses: as the flags say, else as the put did; its scores are of the put's window.
absl::StatusOr<CompactionSpec> ChoiceFor(const SpecOptions& options, const CompactionSpec& put) {
  if (!options.is_given()) return OwnChoice(put);
  CHUNKKV_ASSIGN_OR_RETURN(CompactionSpec spec, options.Spec(0, {}, std::nullopt));
  if (!spec.window_length) spec.window_length = put.window_length;
  return spec;
}

// A server's next puts, measured as they are committed. Those that cannot be measured together with the first are left
// out: of another window or without its kind of chunks, and, where the puts say how to choose, of another choice.
class PutTuner {
 public:
  PutTuner(const TuneOptions& options, TuneRequest request, const Compactor& compactor, ExecutionContext context)
      : options_(options), request_(std::move(request)), compactor_(compactor), context_(std::move(context)) {}

  absl::Status Add(const CompactionSpec& put, const tune::RecordedPromptFile& prompt) {
    if (!run_) {
      CHUNKKV_ASSIGN_OR_RETURN(request_.spec, ChoiceFor(options_.spec, put));
      first_ = put;
      run_.emplace(request_, compactor_, context_);
    }
    if (!IsLikeFirst(put)) {
      std::fprintf(stderr, "chunkkv: left out: a put of another choice of tokens than the first one's\n");
      return absl::OkStatus();
    }
    const std::string name = absl::StrCat("put-", absl::Dec(++put_count_, absl::kZeroPad5));
    if (!options_.save.empty()) {
      CHUNKKV_RETURN_IF_ERROR(
          tune::WriteRecordedPrompt(absl::StrCat(options_.save, "/", name, ".safetensors"), prompt));
    }
    return run_->Add(name, prompt);
  }

  absl::StatusOr<TuneReport> Finish() const {
    if (!run_) return InvalidArgument("NOTHING_MEASURED", "no put came");
    return run_->Finish();
  }

 private:
  bool IsLikeFirst(const CompactionSpec& put) const {
    if (put.chunk_starts.empty() != first_.chunk_starts.empty()) return false;
    if (!options_.spec.is_given()) return CanonicalText(OwnChoice(put)) == CanonicalText(OwnChoice(first_));
    return put.window_length.value_or(32) == first_.window_length.value_or(32);
  }

  const TuneOptions& options_;
  TuneRequest request_;
  const Compactor& compactor_;
  const ExecutionContext context_;
  CompactionSpec first_;
  std::optional<TuneRun> run_;
  int32_t put_count_ = 0;
};

absl::StatusOr<TuneReport> TunePuts(const TuneOptions& options, TuneRequest request, const Compactor& compactor,
                                    const ExecutionContext& context) {
  if (options.spec.has_choice() && !options.spec.is_given()) {
    return InvalidArgument("BAD_USAGE", "--policy is required with flags that say how to choose");
  }
  if (!options.save.empty()) CHUNKKV_RETURN_IF_ERROR(MakeEmptyFolder(options.save));
  CHUNKKV_ASSIGN_OR_RETURN(const client::ModelRef model, options.identity.ModelRef());
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  PutTuner tuner(options, std::move(request), compactor, context);
  CHUNKKV_RETURN_IF_ERROR(RecordPrompts(
      *client, model, options.next_puts, options.connection.Call(),
      [&tuner](const CompactionSpec& put, const tune::RecordedPromptFile& prompt) { return tuner.Add(put, prompt); }));
  return tuner.Finish();
}

absl::Status RunTune(const TuneOptions& options, bool json) {
  TuneRequest request{.spec = {}, .rules = {}, .max_group = options.max_group, .profile_name = options.name};
  CHUNKKV_ASSIGN_OR_RETURN(request.rules, RulesOf(options));
  if (options.in.empty() == (options.next_puts == 0)) {
    return InvalidArgument("BAD_USAGE", "give --in or --next-puts");
  }
  if (!options.save.empty() && options.next_puts == 0) {
    return InvalidArgument("BAD_USAGE", "--save goes with --next-puts");
  }
  const std::filesystem::path folder = std::filesystem::path(options.out).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder)) return FileStatus(ENOENT, "opening", folder.string());
  const std::unique_ptr<Compactor> compactor = MakeCpuCompactor();
  Executor executor(std::max(1u, std::thread::hardware_concurrency()));
  const auto tune = options.in.empty() ? TunePuts : TuneFiles;
  CHUNKKV_ASSIGN_OR_RETURN(const TuneReport report, tune(options, request, *compactor, ContextOn(executor)));
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
  tune->add_option("--in", options->in, "prompt files: the input of compact, or recorded prompts");
  tune->add_option("--next-puts", options->next_puts, "instead: as many of the model's next puts to a server")
      ->check(CLI::Range(1, 65536));
  tune->add_option("--save", options->save, "folder that keeps what --next-puts recorded, as files for --in");
  tune->add_option("--out", options->out, "profile to write")->required();
  tune->add_option("--max-loss", options->max_loss,
                   "largest relative loss of retained mass of a layer that others choose for, mean over the prompts")
      ->required();
  tune->add_option("--max-worst-loss", options->max_worst_loss, "the same, of its worst prompt [unbound]");
  tune->add_option("--max-group", options->max_group, "most layers that share kept positions [8]")
      ->check(CLI::Range(1, tune::kLargestMaxGroup));
  tune->add_option("--group-score", options->group_score, "groups choose in this way only: leader or sum [either]");
  tune->add_option("--name", options->name, "of the profile [model, policy, budget and a digest of what was found]");
  options->spec.AddChoiceTo(*tune);
  options->identity.AddModelTo(*tune);
  options->identity.AddFingerprintTo(*tune);
  options->connection.AddTo(*tune);
  tune->add_flag("--json", command.json, "print JSON");
  tune->footer(
      "Examples:\n"
      "  chunkkv tune --in prompts/*.safetensors --policy chunk_kv --keep-ratio 0.2 --max-loss 0.02 \\\n"
      "      --out profile.json\n"
      "  chunkkv tune --next-puts 32 --address 127.0.0.1:7421 --fingerprint 1b7e... --max-loss 0.02 --out "
      "profile.json\n"
      "  chunkkv compact --in prompt.safetensors --out entry.safetensors --policy chunk_kv --keep-ratio 0.2 \\\n"
      "      --profile profile.json\n"
      "The fewest groups of consecutive layers whose losses stay within the bounds; of those the fewest scored "
      "layers,\n"
      "then the smallest losses.\n"
      "--next-puts waits for puts whose every layer is scored (no index reuse, or sums). Without --policy it measures\n"
      "the choice that the first of them asked for. Puts that cannot be measured with the first are left out.");
  tune->callback(
      [options, &command] { command.run = [options, &command] { return RunTune(*options, command.json); }; });
}

}  // namespace chunkkv::cli
