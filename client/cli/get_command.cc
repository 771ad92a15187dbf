#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "client/cli/progress.h"
#include "client/cli/received_record.h"
#include "client/cli/spec_options.h"
#include "service/base/status_macros.h"
#include "service/format/record.h"

namespace chunkkv::cli {
namespace {

struct GetOptions {
  std::string out;
  ConnectionOptions connection;
  IdentityOptions identity;
  std::string accept;
  std::string id;
  SpecOptions spec;
  bool chunks_given = false;
  std::string positions = "original";
  int64_t wait_ms = 0;
  int32_t channels = 1;
};

absl::StatusOr<client::Accept> AcceptOf(const GetOptions& options, const client::ModelRef& model) {
  if (options.spec.is_given()) {
    if (!options.accept.empty())
      return InvalidArgument("BAD_USAGE", "--accept and the compaction flags exclude each other");
    // Which chunks were given is no part of a variant.
    const std::vector<int32_t> chunk_starts(options.chunks_given ? 1 : 0);
    const Bytes32 fingerprint = model.model ? Fingerprint(*model.model) : *model.fingerprint;
    CHUNKKV_ASSIGN_OR_RETURN(const CompactionSpec spec,
                             options.spec.Spec(model.model ? model.model->layer_count : 0, chunk_starts, fingerprint));
    return client::Accept::Variant(VariantOf(spec));
  }
  return ParseAccept(options.accept.empty() ? "exact" : options.accept);
}

absl::Status RunGet(const GetOptions& options, bool json) {
  const std::optional<PositionMode> mode = PositionModeFromName(options.positions);
  if (!mode) return InvalidArgument("BAD_POSITION_MODE", "--positions must be original or contiguous");
  client::GetRequest request;
  CHUNKKV_ASSIGN_OR_RETURN(request.model, options.identity.ModelRef());
  CHUNKKV_ASSIGN_OR_RETURN(request.prompt, options.identity.Prompt(nullptr));
  CHUNKKV_ASSIGN_OR_RETURN(request.accept, AcceptOf(options, request.model));
  if (!options.id.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(request.if_entry_id, ParseBytes16(options.id, "--id", "BAD_ENTRY_ID"));
  }
  request.position_mode = *mode;
  request.wait = std::chrono::milliseconds(options.wait_ms);
  request.channel_count = options.channels;
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  ReceivedRecord record;
  {
    std::unique_ptr<Progress> progress;
    int64_t layers_done = 0;
    record.PlaceInto(request, [&](const EntryHeader& header) {
      progress = std::make_unique<Progress>("getting", LayerCount(header.layout));
    });
    request.on_layer = [&](const client::LayerView&) {
      progress->Set(++layers_done);
      return absl::OkStatus();
    };
    CHUNKKV_ASSIGN_OR_RETURN(const client::CachedEntry entry, client->Get(request, options.connection.Call()));
    record.Finish(entry, request.model);
  }
  CHUNKKV_RETURN_IF_ERROR(WriteRecord(options.out, record.header(), record.body()));
  if (json) {
    nlohmann::json entry = EntryJson(record.header(), /*with_positions=*/false);
    entry["out"] = options.out;
    entry["body_bytes"] = record.header().BodyBytes();
    PrintJson(entry);
    return absl::OkStatus();
  }
  std::printf("%sbytes          %s\nwritten        %s\n", EntryText(record.header()).c_str(),
              BytesText(record.header().BodyBytes()).c_str(), options.out.c_str());
  return absl::OkStatus();
}

}  // namespace

void AddGetCommand(CLI::App& app, Command& command) {
  CLI::App* get = app.add_subcommand("get", "Fetch an entry, verify it and write it as a record");
  auto options = std::make_shared<GetOptions>();
  get->add_option("--out", options->out, "record to write")->required();
  options->connection.AddTo(*get);
  options->identity.AddForLookupTo(*get);
  get->add_option("--accept", options->accept, "exact, least_lossy, or a variant of 64 hexadecimal digits [exact]");
  get->add_option("--id", options->id, "only if it is this very entry: 32 hexadecimal digits");
  options->spec.AddTo(*get);
  options->spec.AddServerProfileTo(*get);
  get->add_flag("--chunks-given", options->chunks_given, "of the variant: chunks were given by chunk_starts");
  get->add_option("--positions", options->positions, "original or contiguous [original]");
  get->add_option("--wait-ms", options->wait_ms, "wait for a put in progress or not yet begun [0]")
      ->check(CLI::NonNegativeNumber);
  get->add_option("--channels", options->channels, "connections that carry layers in parallel [1]")
      ->check(CLI::Range(1, 64));
  get->add_flag("--json", command.json, "print JSON");
  get->footer(
      "The compaction flags accept the variant of that very spec, instead of --accept.\n"
      "Example:\n"
      "  chunkkv get --out entry.safetensors --fingerprint 3b1f... --tokens tokens.json --accept least_lossy");
  get->callback([options, &command] { command.run = [options, &command] { return RunGet(*options, command.json); }; });
}

}  // namespace chunkkv::cli
