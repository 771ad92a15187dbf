#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/connection_options.h"
#include "client/cli/output.h"
#include "service/base/status_macros.h"

namespace chunkkv::cli {
namespace {

const char* TierName(client::Tier tier) {
  switch (tier) {
    case client::Tier::kDevice:
      return "device";
    case client::Tier::kHost:
      return "host";
    case client::Tier::kDisk:
      return "disk";
    case client::Tier::kShared:
      return "shared";
    case client::Tier::kUnspecified:
      break;
  }
  return "unknown";
}

void PrintStatsJson(const client::ServerStats& stats, const client::Capabilities& capabilities) {
  nlohmann::json tiers = nlohmann::json::array();
  for (const client::ServerStats::TierUse& tier : stats.tiers) {
    tiers.push_back({{"tier", TierName(tier.tier)},
                     {"budget_bytes", tier.budget_bytes},
                     {"entry_bytes", tier.entry_bytes},
                     {"staging_bytes", tier.staging_bytes},
                     {"entries", tier.entries},
                     {"evictions", tier.evictions},
                     {"used_bytes", tier.used_bytes},
                     {"promotions", tier.promotions},
                     {"demotions", tier.demotions},
                     {"failure", tier.failure}});
  }
  PrintJson({{"server_version", capabilities.server_version},
             {"protocol_version", capabilities.protocol_version},
             {"features", capabilities.features},
             {"devices", capabilities.devices},
             {"transports", capabilities.transports},
             {"tiers", tiers},
             {"entries", stats.entries},
             {"entry_bytes", stats.entry_bytes},
             {"hit_tokens", stats.hit_tokens},
             {"miss_tokens", stats.miss_tokens},
             {"puts", stats.puts},
             {"received_bytes", stats.received_bytes},
             {"stored_bytes", stats.stored_bytes},
             {"active_sessions", stats.active_sessions},
             {"active_gets", stats.active_gets},
             {"pins", stats.pins},
             {"uptime_ms", stats.uptime_ms},
             {"scrubbed_bytes", stats.scrubbed_bytes},
             {"damaged_entries", stats.damaged_entries}});
}

absl::Status RunStats(const ConnectionOptions& connection, bool json) {
  CHUNKKV_ASSIGN_OR_RETURN(const std::unique_ptr<client::Client> client, connection.Connect());
  CHUNKKV_ASSIGN_OR_RETURN(const client::ServerStats stats, client->GetStats(connection.Call()));
  CHUNKKV_ASSIGN_OR_RETURN(const client::Capabilities capabilities, client->GetCapabilities(connection.Call()));
  if (json) {
    PrintStatsJson(stats, capabilities);
    return absl::OkStatus();
  }
  std::printf("server    %s, up %s s\n", capabilities.server_version.c_str(),
              CountText(stats.uptime_ms / 1000).c_str());
  for (const client::ServerStats::TierUse& tier : stats.tiers) {
    std::printf("%-8s  %s entries in %s, %s arriving, of %s; %s evicted\n", TierName(tier.tier),
                CountText(tier.entries).c_str(), BytesText(tier.entry_bytes).c_str(),
                BytesText(tier.staging_bytes).c_str(), BytesText(tier.budget_bytes).c_str(),
                CountText(tier.evictions).c_str());
    if (!tier.failure.empty()) std::printf("          lost: %s\n", tier.failure.c_str());
  }
  std::printf("puts      %s, %s sent, %s stored\ntokens    %s hit, %s missed\nnow       %s puts, %s gets, %s pins\n",
              CountText(stats.puts).c_str(), BytesText(stats.received_bytes).c_str(),
              BytesText(stats.stored_bytes).c_str(), CountText(stats.hit_tokens).c_str(),
              CountText(stats.miss_tokens).c_str(), CountText(stats.active_sessions).c_str(),
              CountText(stats.active_gets).c_str(), CountText(stats.pins).c_str());
  return absl::OkStatus();
}

}  // namespace

void AddStatsCommand(CLI::App& app, Command& command) {
  CLI::App* stats = app.add_subcommand("stats", "Show what a server holds and has done");
  auto connection = std::make_shared<ConnectionOptions>();
  connection->AddTo(*stats);
  stats->add_flag("--json", command.json, "print JSON");
  stats->footer("Example:\n  chunkkv stats --address 127.0.0.1:7421");
  stats->callback(
      [connection, &command] { command.run = [connection, &command] { return RunStats(*connection, command.json); }; });
}

}  // namespace chunkkv::cli
