#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/identity_options.h"
#include "client/cli/output.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

struct FindOptions {
  ConnectionOptions connection;
  IdentityOptions identity;
  std::string accept;
  int64_t hold_ms = 0;
};

absl::Status RunFind(const FindOptions& options, bool json) {
  client::PrefixQuery query;
  CHUNKKV_ASSIGN_OR_RETURN(query.model, options.identity.ModelRef());
  CHUNKKV_ASSIGN_OR_RETURN(query.prompt, options.identity.Prompt(nullptr));
  if (!options.accept.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(query.accept, ParseAccept(options.accept));
  }
  query.hold = std::chrono::milliseconds(options.hold_ms);
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  CHUNKKV_ASSIGN_OR_RETURN(const std::vector<client::PrefixFound> results,
                           client->FindLongestPrefix({&query, 1}, options.connection.Call()));
  const client::PrefixFound& found = results[0];
  CHUNKKV_RETURN_IF_ERROR(found.status);
  nlohmann::json entries = nlohmann::json::array();
  for (const client::PrefixFound::Entry& entry : found.entries) {
    entries.push_back({{"entry_id", ToHex(entry.entry_id)},
                       {"key", ToHex(entry.key)},
                       {"variant", ToHex(entry.variant)},
                       {"policy", std::string(PolicyName(entry.policy))},
                       {"token_count", entry.token_count},
                       {"row_count", entry.row_count},
                       {"size_bytes", entry.size_bytes}});
    if (!json) {
      std::printf("%s  covers %s tokens, %s, %s rows of %s tokens, %s\n", ToHex(entry.entry_id).c_str(),
                  CountText(found.covered_tokens).c_str(), std::string(PolicyName(entry.policy)).c_str(),
                  CountText(entry.row_count).c_str(), CountText(entry.token_count).c_str(),
                  BytesText(entry.size_bytes).c_str());
    }
  }
  if (!json) return absl::OkStatus();
  nlohmann::json result = {
      {"covered_tokens", found.covered_tokens}, {"entries", entries}, {"expected_load_ms", found.expected_load_ms}};
  if (found.lease_id) {
    result["lease_id"] = ToHex(*found.lease_id);
    result["lease_expires_unix_ms"] = found.lease_expires_unix_ms;
  }
  PrintJson(result);
  return absl::OkStatus();
}

}  // namespace

void AddFindCommand(CLI::App& app, Command& command) {
  CLI::App* find = app.add_subcommand("find", "Find the entry that covers the most tokens of a prompt");
  auto options = std::make_shared<FindOptions>();
  options->connection.AddTo(*find);
  options->identity.AddForLookupTo(*find);
  find->add_option("--accept", options->accept, "exact, or a variant of 64 hexadecimal digits [any]");
  find->add_option("--hold-ms", options->hold_ms, "lease on what is found [none]")->check(CLI::NonNegativeNumber);
  find->add_flag("--json", command.json, "print JSON");
  find->footer("Example:\n  chunkkv find --fingerprint 3b1f... --tokens tokens.json");
  find->callback(
      [options, &command] { command.run = [options, &command] { return RunFind(*options, command.json); }; });
}

}  // namespace chunkkv::cli
