#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "chunkkv/kernels/status.h"
#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "client/cli/prompt_file.h"
#include "client/cli/put_file.h"
#include "client/cli/spec_options.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

struct PutOptions {
  std::string in;
  ConnectionOptions connection;
  IdentityOptions identity;
  SpecOptions spec;
  bool select_then_send = false;
  int32_t channels = 1;
  int64_t ttl_ms = 0;
  int64_t pin_ms = 0;
};

absl::Status RunPut(const PutOptions& options, bool json) {
  CHUNKKV_ASSIGN_OR_RETURN(const PromptFile file, PromptFile::Open(options.in));
  client::PutRequest request;
  CHUNKKV_ASSIGN_OR_RETURN(request.model, options.identity.Model(&file));
  CHUNKKV_ASSIGN_OR_RETURN(request.prompt, options.identity.Prompt(&file));
  if (IsCompactedRecord(file)) {
    if (options.spec.is_given()) {
      return FailedPrecondition("ALREADY_COMPACTED",
                                "the record of a compacted entry is put as it is, without --policy");
    }
  } else if (file.record() == nullptr || options.spec.is_given()) {
    CHUNKKV_ASSIGN_OR_RETURN(request.spec, options.spec.Spec(AttentionLayerCount(file.layout()), file.chunk_starts(),
                                                             Fingerprint(request.model)));
  }
  request.send_mode = options.select_then_send ? client::SendMode::kSelectThenSend : client::SendMode::kSendAll;
  request.channel_count = options.channels;
  request.ttl = std::chrono::milliseconds(options.ttl_ms);
  request.pin = std::chrono::milliseconds(options.pin_ms);
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  CHUNKKV_ASSIGN_OR_RETURN(const client::PutResult result,
                           PutFile(*client, file, std::move(request), options.connection.Call()));
  if (json) {
    nlohmann::json reply = {{"entry_id", ToHex(result.entry_id)}, {"already_stored", result.already_stored},
                            {"key", ToHex(result.key)},           {"fingerprint", ToHex(result.fingerprint)},
                            {"variant", ToHex(result.variant)},   {"stored_bytes", result.stored_bytes}};
    if (!result.already_stored) {
      reply.update({{"compaction", OutcomeJson(result.outcome)},
                    {"received_bytes", result.received_bytes},
                    {"peak_staging_bytes", result.peak_staging_bytes},
                    {"compaction_time_us", result.compaction_time_us},
                    {"entry_digest", ToHex(result.entry_digest)}});
    }
    PrintJson(reply);
    return absl::OkStatus();
  }
  std::printf("entry        %s%s\nkey          %s\nfingerprint  %s\nvariant      %s\n", ToHex(result.entry_id).c_str(),
              result.already_stored ? " (was stored already)" : "", ToHex(result.key).c_str(),
              ToHex(result.fingerprint).c_str(), ToHex(result.variant).c_str());
  if (!result.already_stored) {
    std::printf("policy       %s\nkept         %s of %s tokens\nsent         %s\n",
                std::string(PolicyName(result.outcome.policy_applied)).c_str(),
                CountText(result.outcome.budget).c_str(), CountText(file.token_count()).c_str(),
                BytesText(result.received_bytes).c_str());
  }
  std::printf("stored       %s\n", BytesText(result.stored_bytes).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddPutCommand(CLI::App& app, Command& command) {
  CLI::App* put = app.add_subcommand("put", "Send a prompt's KV cache, or a record, to a server");
  auto options = std::make_shared<PutOptions>();
  put->add_option("--in", options->in, "the input of compact, or a record")->required();
  options->connection.AddTo(*put);
  options->identity.AddTo(*put);
  options->spec.AddTo(*put);
  options->spec.AddServerProfileTo(*put);
  put->add_flag("--select-then-send", options->select_then_send, "send scores, then only the rows that are kept");
  put->add_option("--channels", options->channels, "connections that carry parts in parallel [1]")
      ->check(CLI::Range(1, 64));
  put->add_option("--ttl-ms", options->ttl_ms, "when the entry expires [until evicted]")->check(CLI::NonNegativeNumber);
  put->add_option("--pin-ms", options->pin_ms, "commit under a pin of this length [none]")
      ->check(CLI::NonNegativeNumber);
  put->add_flag("--json", command.json, "print JSON");
  put->footer(
      "Examples:\n"
      "  chunkkv put --in prompt.safetensors --policy chunk_kv --keep-ratio 0.2 --tokens tokens.json \\\n"
      "      --model-name llama-3.1-8b --model-revision 0e9e39f\n"
      "  chunkkv put --in entry.safetensors --key 9f86d0... --model-file model.json\n"
      "A record is put as what it is: compacted ones as their kept rows, others as policy full unless --policy says "
      "more.");
  put->callback([options, &command] { command.run = [options, &command] { return RunPut(*options, command.json); }; });
}

}  // namespace chunkkv::cli
