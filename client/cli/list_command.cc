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

constexpr int32_t kPageSize = 200;

struct ListOptions {
  ConnectionOptions connection;
  std::string fingerprint;
};

absl::Status RunList(const ListOptions& options, bool json) {
  std::optional<Bytes32> fingerprint;
  if (!options.fingerprint.empty()) {
    CHUNKKV_ASSIGN_OR_RETURN(fingerprint, ParseBytes32(options.fingerprint, "--fingerprint", "BAD_FINGERPRINT"));
  }
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, options.connection.Connect());
  nlohmann::json entries = nlohmann::json::array();
  std::string token;
  do {
    CHUNKKV_ASSIGN_OR_RETURN(const client::ListPage page,
                             client->List(kPageSize, token, fingerprint, options.connection.Call()));
    for (const client::EntryInfo& info : page.entries) {
      if (json) {
        nlohmann::json entry = EntryJson(info.header, /*with_positions=*/false);
        entry["size_bytes"] = info.size_bytes;
        entry["hit_count"] = info.hit_count;
        entries.push_back(std::move(entry));
        continue;
      }
      std::printf("%s  %-13s %10s of %s tokens  %s%s\n", ToHex(info.header.entry_id).c_str(),
                  std::string(PolicyName(info.header.outcome.policy_applied)).c_str(),
                  CountText(info.header.outcome.budget).c_str(), CountText(info.header.token_count).c_str(),
                  BytesText(info.size_bytes).c_str(), info.pinned_until_unix_ms > 0 ? "  pinned" : "");
    }
    token = page.next_page_token;
  } while (!token.empty());
  if (json) PrintJson(entries);
  return absl::OkStatus();
}

}  // namespace

void AddListCommand(CLI::App& app, Command& command) {
  CLI::App* list = app.add_subcommand("list", "List a server's entries");
  auto options = std::make_shared<ListOptions>();
  options->connection.AddTo(*list);
  list->add_option("--fingerprint", options->fingerprint, "of one model only: 64 hexadecimal digits");
  list->add_flag("--json", command.json, "print JSON");
  list->footer("Example:\n  chunkkv list --address 127.0.0.1:7421 --json");
  list->callback(
      [options, &command] { command.run = [options, &command] { return RunList(*options, command.json); }; });
}

}  // namespace chunkkv::cli
