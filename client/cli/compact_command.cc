#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "chunkkv/kernels/compaction_device.h"
#include "chunkkv/kernels/compactor.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/identity_options.h"
#include "client/cli/local_compaction.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/prompt_file.h"
#include "client/cli/spec_options.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

struct CompactOptions {
  std::string in;
  std::string out;
  std::string positions = "original";
  std::string device = "auto";
  SpecOptions spec;
};

// Of the model that the file names; none where it does not.
std::optional<Bytes32> StatedFingerprint(const PromptFile& file) {
  const absl::StatusOr<ModelIdentity> model = IdentityOptions().Model(&file);
  return model.ok() ? std::optional(Fingerprint(*model)) : std::nullopt;
}

absl::Status RunCompact(const CompactOptions& options, bool json) {
  const std::optional<PositionMode> mode = PositionModeFromName(options.positions);
  if (!mode) return InvalidArgument("BAD_POSITION_MODE", "--positions must be original or contiguous");
  CHUNKKV_ASSIGN_OR_RETURN(const PromptFile file, PromptFile::Open(options.in));
  CHUNKKV_ASSIGN_OR_RETURN(const CompactionSpec spec, options.spec.Spec(AttentionLayerCount(file.layout()),
                                                                        file.chunk_starts(), StatedFingerprint(file)));
  CompactionDevice device{"reference", "reference", 0, MakeReferenceCompactor()};
  if (options.device != device.kind) {
    CHUNKKV_ASSIGN_OR_RETURN(device, OpenCompactionDevice(options.device));
  }
  CompactedPrompt compacted;
  {
    Progress progress("compacting", 1000);
    CHUNKKV_ASSIGN_OR_RETURN(
        compacted,
        CompactPromptFile(file, spec,
                          {.position_mode = *mode,
                           .compactor = device.compactor.get(),
                           .on_progress = [&](int64_t done, int64_t total) { progress.Set(1000 * done / total); }}));
  }
  CHUNKKV_RETURN_IF_ERROR(WriteRecord(options.out, compacted.header, compacted.body_span()));
  if (json) {
    nlohmann::json entry = EntryJson(compacted.header, /*with_positions=*/false);
    entry["out"] = options.out;
    entry["device"] = device.kind;
    entry["body_bytes"] = compacted.header.BodyBytes();
    PrintJson(entry);
    return absl::OkStatus();
  }
  const int64_t full = FullBytes(compacted.header.layout, compacted.header.token_count);
  std::printf("%sbytes          %s of %s\nwritten        %s\n", EntryText(compacted.header).c_str(),
              BytesText(compacted.header.BodyBytes()).c_str(), BytesText(full).c_str(), options.out.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddCompactCommand(CLI::App& app, Command& command) {
  CLI::App* compact = app.add_subcommand("compact", "Compact a prompt's KV cache in a file; needs no server");
  auto options = std::make_shared<CompactOptions>();
  compact->add_option("--in", options->in, "safetensors file: layers.<l>.k, .v, and .q, .attention or .scores")
      ->required();
  compact->add_option("--out", options->out, "record to write")->required();
  options->spec.AddTo(*compact);
  compact->add_option("--positions", options->positions, "original or contiguous (needs metadata rope) [original]");
  compact->add_option("--device", options->device,
                      "auto (a GPU where there is one), cpu, cuda, cuda:N, or reference: plain loops [auto]");
  compact->add_flag("--json", command.json, "print JSON");
  compact->footer(
      "Examples:\n"
      "  chunkkv compact --in prompt.safetensors --out entry.safetensors --policy chunk_kv --keep-ratio 0.2\n"
      "  chunkkv compact --in prompt.safetensors --out entry.safetensors --policy snap_kv --max-tokens 512 \\\n"
      "      --window-length 16 --positions contiguous --json");
  compact->callback(
      [options, &command] { command.run = [options, &command] { return RunCompact(*options, command.json); }; });
}

}  // namespace chunkkv::cli
